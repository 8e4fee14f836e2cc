// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The operator against a real API server: what it puts in place, puts back, moves, settles and removes.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../../src/api/kinds.ts';
import { stepUpApprovals, stepUpDecisions, stepUpPolicies } from '../../../src/api/own-resources.ts';
import { effectOf } from '../../../src/domain/change/content.ts';
import type { Use } from '../../../src/domain/model/approval.ts';
import { isNotFound } from '../../../src/kube/http/api-error.ts';
import { loadCredentials } from '../../../src/kube/http/credentials.ts';
import { RestClient } from '../../../src/kube/http/rest.ts';
import { LeaderElector, type Lease } from '../../../src/kube/objects/lease.ts';
import type { ConfigMap, KubeObject, NewObject } from '../../../src/kube/objects/objects.ts';
import { ResourceClient } from '../../../src/kube/objects/resource-client.ts';
import * as resources from '../../../src/kube/objects/resources.ts';
import { systemClock } from '../../../src/kube/time/clock.ts';
import type { JsonObject } from '../../../src/lib/json.ts';
import type { WebhookConfiguration } from '../../../src/operator/admission/webhook-configuration.ts';
import type { Secret } from '../../../src/operator/keys/own-certificates.ts';
import { uninstall } from '../../../src/operator/removal.ts';
import { samplePolicies } from '../../support/builders/sample-policies.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { eventually } from '../../support/eventually.ts';
import { type RunningOperator, startOperator } from '../../support/running-operator.ts';

type Deployment = KubeObject & JsonObject & { readonly spec: JsonObject };

let plane: ControlPlane;
let rest: RestClient;
let operator: RunningOperator;
let policies: ResourceClient<StepUpPolicy>;
let approvals: ResourceClient<StepUpApproval>;
let gates: ResourceClient<WebhookConfiguration>;
let stamps: ResourceClient<WebhookConfiguration>;
let secrets: ResourceClient<Secret>;
let configMaps: ResourceClient<ConfigMap>;
let deployments: ResourceClient<Deployment>;
let names = 0;

const deploymentResource = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};

beforeAll(async () => {
  plane = await startControlPlane({ controllerManager: false });
  rest = new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths: [plane.adminKubeconfig] }) });
  policies = new ResourceClient(rest, stepUpPolicies);
  approvals = new ResourceClient(rest, stepUpApprovals);
  gates = new ResourceClient(rest, resources.validatingWebhookConfigurations);
  stamps = new ResourceClient(rest, resources.mutatingWebhookConfigurations);
  secrets = new ResourceClient(rest, resources.secrets);
  configMaps = new ResourceClient(rest, resources.configMaps);
  deployments = new ResourceClient(rest, deploymentResource);
  await plane.kubectl(['create', 'namespace', 'stepup-system']);
  // Started before the kinds exist: it waits for them.
  operator = startOperator(rest);
  const applied = await plane.kubectl(['apply', '-f', join(import.meta.dirname, '../../crds')]);
  expect(applied).toMatchObject({ code: 0 });
  await eventually('the entry of our own kinds', () => stamps.get({ name: 'stepup-stamp' }));
}, 600_000);

afterAll(async () => {
  await operator?.stop();
  rest?.close();
  await plane?.stop();
}, 30_000);

function freshName(prefix = 'test') {
  names += 1;
  return `${prefix}-${names}`;
}

async function freshNamespace(labels: Record<string, string> = {}): Promise<string> {
  const namespace = freshName('ns');
  await plane.admin.post('/api/v1/namespaces', { metadata: { name: namespace, labels } });
  return namespace;
}

function readyOf(policy: StepUpPolicy) {
  return policy.status?.conditions?.find(({ type }) => type === 'Ready');
}

async function createPolicy(spec: object, name = freshName('policy')): Promise<StepUpPolicy> {
  return policies.create({ metadata: { name }, spec: spec as StepUpPolicy['spec'] });
}

function reported(name: string): Promise<StepUpPolicy> {
  return eventually(`policy ${name} to be reported on`, async () => {
    const policy = await policies.get({ name });
    return readyOf(policy)?.observedGeneration === policy.metadata.generation ? policy : undefined;
  });
}

async function isGone(read: Promise<unknown>): Promise<boolean> {
  return read.then(
    () => false,
    (error: unknown) => isNotFound(error),
  );
}

describe('a policy', () => {
  test.each(Object.entries(samplePolicies))('%s is accepted by the API server', async (name, spec) => {
    await createPolicy(spec, name);
    expect(readyOf(await reported(name))).toMatchObject({ status: 'True', reason: 'InPlace' });
    const gate = await gates.get({ name: `stepup-${name}` });
    expect(gate.metadata.ownerReferences).toBeUndefined();
    expect(gate.webhooks?.every(({ clientConfig }) => clientConfig.caBundle)).toBe(true);
    await policies.delete({ name });
    await eventually('the gate to go', () => isGone(gates.get({ name: `stepup-${name}` })));
  });

  test('with CEL that does not compile is not Ready, in the words of the API server, and breaks only itself', async () => {
    const good = await createPolicy(policySpec());
    const bad = await createPolicy(policySpec({ conditions: [{ name: 'broken', expression: 'object.metadata.' }] }));
    expect(readyOf(await reported(bad.metadata.name))).toMatchObject({
      status: 'False',
      reason: 'InvalidByAPIServer',
      message: expect.stringMatching(
        /^ValidatingWebhookConfiguration.* is invalid: \[?webhooks\[0\]\.matchConditions\[\d\]\.expression: .*Syntax error/,
      ),
    });
    expect(readyOf(await reported(good.metadata.name))?.status).toBe('True');
    expect(await isGone(gates.get({ name: `stepup-${bad.metadata.name}` }))).toBe(true);
  });

  test('whose newer generation is refused keeps the gate it had, also when that is deleted', async () => {
    const { name } = (await createPolicy(policySpec())).metadata;
    await reported(name);
    const gate = await gates.get({ name: `stepup-${name}` });
    const conditions = [{ name: 'broken', expression: '1 +' }];
    await policies.mergePatch({ name }, { spec: { conditions } });
    expect(readyOf(await reported(name))?.reason).toBe('InvalidByAPIServer');
    expect((await gates.get({ name: `stepup-${name}` })).webhooks).toEqual(gate.webhooks);
    await gates.delete({ name: `stepup-${name}` });
    const restored = await eventually('the last good gate', () => gates.get({ name: `stepup-${name}` }));
    expect(restored.webhooks).toEqual(gate.webhooks);
  });

  test('that governs evictions has them name their pod, as long as it does', async () => {
    const actions = [{ operations: ['DELETE'], apiGroups: [''], resources: ['pods'] }];
    const { name } = (await createPolicy(policySpec({ actions }))).metadata;
    await reported(name);
    const pinName = { name: `stepup-pin-${name}` };
    const pin = await stamps.get(pinName);
    expect(pin.webhooks).toMatchObject([
      {
        failurePolicy: 'Ignore',
        rules: [{ resources: ['pods/eviction'] }],
        clientConfig: { service: { path: '/pin' } },
      },
    ]);
    await stamps.delete(pinName);
    const restored = await eventually('the pin to be back', () => stamps.get(pinName));
    expect(restored.webhooks).toEqual(pin.webhooks);

    // A generation that the API server refuses changes neither, and is not tried over and over.
    await policies.mergePatch({ name }, { spec: { conditions: [{ name: 'broken', expression: '1 +' }] } });
    expect(readyOf(await reported(name))?.reason).toBe('InvalidByAPIServer');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect((await stamps.get(pinName)).metadata).toEqual(restored.metadata);

    const deployments = [{ operations: ['DELETE'], apiGroups: ['apps'], resources: ['deployments'] }];
    await policies.mergePatch({ name }, { spec: { actions: deployments, conditions: null } });
    expect(readyOf(await reported(name))?.status).toBe('True');
    await eventually('the pin to go', () => isGone(stamps.get(pinName)));
    await policies.mergePatch({ name }, { spec: { actions } });
    await eventually('the pin to come', () => stamps.get(pinName));
    await policies.delete({ name });
    await eventually('the pin to go with its policy', () => isGone(stamps.get(pinName)));
  });

  test.each<{ given: string; overrides: object; want: object }>([
    {
      given: 'that nobody can approve',
      overrides: { approval: { require: [{ name: 'two', count: 2, approvers: { users: ['ada'] } }] } },
      want: {
        status: 'False',
        reason: 'ImpossibleRequirement',
        message:
          'requirement two can never be met: it takes 2 and 1 of the named approvers may vote (one vote each, and none of whom the policy gates); name more users, or a group',
      },
    },
    {
      given: 'that governs nothing that is served',
      overrides: { actions: [{ operations: ['UPDATE'], apiGroups: ['apps'], resources: ['deploymints'] }] },
      want: {
        status: 'False',
        reason: 'KindNotServed',
        message: 'deploymints is not served in apps; correct its name or group, or install its API',
      },
    },
    {
      given: 'that selects no namespace of what it governs',
      overrides: {
        namespaceSelector: { matchLabels: { a: 'b' } },
        actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['nodes'] }],
      },
      want: {
        status: 'False',
        reason: 'NeverMatched',
        message: 'nodes is cluster-scoped and no namespaceSelector selects it; move it to a policy without one',
      },
    },
    {
      given: 'with CEL without guards',
      overrides: { conditions: [{ name: 'tier', expression: "object.metadata.labels['tier'] == 'a'" }] },
      want: {
        status: 'True',
        reason: 'UnguardedCEL',
        message: expect.stringMatching(
          /^stepup-policy-\d+ asks by \d entries; condition tier reads object\.metadata\.labels\.tier, which may be absent; guard it with has\(object\.metadata\.labels\) && has\(object\.metadata\.labels\.tier\); until then such requests of gated accounts are refused with an error; condition tier reads labels or annotations of object only, so whoever takes them away is not asked about; read those of \(oldObject == null \? object : oldObject\)$/,
        ),
      },
    },
    {
      given: 'with subjects that are never gated',
      overrides: { subjects: { include: [{ kind: 'User', name: 'system:serviceaccount:stepup-system:stepup' }] } },
      want: {
        status: 'True',
        reason: 'NeverGated',
        message: expect.stringMatching(
          /^stepup-policy-\d+ asks by 1 entry; spec\.subjects\.include names system:serviceaccount:stepup-system:stepup, which is never gated; remove it$/,
        ),
      },
    },
  ])('$given says so', async ({ overrides, want }) => {
    const { name } = (await createPolicy(policySpec(overrides))).metadata;
    expect(readyOf(await reported(name))).toMatchObject(want);
    await policies.delete({ name });
  });

  test('has its gate back after it is deleted, edited or stripped of its label', async () => {
    const { name, uid } = (await createPolicy(policySpec())).metadata;
    await reported(name);
    const key = { name: `stepup-${name}` };
    const before = await gates.get(key);
    const restoredAfter = async (change: () => Promise<unknown>) => {
      await change();
      const start = performance.now();
      await eventually(
        'the gate to be restored',
        async () => {
          const { webhooks, metadata } = await gates.get(key);
          expect(webhooks).toEqual(before.webhooks);
          return metadata.labels?.['stepup.dev/managed'] === 'true';
        },
        { intervalMs: 1 },
      );
      return Math.round(performance.now() - start);
    };
    const took = {
      deleted: await restoredAfter(() => gates.delete(key)),
      edited: await restoredAfter(() => gates.mergePatch(key, { webhooks: [] })),
      unlabelled: await restoredAfter(() => gates.mergePatch(key, { metadata: { labels: null } })),
    };
    process.stdout.write(`restored within ms: ${JSON.stringify(took)}\n`);
    const event = await eventually('the event', async () => {
      const { items } = await plane.admin.list('/apis/events.k8s.io/v1/namespaces/default/events');
      return items.find((one) => (one.regarding as { uid?: string }).uid === uid);
    });
    expect(event).toMatchObject({ type: 'Warning', reason: 'Restored' });
    expect(await operator.registry.metrics()).toMatch(
      /stepup_restores_total\{kind="ValidatingWebhookConfiguration"\} [1-9]/,
    );
  });

  test('that is gone takes a gate with it that was made while nobody looked', async () => {
    const key = { name: `stepup-${freshName('orphan')}` };
    await gates.create({ metadata: { ...key, labels: { 'stepup.dev/managed': 'true' } }, webhooks: [] });
    await eventually('the orphan to go', () => isGone(gates.get(key)));
    const foreign = { name: `stepup-${freshName('foreign')}` };
    await gates.create({ metadata: foreign, webhooks: [] });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await gates.get(foreign)).metadata.name).toBe(foreign.name);
  });
});

describe('matchConditions', () => {
  /** No webhook answers here: a request that is asked about fails, one that is not passes. */
  test('ask about gated identities that change a governed field, and about nobody and nothing else', async () => {
    const namespace = await freshNamespace({ environment: 'tested' });
    const namespaceSelector = { matchLabels: { environment: 'tested' } };
    const { name } = (
      await createPolicy(
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
    await reported(name);
    const deployment = await createDeployment(namespace);
    await configMaps.create({ metadata: { namespace, name: 'kept' } });
    const as = async (user: string, groups: readonly string[], path: string, patch?: object) => {
      const { code } = await plane.admin.send(patch === undefined ? 'DELETE' : 'PATCH', `${path}?dryRun=All`, {
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
    await policies.delete({ name });
    await eventually('the gate to go', () => isGone(gates.get({ name: `stepup-${name}` })));
  });
});

describe('matchConditions on a real object', () => {
  test('see items of lists, marks that are taken away, tokens and connections', async () => {
    const namespace = await freshNamespace({ environment: 'listed' });
    const { name } = (
      await createPolicy(
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
    expect(readyOf(await reported(name))).toMatchObject({ status: 'True', reason: 'InPlace' });
    const deployment = await createDeployment(namespace);
    const as = async (method: 'PATCH' | 'POST', path: string, body: object) => {
      const { code } = await plane.admin.send(method, `${path}?dryRun=All`, {
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
    await deployments.mergePatch(deployment.metadata, tier('a'));
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
    await deployments.mergePatch(deployment.metadata, tier(null));
    expect(await as('PATCH', path, image), 'without the mark').toBe(200);
    await policies.delete({ name });
    await eventually('the gate to go', () => isGone(gates.get({ name: `stepup-${name}` })));
  });
});

describe('the entry of our own kinds', () => {
  test('comes back when it is edited or deleted', async () => {
    const key = { name: 'stepup-stamp' };
    const before = await stamps.get(key);
    const isBack = async () => {
      expect((await stamps.get(key)).webhooks).toEqual(before.webhooks);
      return true;
    };
    await stamps.mergePatch(key, { webhooks: [] });
    await eventually('it to be restored', isBack);
    await stamps.delete(key);
    await eventually('it to be made again', isBack);
  });
});

describe('certificates', () => {
  test('are made anew when their Secret is deleted, and trusted everywhere before they serve', async () => {
    const { name } = (await createPolicy(policySpec())).metadata;
    await reported(name);
    const key = { namespace: 'stepup-system', name: 'stepup-tls' };
    const before = await secrets.get(key);
    await secrets.delete(key);
    const after = await eventually('a new leaf', async () => {
      const secret = await secrets.get(key);
      return secret.data?.['tls.crt'] !== before.data?.['tls.crt'] ? secret : undefined;
    });
    expect(after.type).toBe('kubernetes.io/tls');
    expect(Object.keys(after.data ?? {}).sort()).toEqual(['ca.crt', 'ca.key', 'tls.crt', 'tls.key']);
    const bundle = after.data?.['ca.crt'] ?? '';
    // The old authority still vouches for what other replicas serve.
    expect(Buffer.from(bundle, 'base64').toString()).toContain(
      Buffer.from(before.data?.['ca.crt'] ?? '', 'base64').toString(),
    );
    for (const configuration of [
      await gates.get({ name: `stepup-${name}` }),
      await stamps.get({ name: 'stepup-stamp' }),
    ]) {
      expect(configuration.webhooks?.map(({ clientConfig }) => clientConfig.caBundle)).toEqual(
        configuration.webhooks?.map(() => bundle),
      );
    }
  });
});

describe('packs', () => {
  const key = { namespace: 'stepup-system', name: 'stepup-packs' };
  const manifest = (name: string, spec: object) =>
    JSON.stringify({ apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpPolicy', metadata: { name }, spec });

  test('are applied, put back when edited or deleted, and removed when switched off', async () => {
    const [one, two] = [freshName('pack'), freshName('pack')];
    const spec = policySpec();
    const data = { [`${one}.yaml`]: manifest(one, spec), [`${two}.yaml`]: manifest(two, spec), 'bad.yaml': 'a: [' };
    await configMaps.create({ metadata: key, data });
    const applied = await reported(one);
    expect(readyOf(await reported(two))?.status).toBe('True');
    expect(applied.metadata.labels).toEqual({ 'stepup.dev/pack': one });
    expect(operator.logs.some((line) => line.includes('a pack cannot be applied'))).toBe(true);

    const isPutBack = async () => {
      const { spec: now, metadata } = await policies.get({ name: one });
      expect(now).toEqual(applied.spec);
      expect(metadata.labels).toEqual({ 'stepup.dev/pack': one });
      return true;
    };
    await policies.mergePatch({ name: one }, { spec: { failurePolicy: 'Ignore', grant: { ttlSeconds: 7 } } });
    await eventually('the edits to be put back', isPutBack);
    // Something the pack says nothing about.
    const exclude = [{ kind: 'User', name: 'mallory' }];
    await policies.mergePatch({ name: one }, { spec: { subjects: { exclude } } });
    await eventually('the addition to be put back', isPutBack);
    await policies.mergePatch({ name: one }, { metadata: { labels: null } });
    await eventually('the label to be put back', isPutBack);
    await policies.delete({ name: one });
    await eventually('the policy to be made again', isPutBack);

    const stored = await configMaps.get(key);
    const { [`${two}.yaml`]: _, ...rest } = data;
    await configMaps.replace({ ...stored, data: rest });
    await eventually('the pack to be removed', () => isGone(policies.get({ name: two })));
    await configMaps.delete(key);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await isPutBack()).toBe(true);
  });

  test('never take over a policy that somebody wrote', async () => {
    const name = freshName('mine');
    await createPolicy(policySpec({ grant: { ttlSeconds: 5 } }), name);
    await configMaps.delete(key).catch(() => undefined);
    await configMaps.create({ metadata: key, data: { [`${name}.yaml`]: manifest(name, policySpec()) } });
    await eventually('the complaint', () => operator.logs.some((line) => line.includes('from no pack')));
    expect((await policies.get({ name })).spec.grant?.ttlSeconds).toBe(5);
    await configMaps.delete(key);
  });
});

describe('an approval', () => {
  test('gets its phase, columns and the decision that approves it; nobody decides, so it times out', async () => {
    const { name: policy } = (await createPolicy(policySpec({ request: { pendingTTLSeconds: 2 } }))).metadata;
    const namespace = await freshNamespace();
    const approval = await createApproval(policy, { namespace, resource: 'deployments', group: 'apps', name: 'web' });
    const pending = await phaseOf(approval, 'Pending');
    expect(pending.status).toMatchObject({
      votes: '0/1',
      missing: '1 of 1 approval by group approvers',
      summary: { requester: 'ci/deployer', action: 'UPDATE deployments web' },
    });
    expect(JSON.parse(pending.status?.approveWith ?? '')).toMatchObject({
      kind: 'StepUpDecision',
      spec: { approval: { name: approval.metadata.name, uid: approval.metadata.uid }, verdict: 'Approve' },
    });
    const ended = await phaseOf(approval, 'TimedOut');
    const lateMs = Date.parse(ended.status?.endedAt ?? '') - Date.parse(approval.metadata.creationTimestamp) - 2000;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    expect(lateMs).toBeLessThan(1000);
    // Created, Pending, TimedOut.
    expect(await writesOf(approval)).toBe(3);
  });

  test('that is approved and not used expires at its instant', async () => {
    const { name: policy } = (await createPolicy(policySpec({ grant: { ttlSeconds: 2 } }))).metadata;
    const namespace = await freshNamespace();
    const approval = await createApproval(policy, { namespace, resource: 'deployments', group: 'apps', name: 'web' });
    await approve(approval);
    const approved = await phaseOf(approval, 'Approved');
    expect(approved.status).toMatchObject({ votes: '1/1', decisions: [{ decidedBy: 'ann', counted: true }] });
    const ended = await phaseOf(approval, 'Expired');
    expect(Date.parse(ended.status?.endedAt ?? '')).toBeGreaterThanOrEqual(
      Date.parse(approved.status?.usableUntil ?? ''),
    );
    expect(await writesOf(approval)).toBeLessThanOrEqual(4);
  });

  test('is removed when its time of keeping is over', async () => {
    await operator.stop();
    operator = startOperator(rest, { retentionSeconds: 2 });
    const { name: policy } = (await createPolicy(policySpec({ request: { pendingTTLSeconds: 1 } }))).metadata;
    const namespace = await freshNamespace();
    const approval = await createApproval(policy, { namespace, resource: 'deployments', group: 'apps', name: 'web' });
    await phaseOf(approval, 'TimedOut');
    await eventually('it to be removed', () => isGone(approvals.get(approval.metadata)));
    await operator.stop();
    operator = startOperator(rest);
  });
});

describe('a reservation', () => {
  const short = { grant: { ttlSeconds: 600 } };

  test('of an UPDATE whose effect is the next generation is Consumed, Observed', async () => {
    const { approval, deployment, next } = await reservedUpdate(short);
    await deployments.mergePatch(deployment.metadata, next);
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
    // Created, Pending, Approved, reserved, Consumed.
    expect(await writesOf(approval)).toBeLessThanOrEqual(5);
  });

  test('of an UPDATE that lost to another write is released', async () => {
    const { approval, deployment } = await reservedUpdate(short);
    await deployments.mergePatch(deployment.metadata, { metadata: { labels: { harmless: 'yes' } } });
    await deployments.mergePatch(deployment.metadata, { spec: { replicas: 7 } });
    const released = await phaseOf(approval, 'Approved');
    expect(released.status?.releases).toMatchObject([{ use: 0 }]);
  });

  test('of an UPDATE is told by the first later state, though more follow at once', async () => {
    const { approval, deployment, next } = await reservedUpdate(short);
    // Nobody looks while it happens: the next leader finds the reservation and starts where it was made.
    await operator.stop();
    await deployments.mergePatch(deployment.metadata, next);
    await deployments.mergePatch(deployment.metadata, { spec: { replicas: 9 } });
    await deployments.delete(deployment.metadata);
    operator = startOperator(rest);
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
  });

  test('of an UPDATE on a resourceVersion is told by the next one', async () => {
    const { name: policy } = (await createPolicy(policySpec(short))).metadata;
    const namespace = await freshNamespace();
    const old = await configMaps.create({ metadata: { namespace, name: 'settings' }, data: { a: '1' } });
    const content = { kind: 'Fields', pointers: ['/data'] } as const;
    const effect = effectOf(json(old), json({ ...old, data: { a: '2' } }), content);
    const reserve = async () => {
      const approval = await createApproval(policy, { namespace, resource: 'configmaps', name: 'settings' });
      const { uid, resourceVersion } = (await configMaps.get(old.metadata)).metadata;
      return reserved(approval, {
        base: { kind: 'ResourceVersion', uid, resourceVersion },
        effect,
        oldResourceVersion: resourceVersion,
      });
    };
    const lost = await reserve();
    await configMaps.mergePatch(old.metadata, { metadata: { labels: { other: 'write' } } });
    expect((await phaseOf(lost, 'Approved')).status?.releases).toHaveLength(1);
    const won = await reserve();
    await configMaps.mergePatch(old.metadata, { data: { a: '2' } });
    expect((await phaseOf(won, 'Consumed')).status?.evidence).toBe('Observed');
  });

  test('of a DELETE is Consumed once the object is gone', async () => {
    const { name: policy } = (await createPolicy(policySpec(short))).metadata;
    const namespace = await freshNamespace();
    const { metadata } = await configMaps.create({ metadata: { namespace, name: 'old' } });
    const approval = await createApproval(policy, {
      operation: 'DELETE',
      namespace,
      resource: 'configmaps',
      name: 'old',
    });
    await reserved(approval, {
      base: { kind: 'Deletion', uid: metadata.uid },
      oldResourceVersion: metadata.resourceVersion,
    });
    await configMaps.mergePatch(metadata, { data: { not: 'yet' } });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await approvals.get(approval.metadata)).status?.phase).toBe('Reserved');
    await configMaps.delete(metadata);
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
  });

  test('of a CREATE is Consumed once the recorded UID is seen', async () => {
    const { name: policy } = (await createPolicy(policySpec(short))).metadata;
    const namespace = await freshNamespace();
    const action = { operation: 'CREATE', namespace, resource: 'configmaps', name: 'new' } as const;
    const other = await reserved(await createApproval(policy, action), { base: { kind: 'Creation', uid: 'another' } });
    const { metadata } = await configMaps.create({ metadata: { namespace, name: 'new' } });
    const approval = await reserved(await createApproval(policy, action), {
      base: { kind: 'Creation', uid: metadata.uid },
    });
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
    expect((await approvals.get(other.metadata)).status?.phase).toBe('Reserved');
  });

  test('of a kind that may not be read stays to the end and is Unconfirmed then', async () => {
    const { name: policy } = (await createPolicy(policySpec({ grant: { ttlSeconds: 1 } }))).metadata;
    const namespace = await freshNamespace();
    const approval = await createApproval(policy, {
      operation: 'DELETE',
      namespace,
      resource: 'secrets',
      name: 'gone',
    });
    await reserved(approval, { base: { kind: 'Deletion', uid: 'some' } });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await approvals.get(approval.metadata)).status?.phase).toBe('Reserved');
    // The window, and the API server's cap on a request.
    const ended = await phaseOf(approval, 'Consumed', 45_000);
    expect(ended.status?.evidence).toBe('Unconfirmed');
  }, 60_000);
});

describe('uninstalling', () => {
  const lease = { namespace: 'stepup-system', name: 'stepup' };
  const service = { namespace: 'stepup-system', name: 'stepup' };
  const keptSecrets = ['stepup-tls', 'stepup-keys'].map((name) => ({ namespace: 'stepup-system', name }));

  test('takes the Lease from a leader that would restore everything', async () => {
    await operator.stop();
    await createPolicy(policySpec());
    const stop = new AbortController();
    const elector = new LeaderElector({
      leases: new ResourceClient<Lease>(rest, resources.leases),
      lease,
      identity: 'pod-1',
    });
    const leading = elector.run(stop.signal, async (signal) => {
      const leader = startOperator(rest);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await leader.stop();
    });
    await eventually('the leader to put gates in place', async () => (await managed()).length > 1);
    const { log } = linesOf();
    await uninstall({ rest, lease, service, keptSecrets, log, clock: systemClock }, AbortSignal.timeout(20_000));
    expect(await managed()).toEqual([]);
    expect(elector.isLeader).toBe(false);
    stop.abort();
    await leading;
  }, 30_000);

  test('leaves no webhook configuration and no pack, again and again', async () => {
    await operator.stop();
    await createPolicy(policySpec());
    const pack = freshName('pack');
    await policies.create({
      metadata: { name: pack, labels: { 'stepup.dev/pack': pack } },
      spec: policySpec() as StepUpPolicy['spec'],
    });
    const { lines, log } = linesOf();
    for (let round = 0; round < 2; round++) {
      await uninstall({ rest, lease, service, keptSecrets, log, clock: systemClock }, AbortSignal.timeout(20_000));
    }
    expect(await managed()).toEqual([]);
    expect(await isGone(policies.get({ name: pack }))).toBe(true);
    for (const secret of keptSecrets) expect(await isGone(secrets.get(secret))).toBe(true);
    expect(lines.at(-1)).toBe('stepup governs nothing any more {}');
  });

  test('leaves nothing that calls the Service, label or not, and nothing of others is touched', async () => {
    await operator.stop();
    const calling = (name: string) => ({
      metadata: { name: freshName(name) },
      webhooks: [
        {
          name: 'action.example.test',
          admissionReviewVersions: ['v1'],
          clientConfig: { service: { namespace: 'stepup-system', name, path: '/', port: 443 } },
          sideEffects: 'None',
          rules: [{ apiGroups: ['example.test'], apiVersions: ['*'], operations: ['*'], resources: ['things'] }],
        },
      ],
    });
    const stored = await Promise.all(
      ['stepup', 'other'].map((name) => gates.create(calling(name) as unknown as NewObject<WebhookConfiguration>)),
    );
    const { log } = linesOf();
    await uninstall({ rest, lease, service, keptSecrets, log, clock: systemClock }, AbortSignal.timeout(20_000));
    const gone = await Promise.all(stored.map(({ metadata }) => isGone(gates.get({ name: metadata.name }))));
    expect(gone).toEqual([true, false]);
  });

  test('gives the Lease to the RoleBinding of its name; without one it deletes a Lease that nobody held', async () => {
    const leases = new ResourceClient<Lease>(rest, resources.leases);
    const { log } = linesOf();
    const run = async (holderIdentity: string) => {
      const { spec, ...others } = await leases.get(lease).catch(() => leases.create({ metadata: lease, spec: {} }));
      await leases.replace({ ...others, spec: { ...spec, holderIdentity } });
      await uninstall({ rest, lease, service, keptSecrets, log, clock: systemClock }, AbortSignal.timeout(20_000));
    };
    await run('pod-1');
    expect((await leases.get(lease)).metadata.ownerReferences).toBeUndefined();
    await run('');
    expect(await isGone(leases.get(lease))).toBe(true);
    const made = await plane.admin.post('/apis/rbac.authorization.k8s.io/v1/namespaces/stepup-system/rolebindings', {
      metadata: { name: lease.name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: lease.name },
    });
    await run('');
    const { ownerReferences } = (await leases.get(lease)).metadata;
    expect(ownerReferences).toMatchObject([{ kind: 'RoleBinding', name: lease.name, uid: made.metadata.uid }]);
  });
});

/** Governs nothing that this file writes, so that no request of it waits for a webhook that is not there. */
function policySpec(overrides: object = {}): object {
  return {
    subjects: { include: [{ kind: 'User', name: 'nobody' }] },
    actions: [{ operations: ['UPDATE'], apiGroups: ['apps'], resources: ['deployments'], fields: ['/spec/template'] }],
    approval: { require: [{ name: 'approvers', count: 1, approvers: { groups: ['approvers'] } }] },
    ...overrides,
  };
}

async function managed(): Promise<readonly WebhookConfiguration[]> {
  const all = [...(await gates.list()).items, ...(await stamps.list()).items];
  return all.filter(({ metadata }) => metadata.labels?.['stepup.dev/managed'] !== undefined);
}

function linesOf() {
  const lines: string[] = [];
  const write = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, log: { debug: write, info: write, warn: write, error: write } };
}

function json(object: object): JsonObject {
  return JSON.parse(JSON.stringify(object));
}

async function createDeployment(namespace: string): Promise<Deployment> {
  const labels = { app: 'web' };
  const containers = [{ name: 'main', image: 'example.test/web:1' }];
  const spec = {
    replicas: 1,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers } },
  };
  return deployments.create({ metadata: { namespace, name: freshName('web') }, spec });
}

type Target = Partial<StepUpApproval['spec']['action']> & { readonly namespace: string };

/** Made as our own identity makes them: by impersonation, since nobody answers /stamp here. */
async function createApproval(policy: string, target: Target): Promise<StepUpApproval> {
  const action = { operation: 'UPDATE', group: '', version: 'v1', ...target };
  const requester = { username: 'system:serviceaccount:ci:deployer' };
  const metadata = { namespace: target.namespace, name: freshName('approval') };
  const spec = { policy: { name: policy }, requester, action, change: {}, origin: 'Asked' };
  return asOperator<StepUpApproval>(stepUpApprovals.plural, metadata.namespace, { metadata, spec });
}

async function approve({ metadata }: StepUpApproval): Promise<void> {
  const approval = { name: metadata.name, uid: metadata.uid };
  await asOperator<StepUpDecision>(stepUpDecisions.plural, metadata.namespace, {
    metadata: { namespace: metadata.namespace, name: freshName('decision') },
    spec: {
      approval,
      verdict: 'Approve',
      decidedBy: { username: 'ann', groups: ['approvers'] },
      kind: 'Human',
      decidedAt: new Date().toISOString(),
    },
  });
}

async function asOperator<T>(plural: string, namespace: string, body: object): Promise<T> {
  const kind = plural === 'stepupapprovals' ? 'StepUpApproval' : 'StepUpDecision';
  const answer = await plane.admin.send('POST', `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/${plural}`, {
    headers: {
      'impersonate-user': 'system:serviceaccount:stepup-system:stepup',
      'impersonate-group': 'system:masters',
    },
    body: { apiVersion: 'stepup.dev/v1alpha1', kind, ...body },
  });
  expect(answer).toMatchObject({ code: 201 });
  return answer.body as T;
}

/** Approves, waits, and writes the use as the webhook would. */
async function reserved(approval: StepUpApproval, use: Omit<Use, 'attemptKey' | 'digest' | 'reservedAt'>) {
  await approve(approval);
  return eventually('the reservation', async () => {
    const current = await approvals.get(approval.metadata);
    if (current.status?.phase !== 'Approved') return undefined;
    const uses = [{ attemptKey: 'key', digest: 'digest', reservedAt: new Date().toISOString(), ...use }];
    return approvals.replaceStatus({ ...current, status: { ...current.status, phase: 'Reserved', uses } });
  });
}

async function reservedUpdate(spec: object) {
  const { name: policy } = (await createPolicy(policySpec(spec))).metadata;
  const namespace = await freshNamespace();
  const deployment = await createDeployment(namespace);
  const { name, uid, generation = 0, resourceVersion } = deployment.metadata;
  const approval = await createApproval(policy, { namespace, group: 'apps', resource: 'deployments', name });
  const next = { spec: { template: { metadata: { annotations: { changed: 'yes' } } } } };
  const changed = await deployments.mergePatch(deployment.metadata, next, { dryRun: true });
  const effect = effectOf(json(deployment), json(changed), { kind: 'Fields', pointers: ['/spec/template'] });
  await reserved(approval, {
    base: { kind: 'Generation', uid, generation },
    effect,
    oldResourceVersion: resourceVersion,
  });
  return { approval, deployment, next };
}

function phaseOf(approval: StepUpApproval, phase: string, timeoutMs = 15_000): Promise<StepUpApproval> {
  return eventually(
    `phase ${phase}`,
    async () => {
      const current = await approvals.get(approval.metadata);
      if (current.status?.phase !== phase) throw new Error(`is ${JSON.stringify(current.status?.phase)}`);
      return current;
    },
    { timeoutMs },
  );
}

/** How often the object was written, by etcd's count of its versions: the audit log names each write. */
async function writesOf({ metadata }: StepUpApproval): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 300));
  const lines = (await readFile(plane.auditLogs[0] ?? '', 'utf8')).trim().split('\n');
  const writes = lines
    .map((line) => JSON.parse(line))
    .filter(
      ({ objectRef, verb, stage, responseStatus }) =>
        stage === 'ResponseComplete' &&
        objectRef?.resource === 'stepupapprovals' &&
        objectRef?.name === metadata.name &&
        ['create', 'update', 'patch'].includes(verb) &&
        responseStatus?.code < 300,
    );
  return writes.length;
}
