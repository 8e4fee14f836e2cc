// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A policy on a real API server: what the operator reports on it, and that its webhook configurations are put back.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { samplePolicies } from '../../support/builders/sample-policies.ts';
import { eventually } from '../../support/eventually.ts';
import { isGone, type OperatorLab, policySpec, readyOf, startOperatorLab } from './operator-lab.ts';

let lab: OperatorLab;

beforeAll(async () => {
  lab = await startOperatorLab();
}, 600_000);

afterAll(() => lab?.stop(), 30_000);

describe('a policy', () => {
  test.each(Object.entries(samplePolicies))('%s is accepted by the API server', async (name, spec) => {
    await lab.createPolicy(spec, name);
    expect(readyOf(await lab.reported(name))).toMatchObject({ status: 'True', reason: 'InPlace' });
    const gate = await lab.validatingConfigurations.get({ name: `stepup-${name}` });
    expect(gate.metadata.ownerReferences).toBeUndefined();
    expect(gate.webhooks?.every(({ clientConfig }) => clientConfig.caBundle)).toBe(true);
    await lab.policies.delete({ name });
    await eventually('the gate to go', () => isGone(lab.validatingConfigurations.get({ name: `stepup-${name}` })));
  });

  test('with CEL that does not compile is not Ready, in the words of the API server, and breaks only itself', async () => {
    const good = await lab.createPolicy(policySpec());
    const bad = await lab.createPolicy(
      policySpec({ conditions: [{ name: 'broken', expression: 'object.metadata.' }] }),
    );
    expect(readyOf(await lab.reported(bad.metadata.name))).toMatchObject({
      status: 'False',
      reason: 'InvalidByAPIServer',
      message: expect.stringMatching(
        /^ValidatingWebhookConfiguration.* is invalid: \[?webhooks\[0\]\.matchConditions\[\d\]\.expression: .*Syntax error/,
      ),
    });
    expect(readyOf(await lab.reported(good.metadata.name))?.status).toBe('True');
    expect(await isGone(lab.validatingConfigurations.get({ name: `stepup-${bad.metadata.name}` }))).toBe(true);
  });

  test('whose newer generation is refused keeps the gate it had, also when that is deleted', async () => {
    const { name } = (await lab.createPolicy(policySpec())).metadata;
    await lab.reported(name);
    const gate = await lab.validatingConfigurations.get({ name: `stepup-${name}` });
    const conditions = [{ name: 'broken', expression: '1 +' }];
    await lab.policies.mergePatch({ name }, { spec: { conditions } });
    expect(readyOf(await lab.reported(name))?.reason).toBe('InvalidByAPIServer');
    expect((await lab.validatingConfigurations.get({ name: `stepup-${name}` })).webhooks).toEqual(gate.webhooks);
    await lab.validatingConfigurations.delete({ name: `stepup-${name}` });
    const restored = await eventually('the last good gate', () =>
      lab.validatingConfigurations.get({ name: `stepup-${name}` }),
    );
    expect(restored.webhooks).toEqual(gate.webhooks);
  });

  test('that governs evictions has them name their pod, as long as it does', async () => {
    const actions = [{ operations: ['DELETE'], apiGroups: [''], resources: ['pods'] }];
    const { name } = (await lab.createPolicy(policySpec({ actions }))).metadata;
    await lab.reported(name);
    const pinName = { name: `stepup-pin-${name}` };
    const pin = await lab.mutatingConfigurations.get(pinName);
    expect(pin.webhooks).toMatchObject([
      {
        failurePolicy: 'Ignore',
        rules: [{ resources: ['pods/eviction'] }],
        clientConfig: { service: { path: '/pin' } },
      },
    ]);
    await lab.mutatingConfigurations.delete(pinName);
    const restored = await eventually('the pin to be back', () => lab.mutatingConfigurations.get(pinName));
    expect(restored.webhooks).toEqual(pin.webhooks);

    // A generation that the API server refuses changes neither, and is not tried over and over.
    await lab.policies.mergePatch({ name }, { spec: { conditions: [{ name: 'broken', expression: '1 +' }] } });
    expect(readyOf(await lab.reported(name))?.reason).toBe('InvalidByAPIServer');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect((await lab.mutatingConfigurations.get(pinName)).metadata).toEqual(restored.metadata);

    const deployments = [{ operations: ['DELETE'], apiGroups: ['apps'], resources: ['deployments'] }];
    await lab.policies.mergePatch({ name }, { spec: { actions: deployments, conditions: null } });
    expect(readyOf(await lab.reported(name))?.status).toBe('True');
    await eventually('the pin to go', () => isGone(lab.mutatingConfigurations.get(pinName)));
    await lab.policies.mergePatch({ name }, { spec: { actions } });
    await eventually('the pin to come', () => lab.mutatingConfigurations.get(pinName));
    await lab.policies.delete({ name });
    await eventually('the pin to go with its policy', () => isGone(lab.mutatingConfigurations.get(pinName)));
  });

  test.each<{ given: string; overrides: object; want: object }>([
    {
      given: 'that nobody can approve',
      overrides: { approval: { require: [{ name: 'two', count: 2, approvers: { users: ['ada'] } }] } },
      want: {
        status: 'False',
        reason: 'ImpossibleRequirement',
        message:
          'requirement two can never be met: that takes 2 votes, and only 1 of the named approvers can vote (each has one vote, and subjects of the policy have none); name more users, or a group',
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
        message: 'nodes is cluster-scoped, so no namespaceSelector selects it; move it to a policy without one',
      },
    },
    {
      given: 'with CEL without guards',
      overrides: { conditions: [{ name: 'tier', expression: "object.metadata.labels['tier'] == 'a'" }] },
      want: {
        status: 'True',
        reason: 'UnguardedCEL',
        message: expect.stringMatching(
          /^ValidatingWebhookConfiguration stepup-policy-\d+ is installed \(\d webhooks\); condition tier reads object\.metadata\.labels\.tier, which may be absent; guard it with has\(object\.metadata\.labels\) && has\(object\.metadata\.labels\.tier\); until you fix it, such requests of gated accounts are denied with an error; condition tier reads labels or annotations of object only, so a request that removes them is not governed; read those of \(oldObject == null \? object : oldObject\)$/,
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
          /^ValidatingWebhookConfiguration stepup-policy-\d+ is installed \(1 webhook\); spec\.subjects\.include names system:serviceaccount:stepup-system:stepup, which is never gated; remove it$/,
        ),
      },
    },
  ])('$given says so', async ({ overrides, want }) => {
    const { name } = (await lab.createPolicy(policySpec(overrides))).metadata;
    expect(readyOf(await lab.reported(name))).toMatchObject(want);
    await lab.policies.delete({ name });
  });

  test('has its gate back after it is deleted, edited or stripped of its label', async () => {
    const { name, uid } = (await lab.createPolicy(policySpec())).metadata;
    await lab.reported(name);
    const key = { name: `stepup-${name}` };
    const before = await lab.validatingConfigurations.get(key);
    const restoredAfter = async (change: () => Promise<unknown>) => {
      await change();
      const start = performance.now();
      await eventually(
        'the gate to be restored',
        async () => {
          const { webhooks, metadata } = await lab.validatingConfigurations.get(key);
          expect(webhooks).toEqual(before.webhooks);
          return metadata.labels?.['stepup.dev/managed'] === 'true';
        },
        { intervalMs: 1 },
      );
      return Math.round(performance.now() - start);
    };
    const took = {
      deleted: await restoredAfter(() => lab.validatingConfigurations.delete(key)),
      edited: await restoredAfter(() => lab.validatingConfigurations.mergePatch(key, { webhooks: [] })),
      unlabelled: await restoredAfter(() =>
        lab.validatingConfigurations.mergePatch(key, { metadata: { labels: null } }),
      ),
    };
    process.stdout.write(`restored within ms: ${JSON.stringify(took)}\n`);
    const event = await eventually('the event', async () => {
      const { items } = await lab.plane.admin.list('/apis/events.k8s.io/v1/namespaces/default/events');
      return items.find((one) => (one.regarding as { uid?: string }).uid === uid);
    });
    expect(event).toMatchObject({ type: 'Warning', reason: 'Restored' });
    expect(await lab.operator.registry.metrics()).toMatch(
      /stepup_restores_total\{kind="ValidatingWebhookConfiguration"\} [1-9]/,
    );
  });

  test('that is gone takes a gate with it that was made while nobody looked', async () => {
    const key = { name: `stepup-${lab.freshName('orphan')}` };
    await lab.validatingConfigurations.create({
      metadata: { ...key, labels: { 'stepup.dev/managed': 'true' } },
      webhooks: [],
    });
    await eventually('the orphan to go', () => isGone(lab.validatingConfigurations.get(key)));
    const foreign = { name: `stepup-${lab.freshName('foreign')}` };
    await lab.validatingConfigurations.create({ metadata: foreign, webhooks: [] });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await lab.validatingConfigurations.get(foreign)).metadata.name).toBe(foreign.name);
  });
});
