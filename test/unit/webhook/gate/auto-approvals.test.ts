// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Policies that approve by themselves, over real HTTPS and kinds in memory: one read, one write, up to the rate.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Policy } from '../../../../src/domain/model/policy.ts';
import { AutoRate } from '../../../../src/webhook/gate/auto-rate.ts';
import { deletion, imageUpdate, ownNamespace, ownUsername, review } from '../../../support/builders/reviews.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';
import { status, uncertain } from '../../../support/fakes/fake-kinds.ts';
import { nameIn, reasonIn } from '../../../support/fakes/webhook-client.ts';
import { counted, type Harness, startWebhook } from '../../../support/fakes/webhook-harness.ts';

let webhook: Harness;
beforeEach(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys', { approval: { auto: { ratePerHour: 3 } } });
});
afterEach(() => webhook.stop());

const calls = () => ['list', 'create', 'replaceStatus'].map((call) => webhook.approvals.count(call as never));

describe('a policy that approves by itself', () => {
  test('lets a request pass with one read and one write, which records all of it', async () => {
    const answer = await webhook.ask(imageUpdate());
    expect(reasonIn(answer)).toBe('Allowed AutoApproved');
    const [list, create, replaceStatus] = calls();
    expect({ list, create, replaceStatus }).toEqual({ list: 2, create: 1, replaceStatus: 0 });
    const [made] = webhook.approvals.all;
    expect(made?.spec).toMatchObject({
      policy: { name: 'deploys' },
      origin: 'Auto',
      createdBy: { username: ownUsername },
      use: { base: { kind: 'Generation', generation: 4 }, digest: made?.spec.change?.digest },
      change: { preview: { diff: expect.stringContaining('nginx:2') } },
    });
    expect(answer.auditAnnotations?.approval).toBe(`prod/${made?.metadata.name}`);
    expect(await counted(webhook, 'stepup_reservations_total', { result: 'reserved' })).toBe(1);
  });

  test('admits the retry of a request on the same record', async () => {
    await webhook.ask(imageUpdate());
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Readmitted');
    expect(webhook.approvals.count('create')).toBe(1);
  });

  test('admits once when two replicas make the same record at once, by what it reads then', async () => {
    let isFirst = true;
    webhook.approvals.before = (call, object) => {
      if (call !== 'create' || !isFirst) return undefined;
      isFirst = false;
      // The other replica was faster.
      webhook.approvals.put(object as never);
      throw status(409, 'AlreadyExists');
    };
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Readmitted');
    expect(webhook.approvals.all).toHaveLength(1);
  });

  test('stops at the rate, and says so', async () => {
    const images = ['nginx:2', 'nginx:3', 'nginx:4', 'nginx:5'];
    const reasons: string[] = [];
    for (const image of images) reasons.push(reasonIn(await webhook.ask(imageUpdate(image))));
    expect(reasons).toEqual([...Array(3).fill('Allowed AutoApproved'), 'Denied RateExceeded']);
    expect(webhook.approvals.all).toHaveLength(3);
  });

  test('stops at the rate when all come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => webhook.ask(imageUpdate(`nginx:1${i}`))));
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(3);
  });

  test('asks people then, where it names any', async () => {
    const require = [{ name: 'people', approvers: { groups: ['approvers'] } }];
    webhook.policy('deploys', { approval: { auto: { ratePerHour: 1 }, require } });
    await webhook.ask(imageUpdate());
    const answer = await webhook.ask(imageUpdate('nginx:3'));
    expect(answer.status?.message).toContain('the rate of 1 per hour is used up; 1 of 1 approval by group approvers');
    expect(nameIn(answer)).toMatch(/^deploys-/);
  });

  test.each([
    ['a write that failed', () => status(500, 'InternalError')],
    ['a write of which nobody knows', uncertain],
  ])('refuses after %s, and keeps its place', async (_, failure) => {
    webhook.approvals.before = (call) => {
      if (call === 'create') throw failure();
      return undefined;
    };
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Denied Failed');
    webhook.approvals.before = () => undefined;
    for (const image of ['nginx:3', 'nginx:4', 'nginx:5'])
      expect((await webhook.ask(imageUpdate(image))).allowed).toBe(true);
  });

  test('refuses where what is stored is not what was written', async () => {
    webhook.approvals.before = (call, object) => {
      if (call === 'create' && object !== undefined)
        Object.assign(object, { spec: { ...object.spec, ticket: 'forged' } });
    };
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Denied Failed');
    webhook.approvals.before = () => undefined;
    expect(reasonIn(await webhook.ask(imageUpdate())), 'the record serves nobody').toBe('Allowed AutoApproved');
  });

  test('records in our own namespace what finds no room in its own', async () => {
    webhook.approvals.before = (call, object) => {
      if (call === 'create' && object?.metadata.namespace === 'prod')
        throw status(403, 'Forbidden', [{ reason: 'NamespaceTerminating' }]);
      return undefined;
    };
    expect((await webhook.ask(imageUpdate())).auditAnnotations?.approval).toMatch(`${ownNamespace}/deploys-`);
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Readmitted');
  });

  test('records nothing for a dry run, a change outside its fields, or in mode Observe', async () => {
    await webhook.ask(imageUpdate('nginx:2', 4, { dryRun: true }));
    await webhook.ask(imageUpdate('nginx:1'));
    webhook.policy('deploys', { mode: 'Observe', approval: { auto: { ratePerHour: 3 } } });
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed AutoApproved');
    expect(webhook.approvals.count('create')).toBe(0);
  });

  test('counts none of its records as waiting for people', async () => {
    const require = [{ name: 'people', approvers: { groups: ['approvers'] } }];
    const request = { maxPendingPerRequester: 1 };
    webhook.policy('deploys', { approval: { auto: { ratePerHour: 1 }, require }, request });
    await webhook.ask(imageUpdate());
    expect(reasonIn(await webhook.ask(imageUpdate('nginx:3')))).toBe('Denied ApprovalRequired');
  });

  test('is asked a second time about a deletion of the next incarnation', async () => {
    await webhook.ask(deletion());
    const next = { metadata: { name: 'web', namespace: 'prod', uid: 'object-next', resourceVersion: '90' } };
    expect(reasonIn(await webhook.ask(deletion({ oldObject: next })))).toBe('Allowed AutoApproved');
    expect(webhook.approvals.all).toHaveLength(2);
  });
});

test('nobody else makes a record with a use', async () => {
  const use = { attemptKey: 'k', digest: 'd', base: { kind: 'Deletion' }, reservedAt: '2026-01-01T00:00:00Z' };
  const spec = {
    policy: { name: 'deploys' },
    requester: { username: 'system:serviceaccount:ci:deployer' },
    action: {
      operation: 'DELETE',
      version: 'v1',
      group: 'apps',
      resource: 'deployments',
      namespace: 'prod',
      name: 'web',
    },
    change: { digest: `sha256:${'a'.repeat(64)}` },
  };
  const submit = (more: object) =>
    webhook.stamp(
      review({
        kind: { group: 'stepup.dev', version: 'v1alpha1', kind: 'StepUpApproval' },
        resource: { group: 'stepup.dev', version: 'v1alpha1', resource: 'stepupapprovals' },
        name: '',
        object: { metadata: { name: 'x', namespace: 'prod' }, spec: { ...spec, ...more } },
      }),
    );
  expect((await submit({})).allowed).toBe(true);
  expect((await submit({ use })).status?.message).toContain('this is a copy');
  expect((await submit({ origin: 'Auto' })).status?.message).toContain('this is a copy');
});

describe('the rate', () => {
  const of = (ratePerHour: number) =>
    ({ metadata: { name: 'p' }, spec: { approval: { auto: { ratePerHour } } } }) as unknown as Policy;

  test('counts what this replica made and what others did, each once, for an hour', async () => {
    const clock = fakeClock();
    const rate = new AutoRate(clock);
    rate.saw('p', 'uid-1');
    expect(rate.take(of(2))).toBe(true);
    expect(rate.take(of(2)), 'one is seen, one under way').toBe(false);
    rate.made('p', 'uid-2');
    rate.saw('p', 'uid-2');
    rate.saw('p', 'uid-1');
    expect([rate.open([of(2)]).size, rate.open([of(3)]).size]).toEqual([0, 1]);
    await clock.advance(3_599_000);
    expect(rate.open([of(2)]).size).toBe(0);
    await clock.advance(1_001);
    expect(rate.open([of(1)]).size).toBe(1);
  });

  test('has its place back when nothing was made', () => {
    const rate = new AutoRate(fakeClock());
    expect([rate.take(of(1)), rate.take(of(1))]).toEqual([true, false]);
    rate.notMade('p');
    expect(rate.take(of(1))).toBe(true);
  });

  test('of a policy without one is none', () => {
    expect(new AutoRate(fakeClock()).open([{ ...of(1), spec: { actions: [], approval: {} } }]).size).toBe(0);
  });
});
