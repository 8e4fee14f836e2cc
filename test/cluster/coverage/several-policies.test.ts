// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Several policies on one request: in whatever order approvals arrive, it passes once all are there, and nothing is
// spent before.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { Actors } from '../../support/installation/actors.ts';
import { approve, getApproval } from '../../support/installation/approvals.ts';
import { whileBlocked } from '../../support/installation/blocker.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import { apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
  const governed = (resources: readonly string[]) => [
    { operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], resources },
  ];
  const grant = { binding: 'Target' };
  const condition = (expression: string) => ({ grant, conditions: [{ name: 'own', expression }] });
  // Both govern ConfigMaps for certain; of Services only the API server knows; of accounts the second governs none.
  await addPolicy(stepup, 'one', governed(['configmaps', 'services', 'serviceaccounts']), { grant });
  await addPolicy(stepup, 'two', governed(['configmaps']), { grant });
  await addPolicy(stepup, 'maybe', governed(['services']), condition("request.name != ''"));
  // In one namespace a third and a fourth govern them too; the fourth wants two people.
  await createNamespace('many', { environment: 'production', asked: 'four' });
  const twice = { approval: { require: [{ name: 'review', count: 2, approvers: { groups: ['approvers'] } }] } };
  const many = { namespaceSelector: { matchLabels: { asked: 'four' } } };
  await addPolicy(stepup, 'three', governed(['configmaps']), { grant, ...many });
  await addPolicy(stepup, 'four', governed(['configmaps']), { grant, ...many, ...twice });
  await addPolicy(stepup, 'never', governed(['serviceaccounts']), condition("request.name == 'nobody'"));
}, 300_000);
afterAll(() => stepup?.stop());

type Operation = 'CREATE' | 'UPDATE' | 'DELETE';
interface Target {
  readonly operation: Operation;
  readonly resource: 'configmaps' | 'services' | 'serviceaccounts';
  readonly name: string;
}

const commands: Record<Target['resource'], (name: string) => Readonly<Record<Operation, string>>> = {
  configmaps: (name) => ({
    CREATE: `create configmap ${name} --from-literal=a=1`,
    UPDATE: `label configmap ${name} a=b`,
    DELETE: `delete configmap ${name}`,
  }),
  services: (name) => ({
    CREATE: `create service clusterip ${name} --tcp=80`,
    UPDATE: `label service ${name} a=b`,
    DELETE: `delete service ${name}`,
  }),
  serviceaccounts: (name) => ({
    CREATE: `create serviceaccount ${name}`,
    UPDATE: `label serviceaccount ${name} a=b`,
    DELETE: `delete serviceaccount ${name}`,
  }),
};

async function createNamespace(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
  const rbac = 'rbac.authorization.k8s.io';
  await apply(stepup.cluster, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name: 'deployer', namespace: name },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'stepup-gated-admin' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'deployer' }],
    },
  ]);
}

const namespaceOf = ({ name }: Pick<Target, 'name'>) => (name.startsWith('many-') ? 'many' : 'prod');

const attempt = (target: Target) => {
  const { resource, name, operation } = target;
  const command = commands[resource](name)[operation];
  return stepup.kubectl('deployer', ['-n', namespaceOf(target), ...command.split(' ')]);
};

async function prepared(target: Target): Promise<Target> {
  if (target.operation !== 'CREATE') {
    const made = await stepup.kubectl('admin', [
      '-n',
      namespaceOf(target),
      ...commands[target.resource](target.name).CREATE.split(' '),
    ]);
    expect(made.code, made.stderr).toBe(0);
  }
  return target;
}

/** Puts the target back to where it was, as somebody who is not gated: the same change would have its effect anew. */
async function undone(target: Target): Promise<Target> {
  const { operation, resource, name } = target;
  const undo = {
    CREATE: `delete ${resource.slice(0, -1)} ${name}`,
    UPDATE: `label ${resource.slice(0, -1)} ${name} a-`,
    DELETE: commands[resource](name).CREATE,
  }[operation];
  const result = await stepup.kubectl('admin', ['-n', namespaceOf(target), ...undo.split(' ')]);
  expect(result.code, result.stderr).toBe(0);
  return target;
}

/** An approver applies an approval by hand, which is the vote. */
async function applied(policy: string, { operation, resource, name }: Target) {
  const key = { namespace: 'prod', name: `${policy}-${name}` };
  const approval = handWritten(key, { operation, resource, name }, { policy: { name: policy } });
  const made = await stepup.kubectl('approver', ['create', '-f', '-'], { stdin: JSON.stringify(approval) });
  expect(made.code, made.stderr).toBe(0);
  return key;
}

const usesOf = async (key: { readonly namespace: string; readonly name: string }) =>
  (await getApproval(stepup, key)).status?.uses?.length ?? 0;

async function filedFor(name: string, policies: number) {
  return eventually(`${policies} approvals for ${name}`, async () => {
    const namespace = namespaceOf({ name });
    const path = `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals`;
    const { items } = await stepup.cluster.admin.list(path);
    const found = items.filter((one) => (one.spec as { action?: { name?: string } }).action?.name === name);
    return found.length === policies ? found.map(({ metadata }) => ({ namespace, name: metadata.name })) : undefined;
  });
}

const operations: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE'];
const orders = [
  ['one', 'two'],
  ['two', 'one'],
] as const;
const cases = operations.flatMap((operation) => orders.map((order) => ({ operation, order })));

describe('two policies that govern for certain', () => {
  test.each(cases)('$operation passes with approvals by hand in order $order', async ({ operation, order }) => {
    const name = `hand-${operation}-${order[0]}`.toLowerCase();
    const target = await prepared({ operation, resource: 'configmaps', name });
    const first = await applied(order[0], target);
    const early = await attempt(target);
    expect(early.stderr).toContain('stepup: ');
    expect(early.code).not.toBe(0);
    expect(await usesOf(first), 'nothing is spent').toBe(0);
    const second = await applied(order[1], target);
    const result = await attempt(target);
    expect(result.code, result.stderr).toBe(0);
    expect([await usesOf(first), await usesOf(second)]).toEqual([1, 1]);
    const again = await undone(target).then(attempt);
    expect(again.code, 'once').not.toBe(0);
  });

  test.each(cases)('$operation passes with filed approvals decided in order $order', async ({ operation, order }) => {
    const name = `filed-${operation}-${order[0]}`.toLowerCase();
    const target = await prepared({ operation, resource: 'configmaps', name });
    expect((await attempt(target)).code).not.toBe(0);
    const keys = await filedFor(name, 2);
    const sorted = [...keys].sort((a, b) => a.name.localeCompare(b.name) * (order[0] === 'one' ? 1 : -1));
    for (const [index, key] of sorted.entries()) {
      expect((await attempt(target)).code, `${index} of 2 approved`).not.toBe(0);
      expect(await Promise.all(sorted.map(usesOf))).toEqual([0, 0]);
      const vote = await approve(stepup, key);
      expect(vote.code, vote.stderr).toBe(0);
    }
    const result = await attempt(target);
    expect(result.code, result.stderr).toBe(0);
    expect(await Promise.all(sorted.map(usesOf))).toEqual([1, 1]);
  });
});

type Vote = readonly [policy: 'one' | 'two' | 'three' | 'four', actor: 'approver' | 'approver2'];
const votesInOrder: readonly (readonly [Operation, string, readonly Vote[]])[] = [
  [
    'CREATE',
    'the two of one policy last',
    [
      ['one', 'approver'],
      ['two', 'approver2'],
      ['three', 'approver'],
      ['four', 'approver'],
      ['four', 'approver2'],
    ],
  ],
  [
    'UPDATE',
    'the two of one policy apart',
    [
      ['four', 'approver2'],
      ['three', 'approver2'],
      ['one', 'approver'],
      ['four', 'approver'],
      ['two', 'approver'],
    ],
  ],
  [
    'DELETE',
    'the two of one policy first',
    [
      ['four', 'approver'],
      ['four', 'approver2'],
      ['two', 'approver'],
      ['one', 'approver2'],
      ['three', 'approver'],
    ],
  ],
];

describe('four policies, one of which two people satisfy', () => {
  test.each(votesInOrder)('%s passes with the last vote, %s', async (operation, _, votes) => {
    const name = `many-${operation}`.toLowerCase();
    const target = await prepared({ operation, resource: 'configmaps', name });
    expect((await attempt(target)).code).not.toBe(0);
    const keys = await filedFor(name, 4);
    const spent = () => Promise.all(keys.map(usesOf));
    for (const [index, [policy, actor]] of votes.entries()) {
      const early = await attempt(target);
      expect(early.code, `${index} of ${votes.length} votes`).not.toBe(0);
      expect(early.stderr).toContain('missing');
      expect(await spent(), 'nothing is spent').toEqual([0, 0, 0, 0]);
      const key = keys.find((one) => one.name.startsWith(`${policy}-`));
      if (key === undefined) throw new Error(`nothing was filed for ${policy}`);
      const vote = await approve(stepup, key, actor);
      expect(vote.code, vote.stderr).toBe(0);
    }
    const result = await attempt(target);
    expect(result.code, result.stderr).toBe(0);
    expect(await spent()).toEqual([1, 1, 1, 1]);
    const again = await undone(target).then(attempt);
    expect(again.code, 'once').not.toBe(0);
  });

  test.each(['UPDATE', 'DELETE'] as const)(
    '%s that somebody else refused is admitted again by all',
    async (operation) => {
      const name = `many-again-${operation}`.toLowerCase();
      const target = await prepared({ operation, resource: 'configmaps', name });
      const actors = new Actors(stepup);
      expect((await attempt(target)).code).not.toBe(0);
      const keys = await filedFor(name, 4);
      for (const key of keys) {
        expect((await approve(stepup, key)).code).toBe(0);
        if (key.name.startsWith('four-')) expect((await approve(stepup, key, 'approver2')).code).toBe(0);
      }
      const blocked = await whileBlocked(actors, { namespace: 'many', prefix: name }, () => attempt(target));
      expect(blocked.stderr).toContain('nobody.example.com');
      expect(await Promise.all(keys.map(usesOf)), 'reserved').toEqual([1, 1, 1, 1]);
      const result = await attempt(target);
      expect(result.code, result.stderr).toBe(0);
      expect(await Promise.all(keys.map(usesOf)), 'no second use').toEqual([1, 1, 1, 1]);
      const again = await undone(target).then(attempt);
      expect(again.code, 'once').not.toBe(0);
    },
  );
});

describe('a policy with CEL of its own', () => {
  test('that governs a CREATE has its approval filed before the other one is spent', async () => {
    const target: Target = { operation: 'CREATE', resource: 'services', name: 'maybe-create' };
    const byHand = await applied('one', target);
    expect((await attempt(target)).code).not.toBe(0);
    expect(await usesOf(byHand), 'nothing is spent').toBe(0);
    const filed = (await filedFor(target.name, 2)).find(({ name }) => name !== byHand.name);
    if (filed === undefined) throw new Error('nothing was filed');
    expect((await attempt(target)).code).not.toBe(0);
    expect(await usesOf(byHand), 'nothing is spent').toBe(0);
    expect((await approve(stepup, filed)).code).toBe(0);
    const result = await attempt(target);
    expect(result.code, result.stderr).toBe(0);
  });

  test('that does not govern it costs one refusal of each replica, and no more', async () => {
    const target: Target = { operation: 'CREATE', resource: 'serviceaccounts', name: 'never-create' };
    const byHand = await applied('one', target);
    const first = await attempt(target);
    expect(first.stderr).toContain(
      'policy never may govern the request too and has not decided on it yet; send the request again',
    );
    expect(await usesOf(byHand)).toBe(0);
    let refusals = 1;
    await eventually(
      'the CREATE to pass',
      async () => {
        if ((await attempt(target)).code === 0) return true;
        refusals += 1;
        return undefined;
      },
      { timeoutMs: 15_000, intervalMs: 1_100 },
    );
    expect(refusals).toBeLessThanOrEqual(4);
  });

  test('that does not govern an UPDATE or DELETE costs nothing', async () => {
    for (const operation of ['UPDATE', 'DELETE'] as const) {
      const target = await prepared({
        operation,
        resource: 'serviceaccounts',
        name: `never-${operation}`.toLowerCase(),
      });
      await applied('one', target);
      const result = await attempt(target);
      expect(result.code, result.stderr).toBe(0);
    }
  });
});
