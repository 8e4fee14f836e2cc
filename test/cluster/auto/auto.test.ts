// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Policies that approve by themselves, as the chart runs them: recorded, used once, up to the rate.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn, approve, approveDenied, phaseOf } from '../../support/installation/approvals.ts';
import { apply, type Installation, installStepup, policiesReady } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
const require = [{ name: 'people', approvers: { groups: ['approvers'] } }];
const deletionOf = (resource: string) => [{ operations: ['DELETE'], apiGroups: [''], resources: [resource] }];

beforeAll(async () => {
  stepup = await installStepup();
  const writes = [{ operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], resources: ['services'] }];
  await addPolicy(stepup, 'auto', writes, { approval: { auto: { ratePerHour: 6 }, require } });
  await addPolicy(stepup, 'alone', deletionOf('podtemplates'), { approval: { auto: { ratePerHour: 1 } } });
  await addPolicy(stepup, 'group-auto', deletionOf('limitranges'), { approval: { auto: { ratePerHour: 100 } } });
  await addPolicy(stepup, 'group-people', deletionOf('limitranges'));
});
afterAll(() => stepup?.stop());

interface Stored {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly origin: string; readonly policy: { readonly name: string }; readonly use?: object };
  readonly status?: { readonly phase?: string; readonly evidence?: string; readonly votes?: string };
}

async function approvalsOf(policy: string): Promise<readonly Stored[]> {
  const { items } = await stepup.cluster.admin.list('/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals');
  return (items as unknown as Stored[]).filter(({ spec }) => spec.policy.name === policy);
}

const bot = (command: string, stdin?: string) =>
  stepup.kubectl('root-bot', ['-n', 'prod', ...command.split(' ')], stdin === undefined ? {} : { stdin });
const admin = (object: object) => apply(stepup.cluster, [object]);

describe('a policy that approves by itself', () => {
  test('lets creation, change and deletion pass, each recorded, seen and consumed', async () => {
    expect(await bot('create service clusterip plain --tcp=80')).toMatchObject({ code: 0 });
    expect(await bot('patch service plain --type=merge -p {"spec":{"sessionAffinity":"ClientIP"}}')).toMatchObject({
      code: 0,
    });
    expect(await bot('delete service plain')).toMatchObject({ code: 0 });
    const made = await eventually('all to be consumed', async () => {
      const all = await approvalsOf('auto');
      return all.every(({ status }) => status?.phase === 'Consumed') ? all : undefined;
    });
    expect(made).toHaveLength(3);
    for (const { spec, status } of made) {
      expect({ origin: spec.origin, use: spec.use, status }).toMatchObject({
        origin: 'Auto',
        use: { base: { kind: expect.stringMatching(/^(Creation|ResourceVersion|Deletion)$/) } },
        status: { votes: '0/0' },
      });
    }
  });

  test('asks people once its rate is spent, and passes on their word', async () => {
    // Three were approved before.
    for (const name of ['b1', 'b2', 'b3'])
      expect((await bot(`create service clusterip ${name} --tcp=80`)).code).toBe(0);
    // Each replica counts what it sees the other one make, which takes it milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const denied = await bot('create service clusterip over --tcp=80');
    expect(denied.stderr).toContain('the rate of 6 per hour is used up; 1 of 1 approval by group approvers missing');
    await approveDenied(stepup, denied);
    await eventually(
      'the change to pass',
      async () => (await bot('create service clusterip over --tcp=80')).code === 0,
    );
  });

  test('refuses then, where it names nobody to ask', async () => {
    const body = (name: string) => ({
      apiVersion: 'v1',
      kind: 'PodTemplate',
      metadata: { namespace: 'prod', name },
      template: { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: 'c:1' }] } },
    });
    for (const name of ['one', 'two', 'three']) await admin(body(name));
    expect((await bot('delete podtemplate one')).code).toBe(0);
    await eventually('it to be seen by both', async () => (await approvalsOf('alone')).length === 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const name of ['two', 'three']) {
      expect((await bot(`delete podtemplate ${name}`)).stderr).toContain(
        'automatic approvals for this hour are used up',
      );
    }
    expect(await approvalsOf('alone')).toHaveLength(1);
  });

  test('is not bypassed by a record that somebody else makes', async () => {
    const [made] = await approvalsOf('alone');
    const copy = { ...made, metadata: { name: 'copy', namespace: 'prod' }, status: undefined };
    const created = await bot('create -f -', JSON.stringify(copy));
    expect(created.stderr).toContain('this is a copy of another approval');
  });
});

test('with another policy on the same request nothing is recorded before that one is satisfied', async () => {
  const range = { apiVersion: 'v1', kind: 'LimitRange', metadata: { namespace: 'prod', name: 'limits' } };
  await admin({ ...range, spec: { limits: [] } });
  // Whichever of the two answers first: both name the approval of the policy that asks people.
  const denied = await bot('delete limitrange limits');
  expect(denied.code).not.toBe(0);
  const key = approvalNamedIn(denied.stderr);
  expect(key.name).toMatch(/^group-people-/);
  expect(await approvalsOf('group-auto')).toEqual([]);
  await eventually('it to be filed', async () => (await approve(stepup, key)).code === 0);
  await eventually('the deletion to pass', async () => (await bot('delete limitrange limits')).code === 0);
  expect(await approvalsOf('group-auto')).toHaveLength(1);
  await phaseOf(stepup, key, 'Reserved');
});

test('taking auto away leaves it to people at once', async () => {
  const patch = JSON.stringify({ spec: { approval: { auto: null } } });
  await stepup.kubectl('admin', ['patch', 'sup', 'auto', '--type=merge', '-p', patch]);
  await policiesReady(stepup.cluster);
  await eventually('people to be asked', async () => {
    const denied = await bot('create service clusterip after --tcp=80');
    return denied.stderr.includes('to CREATE services prod/after: 1 of 1 approval by group approvers missing');
  });
});
