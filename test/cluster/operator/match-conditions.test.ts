// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the API server calls a webhook about, and what passes by: no webhook answers here, so a call fails with 500.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { isGone, type OperatorLab, policySpec, readyOf, startOperatorLab } from './operator-lab.ts';

let lab: OperatorLab;

beforeAll(async () => {
  lab = await startOperatorLab();
}, 600_000);

afterAll(() => lab?.stop(), 30_000);

describe('matchConditions', () => {
  /** No webhook answers here: a request that is asked about fails, one that is not passes. */
  test('ask about gated identities that change a governed field, and about nobody and nothing else', async () => {
    const namespace = await lab.freshNamespace({ environment: 'tested' });
    const namespaceSelector = { matchLabels: { environment: 'tested' } };
    const { name } = (
      await lab.createPolicy(
        policySpec({
          namespaceSelector,
          subjects: {
            include: [
              { kind: 'ServiceAccount', namespace: 'c*', name: 'dep.oy*' },
              { kind: 'User', name: 'a*n' },
              { kind: 'Group', name: "o'brien" },
            ],
            exclude: [{ kind: 'User', name: 'allen' }],
          },
          actions: [
            {
              operations: ['UPDATE'],
              apiGroups: ['apps'],
              resources: ['deployments'],
              fields: ['/spec/template', '/metadata/annotations/a.example~1b_c'],
            },
            { operations: ['DELETE'], apiGroups: [''], resources: ['configmaps'] },
          ],
        }),
      )
    ).metadata;
    await lab.reported(name);
    const deployment = await lab.createDeployment(namespace);
    await lab.configMaps.create({ metadata: { namespace, name: 'kept' } });
    const as = async (user: string, groups: readonly string[], path: string, patch?: object) => {
      const { code } = await lab.plane.admin.send(patch === undefined ? 'DELETE' : 'PATCH', `${path}?dryRun=All`, {
        headers: { 'impersonate-user': user, 'impersonate-group': groups[0] ?? 'system:masters' },
        ...(patch !== undefined && { body: patch, contentType: 'application/merge-patch+json' }),
      });
      return code;
    };
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment.metadata.name}`;
    const image = { spec: { template: { metadata: { labels: { x: 'y' } } } } };
    await eventually('the gate to be in force', async () => (await as('alan', [], path, image)) === 500);
    const scaled = { spec: { replicas: 3 } };
    const annotated = { metadata: { annotations: { 'a.example/b_c': 'x' } } };
    const owned = {
      metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'kept', uid: 'x' }] },
    };
    const configMap = `/api/v1/namespaces/${namespace}/configmaps/kept`;
    const unlabel = { metadata: { labels: { environment: null } } };
    expect({
      fieldChanged: await as('alan', [], path, image),
      oddPointerChanged: await as('alan', [], path, annotated),
      otherField: await as('alan', [], path, scaled),
      nothingChanged: await as('alan', [], path, {}),
      anotherUser: await as('alanis', [], path, image),
      excluded: await as('allen', [], path, image),
      deleted: await as('alan', [], configMap),
      owned: await as('alan', [], configMap, owned),
      dataChanged: await as('alan', [], configMap, { data: { a: 'b' } }),
      namespaceLeaves: await as('alan', [], `/api/v1/namespaces/${namespace}`, unlabel),
      leavesByStatus: await as('alan', [], `/api/v1/namespaces/${namespace}/status`, unlabel),
      otherLabel: await as('alan', [], `/api/v1/namespaces/${namespace}`, { metadata: { labels: { other: 'x' } } }),
      namespaceDeleted: await as('alan', [], `/api/v1/namespaces/${namespace}`),
      humanUnlabels: await as('ann-a', [], `/api/v1/namespaces/${namespace}`, unlabel),
    }).toEqual({
      fieldChanged: 500,
      oddPointerChanged: 500,
      otherField: 200,
      nothingChanged: 200,
      anotherUser: 200,
      excluded: 200,
      deleted: 500,
      owned: 500,
      dataChanged: 200,
      namespaceLeaves: 500,
      leavesByStatus: 500,
      otherLabel: 200,
      namespaceDeleted: 500,
      humanUnlabels: 200,
    });
    await lab.policies.delete({ name });
    await eventually('the gate to go', () => isGone(lab.validatingConfigurations.get({ name: `stepup-${name}` })));
  });
});

describe('matchConditions on a real object', () => {
  test('see items of lists, marks that are taken away, tokens and connections', async () => {
    const namespace = await lab.freshNamespace({ environment: 'listed' });
    const { name } = (
      await lab.createPolicy(
        policySpec({
          namespaceSelector: { matchLabels: { environment: 'listed' } },
          subjects: { include: [{ kind: 'User', name: 'alan' }] },
          actions: [
            {
              operations: ['UPDATE'],
              apiGroups: ['apps'],
              resources: ['deployments'],
              fields: ['/spec/template/spec/containers/0/image', '/metadata/labels/0'],
            },
            { operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts'], maxTokenSeconds: 3600 },
          ],
          conditions: [
            {
              name: 'tier',
              expression:
                "oldObject == null || (has(oldObject.metadata.labels) && 'tier' in oldObject.metadata.labels && oldObject.metadata.labels['tier'] == 'a')",
            },
          ],
        }),
      )
    ).metadata;
    expect(readyOf(await lab.reported(name))).toMatchObject({ status: 'True', reason: 'InPlace' });
    const deployment = await lab.createDeployment(namespace);
    const as = async (method: 'PATCH' | 'POST', path: string, body: object) => {
      const { code } = await lab.plane.admin.send(method, `${path}?dryRun=All`, {
        headers: { 'impersonate-user': 'alan', 'impersonate-group': 'system:masters' },
        body,
        ...(method === 'PATCH' && { contentType: 'application/strategic-merge-patch+json' }),
      });
      return code;
    };
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment.metadata.name}`;
    const image = { spec: { template: { spec: { containers: [{ name: 'main', image: 'example.test/web:2' }] } } } };
    const tier = (value: string | null) => ({ metadata: { labels: { tier: value } } });
    const account = { metadata: { name: 'robot' } };
    await lab.deployments.mergePatch(deployment.metadata, tier('a'));
    await eventually('the gate to be in force', async () => (await as('PATCH', path, image)) === 500);
    expect({
      markTaken: await as('PATCH', path, tier(null)),
      markChanged: await as('PATCH', path, tier('b')),
      otherLabel: await as('PATCH', path, { metadata: { labels: { other: 'x' } } }),
      replicas: await as('PATCH', path, { spec: { replicas: 2 } }),
      accountHere: await as('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, account),
      accountExempt: await as('POST', '/api/v1/namespaces/kube-system/serviceaccounts', account),
    }).toEqual({
      markTaken: 500,
      markChanged: 500,
      otherLabel: 200,
      replicas: 200,
      accountHere: 500,
      accountExempt: 500,
    });
    await lab.deployments.mergePatch(deployment.metadata, tier(null));
    expect(await as('PATCH', path, image), 'without the mark').toBe(200);
    await lab.policies.delete({ name });
    await eventually('the gate to go', () => isGone(lab.validatingConfigurations.get({ name: `stepup-${name}` })));
  });
});
