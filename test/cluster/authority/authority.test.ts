// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whose word counts, on the real API server with the chart's roles: who is refused and why, what one of two approvals
// looks like, delegates, owners, and a broken glass.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandsUnder, runDocumented } from '../../support/answers/shown-commands.ts';
import { eventually } from '../../support/eventually.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import { apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import { counted } from '../../support/installation/metrics.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { account, approvalIn, headless, type Key, People, type Said, type Someone } from './people.ts';

let stepup: Installation;
let people: People;

const ada: Someone = { user: 'ada', groups: ['approvers'] };
const grace: Someone = { user: 'grace', groups: ['approvers'] };
/** Listed by name, without the verb; unlisted, with the verb; on call; and the account that speaks for Git. */
const nora: Someone = { user: 'nora' };
const mallory: Someone = { user: 'mallory' };
const eve: Someone = { user: 'eve' };
const git = account('ci', 'git');
const rootBot = account('ci', 'root-bot');
const deployer = account('ci', 'deployer');
const planner = account('agents', 'planner');

const services = '/api/v1/namespaces/prod/services';
const serviceAccount = (name: string) => `/api/v1/namespaces/ci/serviceaccounts/${name}`;

beforeAll(async () => {
  stepup = await installStepup();
  people = new People(stepup);
  const production = { environment: 'production' };
  await apply(stepup.cluster, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'doomed', labels: production } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'ci', name: 'git' } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'decides' },
      rules: [{ apiGroups: ['stepup.dev'], resources: ['stepupdecisions'], verbs: ['create'] }],
    },
  ]);
  await people.bind('decides', nora);
  await people.bind('stepup-approver', planner);
  await people.bind('stepup-approver', git);
  await people.bind('stepup-break-glass', eve);
  await people.bind('edit', grace, 'ci');
  const approvers = { groups: ['approvers'], users: ['nora'], serviceAccounts: [{ namespace: 'ci', name: 'git' }] };
  const changes = [{ operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], resources: ['services'] }];
  await addPolicy(stepup, 'services', changes, {
    bypass: { enabled: true },
    approval: { require: [{ name: 'review', count: 2, approvers }] },
  });
}, 300_000);
afterAll(() => stepup?.stop());

const createService = (name: string, who = rootBot) => people.send(who, 'POST', services, headless(name));

/** root-bot is refused a Service of that name; the approval that was filed for it. */
async function asked(name: string, who = rootBot): Promise<Key> {
  const key = approvalIn(await createService(name, who));
  await people.phase(key, 'Pending');
  return key;
}

const votes = (key: Key, told: string) => people.reached(key, told, ({ status }) => status?.votes === told);

async function table(key: Key, ...args: string[]): Promise<string> {
  return (await stepup.kubectl('admin', ['-n', key.namespace, 'get', 'sua', ...args])).stdout;
}

function expectRefusal({ code, message }: Said, reason: string): void {
  expect(message).toContain(`stepup: ${reason}`);
  expect(code).toBe(403);
}

describe('a namespace deletion', () => {
  const attempt = () => people.send(deployer, 'DELETE', '/api/v1/namespaces/doomed');

  test('takes two people: one of them is 1/2 and still denied, and twice the same is one', async () => {
    const key = approvalIn(await attempt());
    await people.phase(key, 'Pending');
    expect((await people.decide(ada, key)).code).toBe(201);
    const half = await votes(key, '1/2');
    expect(await table(key, key.name)).toMatch(/\bPending +1\/2 /);
    expect(half.status).toMatchObject({
      required: 2,
      received: 1,
      missing: '1 of 2 approvals by group approvers',
    });
    const denied = await attempt();
    expect(denied.message).toContain('1 of 2 approvals by group approvers missing');
    expect(approvalIn(denied)).toEqual(key);

    expect((await people.decide(ada, key)).code).toBe(201);
    await people.reached(key, 'told of both words', ({ status }) => status?.decisions?.length === 2);
    expect((await people.read(key)).status?.votes).toBe('1/2');
    expect((await attempt()).code).toBe(403);

    expect((await people.decide(grace, key)).code).toBe(201);
    await votes(key, '2/2');
    expect((await attempt()).code).toBe(200);
    await people.phase(key, 'Consumed');
  });

  test('takes the accounts along, also those with an owner', async () => {
    const metadata = { namespace: 'doomed', name: 'worker', annotations: { 'stepup.dev/owner': 'grace' } };
    await stepup.cluster.admin.send('POST', '/api/v1/namespaces', {
      body: { metadata: { name: 'leaving' } },
    });
    await apply(stepup.cluster, [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, namespace: 'leaving' } },
    ]);
    await stepup.cluster.admin.delete('/api/v1/namespaces/leaving');
    await eventually(
      'the namespace to be gone',
      async () => (await stepup.cluster.admin.send('GET', '/api/v1/namespaces/leaving')).code === 404,
      { timeoutMs: 40_000 },
    );
  });
});

describe('a vote is refused with the reason', () => {
  let key: Key;
  beforeAll(async () => {
    key = await asked('refusals');
  });

  test.each<[string, Someone, string]>([
    ['of the requester', rootBot, 'the requester cannot approve its own action'],
    [
      'of another gated account, though it has the verb',
      planner,
      `${planner.user} is itself gated by a policy and not named`,
    ],
    ['of somebody with the verb whom no requirement names', mallory, 'mallory is not an approver of policy services'],
    [
      'of somebody whom a requirement names without the verb',
      nora,
      'user "nora" cannot "approve" stepuppolicies "services": bind the ClusterRole stepup-approver',
    ],
  ])('%s', async (_, who, reason) => {
    for (const verdict of ['Approve', 'Deny', 'Revoke'] as const) {
      expectRefusal(await people.decide(who, key, { verdict }), reason);
    }
    expect((await people.read(key)).status?.votes).toBe('0/2');
  });

  test('and counts once the verb is there, by name of the policy alone', async () => {
    await apply(stepup.cluster, [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: 'approves-services' },
        rules: [
          { apiGroups: ['stepup.dev'], resources: ['stepuppolicies'], resourceNames: ['services'], verbs: ['approve'] },
        ],
      },
    ]);
    await people.bind('approves-services', nora);
    await eventually('nora to be let in', async () => (await people.decide(nora, key)).code === 201);
    await votes(key, '1/2');
  });

  test('of who applies an approval without the verb', async () => {
    const apply = (who: Someone) =>
      people.send(
        who,
        'POST',
        '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals?dryRun=All',
        handWritten({ generateName: 'by-hand-' }, { name: 'db' }, { requester: { username: rootBot.user } }),
      );
    expect((await apply(ada)).code).toBe(201);
    const other = { user: 'someone', groups: ['approvers-to-be'] };
    await people.bind('stepup-requester', other);
    expectRefusal(await apply(other), 'someone is not an approver of policy secret-deletion');
  });
});

describe('the owner of an account', () => {
  const annotate = (who: Someone, name: string, annotations: object) =>
    people.send(who, 'PATCH', serviceAccount(name), { metadata: { annotations } });
  const own = (name: string) =>
    stepup.cluster.admin.patch(serviceAccount(name), { metadata: { annotations: { 'stepup.dev/owner': 'grace' } } });

  test('may not approve what it does, from the moment it is named', async () => {
    const before = await asked('owned-before');
    await own('root-bot');
    const after = await asked('owned-after');
    expect((await people.read(after)).spec.requester.owners).toEqual(['grace']);
    for (const key of [before, after]) {
      expectRefusal(await people.decide(grace, key), 'grace owns the requesting account');
      expect((await people.decide(ada, key)).code).toBe(201);
    }
    expectRefusal(await people.decide(git, after, { onBehalfOf: 'grace' }), 'grace owns the requesting account');
  });

  test('stays named, whatever the owner or the account does', async () => {
    await own('deployer');
    const says = 'only those who may update stepuppolicies take it away';
    for (const who of [deployer, grace]) {
      expect((await annotate(who, 'deployer', { 'stepup.dev/owner': null })).message).toContain(says);
      expect((await annotate(who, 'deployer', { 'stepup.dev/owner': 'nobody' })).message).toContain(says);
      expect((await people.send(who, 'DELETE', serviceAccount('deployer'))).message).toContain(says);
      expect((await annotate(who, 'deployer', { team: 'a' })).code).toBe(200);
    }
    await people.bind('stepup-admin', { user: 'root' });
    await people.bind('edit', { user: 'root' }, 'ci');
    await eventually('an admin of stepup to name another', async () => {
      const { code } = await annotate({ user: 'root' }, 'deployer', { 'stepup.dev/owner': 'ada' });
      return code === 200;
    });
  });
});

describe('a requester that could vote itself', () => {
  beforeAll(async () => {
    const leases = [{ operations: ['CREATE'], apiGroups: ['coordination.k8s.io'], resources: ['leases'] }];
    const require = [{ name: 'review', count: 2, approvers: { groups: ['approvers'] } }];
    await addPolicy(stepup, 'careful', leases, { approval: { require, requesterTooPowerful: 'Refuse' } });
  });
  const lease = async (who: Someone, name: string): Promise<Key> => {
    const path = '/apis/coordination.k8s.io/v1/namespaces/prod/leases';
    const key = approvalIn(await people.send(who, 'POST', path, { metadata: { name } }));
    await people.phase(key, 'Pending');
    return key;
  };
  const exposed = async (key: Key) =>
    (await people.read(key)).status?.conditions?.find(({ type }) => type === 'Exposed')?.message;
  const told =
    'the requester can impersonate users ada, impersonate groups approvers, impersonate groups system:masters';

  test('is told of where the policy warns, to approvers and to itself', async () => {
    const key = await asked('by-root');
    expect((await people.decide(ada, key)).code).toBe(201);
    await votes(key, '1/2');
    expect(await exposed(key)).toContain(told);
    expect((await createService('by-root')).message).toContain(told);
    const other = await asked('by-deployer', deployer);
    expect((await people.decide(grace, other)).code).toBe(201);
    await votes(other, '1/2');
    expect(await exposed(other)).toBeUndefined();
  });

  test('has no votes where the policy refuses, and one with the chart’s roles has', async () => {
    const key = await lease(rootBot, 'by-root');
    expectRefusal(await people.decide(ada, key), told);
    expect((await people.read(key)).status?.votes).toBe('0/2');
    const other = await lease(deployer, 'by-deployer');
    expect((await people.decide(grace, other)).code).toBe(201);
    await votes(other, '1/2');
    expect((await people.decide(ada, key, { verdict: 'Deny' })).code).toBe(201);
    await people.phase(key, 'Denied');
  });
});

describe('a delegate', () => {
  test('speaks for a person, who has one vote', async () => {
    const key = await asked('by-git');
    const said = await people.decide(git, key, { onBehalfOf: 'ada', reason: 'merged' });
    expect(said.code).toBe(201);
    expect(said.body).toMatchObject({
      spec: { kind: 'Delegate', decidedBy: { username: 'ada' }, decidedVia: { username: git.user } },
    });
    expect((await people.decide(ada, key)).code).toBe(201);
    const { status } = await people.reached(key, 'told of both', (one) => one.status?.decisions?.length === 2);
    expect(status?.votes).toBe('1/2');
    expect(status?.decisions).toContainEqual(
      expect.objectContaining({ decidedBy: 'ada', decidedVia: git.user, counted: true }),
    );
    expect((await people.decide(git, key, { onBehalfOf: 'lin' })).code).toBe(201);
    await people.phase(key, 'Approved');
    expect((await createService('by-git')).code).toBe(201);
  });

  test('is nobody by saying so, and speaks for no account', async () => {
    const key = await asked('by-nobody');
    const refused = 'onBehalfOf is only for delegates that the policy names';
    expectRefusal(await people.decide(ada, key, { onBehalfOf: 'lin' }), refused);
    expectRefusal(await people.decide(planner, key, { onBehalfOf: 'lin' }), refused);
    expectRefusal(await people.decide(git, key, { onBehalfOf: rootBot.user }), 'onBehalfOf must name a person');
  });
});

describe('a break-glass approval', () => {
  const bypass = { bypass: true, reason: 'the site is down' } as const;
  const unreviewed = () => counted(stepup, 'stepup_unreviewed_bypasses');
  let eveKubeconfig: string;
  beforeAll(async () => {
    eveKubeconfig = await stepup.cluster.userKubeconfig('eve', { user: eve.user, groups: [] });
  });
  /** Runs a command that docs/approvals.md shows. */
  const documented = (mark: string, approver: string, { name }: Partial<Key> = {}) =>
    runDocumented(
      { cluster: stepup.cluster, kubeconfigs: { ...stepup.kubeconfigs, approver } },
      'approver',
      commandsUnder('docs/approvals.md', `approvals ${mark}`),
      name === undefined ? {} : { NAME: name },
    );
  const required = async () => (await documented('unreviewed', eveKubeconfig)).stdout;

  test('lets the request pass, and is seen until somebody else has reviewed it', async () => {
    const key = await asked('urgent');
    expectRefusal(await people.decide(ada, key, bypass), 'user "ada" cannot "bypass" stepuppolicies "services"');
    expectRefusal(await people.decide(rootBot, key, bypass), 'the requester cannot approve its own action');
    const withdrawal = { ...bypass, verdict: 'Withdraw' } as const;
    expectRefusal(await people.decide(rootBot, key, withdrawal), 'bypass requires the verdict Approve');
    expectRefusal(await people.decide(planner, key, bypass), `${planner.user} is itself gated by a policy`);
    expect((await people.decide(eve, key, { bypass: true })).code).toBe(403);
    expect(await unreviewed()).toBe(0);

    expect(await documented('bypass', eveKubeconfig, key)).toMatchObject({ code: 0 });
    expect((await createService('urgent')).code).toBe(201);
    const spent = await people.phase(key, 'Consumed');
    expect(spent.status).toMatchObject({ votes: '0/2 unreviewed', review: 'Required' });
    expect(spent.status?.uses?.[0]?.votes).toEqual(['eve']);
    expect(await table(key, key.name)).toMatch(/\bConsumed +0\/2 unreviewed /);
    expect(await required()).toContain(key.name);
    await eventually('the gauge to say so', async () => (await unreviewed()) === 1);
    await eventually('an event to say so', async () => {
      const { items } = await stepup.cluster.admin.list<{
        metadata: { name: string };
        type: string;
        reason: string;
        note: string;
      }>('/apis/events.k8s.io/v1/namespaces/prod/events');
      const event = items.find(({ reason }) => reason === 'Bypassed');
      return event?.type === 'Warning' && event.note.includes('eve used break-glass: the site is down');
    });

    await people.bind('stepup-approver', eve);
    expectRefusal(
      await people.decide({ ...eve, groups: ['approvers'] }, key, { verdict: 'Review' }),
      'eve used break-glass, so somebody else must review it',
    );
    expectRefusal(await people.decide(mallory, key, { verdict: 'Review' }), 'mallory is not an approver');
    expect(await documented('review', stepup.kubeconfigs.approver, key)).toMatchObject({ code: 0 });
    const done = await people.reached(key, 'reviewed', ({ status }) => status?.review === 'Done');
    expect(done.status?.conditions?.find(({ type }) => type === 'ReviewRequired')).toMatchObject({
      status: 'False',
      message: 'reviewed by ada: it was down indeed',
    });
    expect([done.status?.phase, done.status?.votes]).toEqual(['Consumed', '0/2 reviewed']);
    expect(await required()).not.toContain(key.name);
    await eventually('the gauge to say so', async () => (await unreviewed()) === 0);
    expectRefusal(await people.decide(ada, key, { verdict: 'Review' }), 'the approval has been reviewed already');
  });

  test('is not there where the policy does not allow it', async () => {
    const denied = await people.send(rootBot, 'DELETE', '/api/v1/namespaces/prod');
    const key = approvalIn(denied);
    await people.phase(key, 'Pending');
    expectRefusal(await people.decide(eve, key, bypass), 'policy namespace-deletion does not allow break-glass');
  });

  test('lifts no denial', async () => {
    const key = await asked('unwanted');
    expect((await people.decide(ada, key, { verdict: 'Deny' })).code).toBe(201);
    await people.phase(key, 'Denied');
    expectRefusal(await people.decide(eve, key, bypass), 'the approval has ended; its phase is Denied');
  });
});
