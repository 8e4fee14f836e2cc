// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who may vote at all, whose account it is about, and on whose behalf: asked when a vote is made, over real HTTPS.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpApproval } from '../../../../src/api/kinds.ts';
import { deployer, imageUpdate, review } from '../../../support/builders/reviews.ts';
import { status } from '../../../support/fakes/fake-kinds.ts';
import { nameIn, type Response } from '../../../support/fakes/webhook-client.ts';
import { filed, type Harness, startWebhook } from '../../../support/fakes/webhook-harness.ts';

let webhook: Harness;
let stored: StepUpApproval;
const approvers = { groups: ['approvers'], serviceAccounts: [{ namespace: 'ops', name: 'git' }] };

beforeAll(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
  webhook.policy('two', {
    grant: { binding: 'Target' },
    bypass: { enabled: true },
    approval: { require: [{ name: 'a', count: 2, approvers }] },
  });
});
beforeEach(() => {
  webhook.api.rights.withheld.clear();
  webhook.api.rights.granted.clear();
  webhook.api.rights.asked.length = 0;
  webhook.api.rights.error = undefined;
  webhook.api.targets.clear();
  stored = webhook.approvals.put({
    metadata: { name: `about-${webhook.approvals.all.length}`, namespace: 'prod' },
    spec: { ...byHand, origin: 'Denied' } as StepUpApproval['spec'],
  });
});
afterAll(() => webhook.stop());

const byHand = {
  policy: { name: 'two' },
  requester: { username: deployer },
  action: { operation: 'DELETE', version: 'v1', resource: 'secrets', namespace: 'prod', name: 'db' },
};
const ada = { username: 'ada', uid: 'u-ada', groups: ['approvers', 'staff'], extra: { scopes: ['a', 'b'] } };
const git = { username: 'system:serviceaccount:ops:git', uid: 'u-git', groups: ['system:serviceaccounts'] };

const created = (resource: string, kind: string, object: object, userInfo: object) =>
  webhook.stamp(
    review({
      kind: { group: 'stepup.dev', version: 'v1alpha1', kind },
      resource: { group: 'stepup.dev', version: 'v1alpha1', resource },
      name: '',
      userInfo,
      object,
    }),
  );
const decide = (spec: object = {}, userInfo: object = ada) => {
  const { name, uid } = stored.metadata;
  const object = { metadata: {}, spec: { approval: { name, uid }, verdict: 'Approve', ...spec } };
  return created('stepupdecisions', 'StepUpDecision', object, userInfo);
};
const apply = (spec: object = {}, userInfo: object = ada) =>
  created('stepupapprovals', 'StepUpApproval', { metadata: { name: 'x' }, spec: { ...byHand, ...spec } }, userInfo);
const said = ({ allowed, status: refusal }: Response) => (allowed ? 'stamped' : refusal?.message);
const specIn = ({ patch = '' }: Response): Record<string, unknown> =>
  (JSON.parse(Buffer.from(patch, 'base64').toString()) as { path: string; value: Record<string, unknown> }[]).find(
    ({ path }) => path === '/spec',
  )?.value ?? {};
const owned = (owners: string) =>
  webhook.api.targets.set('/api/v1/namespaces/ci/serviceaccounts/deployer', {
    metadata: { annotations: { 'stepup.dev/owner': owners } },
  });

describe('the RBAC verb', () => {
  test('is asked for with all that the API server knows of the caller', async () => {
    expect(said(await decide())).toBe('stamped');
    expect(webhook.api.rights.asked).toEqual([
      {
        user: 'ada',
        uid: 'u-ada',
        groups: ['approvers', 'staff'],
        extra: { scopes: ['a', 'b'] },
        resourceAttributes: {
          group: 'stepup.dev',
          version: 'v1alpha1',
          resource: 'stepuppolicies',
          name: 'two',
          verb: 'approve',
        },
      },
    ]);
  });

  test.each(['Approve', 'Deny', 'Revoke'])('approve is needed to %s', async (verdict) => {
    webhook.api.rights.withheld.add('ada bypass two');
    expect(said(await decide({ verdict }))).toBe('stamped');
    webhook.api.rights.withheld.add('ada approve two');
    expect(said(await decide({ verdict }))).toBe(
      'stepup: user "ada" cannot "approve" stepuppolicies "two": ' +
        'bind the ClusterRole stepup-approver to them with a ClusterRoleBinding',
    );
  });

  test('approve is needed to apply an approval, and not to ask for one', async () => {
    expect(said(await apply())).toBe('stamped');
    webhook.api.rights.withheld.add('ada approve two').add(`${deployer} approve two`);
    expect(said(await apply())).toContain('user "ada" cannot "approve" stepuppolicies "two"');
    const asks = { username: deployer, uid: 'u', groups: [] };
    expect(said(await apply({}, asks))).toBe('stamped');
  });

  test('bypass is needed to break the glass, and approve is not enough', async () => {
    const bypass = { bypass: true, reason: 'the site is down' };
    const eve = { username: 'eve', groups: [] };
    webhook.api.rights.withheld.add('eve approve two');
    expect(said(await decide(bypass, eve))).toBe('stamped');
    webhook.api.rights.withheld.clear();
    webhook.api.rights.withheld.add('eve bypass two');
    expect(said(await decide(bypass, eve))).toBe(
      'stepup: user "eve" cannot "bypass" stepuppolicies "two": ' +
        'bind the ClusterRole stepup-break-glass to them with a ClusterRoleBinding',
    );
  });

  test('is not needed to withdraw, which is the requester’s own', async () => {
    webhook.api.rights.withheld.add(`${deployer} approve two`);
    expect(said(await decide({ verdict: 'Withdraw' }, { username: deployer, uid: 'u', groups: [] }))).toBe('stamped');
    expect(webhook.api.rights.asked).toEqual([]);
  });

  test('is not got around by a withdrawal that breaks the glass', async () => {
    const both = { verdict: 'Withdraw', bypass: true, reason: 'now' };
    const asks = { username: deployer, uid: 'u', groups: [] };
    expect(said(await decide(both, asks))).toBe('stepup: bypass requires the verdict Approve');
    expect(said(await decide({ ...both, bypass: false }, asks))).toBe('stamped');
  });

  test('that nobody can tell of is a refusal', async () => {
    webhook.api.rights.error = status(500, 'InternalError');
    const sentence = 'stepup: could not check whether user "ada" can "approve" stepuppolicies "two"; try again';
    expect([said(await decide()), said(await apply())]).toEqual([sentence, sentence]);
  });
});

describe('a requester that could vote itself', () => {
  const may = (power: string) => webhook.api.rights.granted.add(`${deployer} ${power}`);
  beforeAll(() => {
    webhook.policy('careful', {
      grant: { binding: 'Target' },
      approval: { require: [{ name: 'a', count: 2, approvers }], requesterTooPowerful: 'Refuse' },
    });
  });

  test('is told in the vote where the policy warns', async () => {
    expect(specIn(await decide()).decidedBy).not.toHaveProperty('requesterMay');
    may('impersonate users ada');
    const answer = await decide();
    expect(specIn(answer).decidedBy).toMatchObject({ requesterMay: 'impersonate users ada' });
    expect(answer.warnings?.[0]).toContain('the requester can impersonate users ada, and so vote as ada');
    expect(specIn(await apply()).createdBy).toMatchObject({ requesterMay: 'impersonate users ada' });
    expect(specIn(await decide({ verdict: 'Deny' })).decidedBy).not.toHaveProperty('requesterMay');
  });

  test.each([
    'impersonate users ada',
    'impersonate groups approvers',
    'impersonate:user-info users ada',
    'impersonate:user-info groups approvers',
    'impersonate groups system:masters',
    'get secrets stepup-keys',
  ])('has the vote refused where the policy does: %s', async (power) => {
    const requester = { username: `${deployer}-${power.length}` };
    webhook.approvals.change(stored.metadata, (object) => ({
      ...object,
      spec: { ...object.spec, requester, policy: { name: 'careful' } },
    }));
    webhook.api.rights.granted.add(`${requester.username} impersonate users grace`);
    webhook.api.rights.granted.add(`${requester.username} impersonate groups staff`);
    if (power.endsWith('ada') || power.endsWith('approvers')) expect(said(await decide())).toBe('stamped');
    webhook.api.rights.granted.add(`${requester.username} ${power}`);
    const where = power.startsWith('get') ? ' in stepup-system' : '';
    const sentence = `stepup: the requester can ${power}${where}, and so vote as ada`;
    expect(said(await decide())).toBe(sentence);
    expect(said(await apply({ policy: { name: 'careful' }, requester }))).toBe(sentence);
    expect(said(await decide({ verdict: 'Deny' }))).toBe('stamped');
  });
});

describe('the owner of the requesting account', () => {
  test('may neither decide nor apply, as the account says now', async () => {
    owned('grace, ada');
    const sentence = 'stepup: ada owns the requesting account and cannot approve its actions';
    expect([said(await decide()), said(await apply())]).toEqual([sentence, sentence]);
    owned('grace');
    expect([said(await decide()), said(await apply())]).toEqual(['stamped', 'stamped']);
  });

  test('is one whom the account named when it asked, whatever it says now', async () => {
    const { metadata, spec } = stored;
    webhook.approvals.change(metadata, (object) => ({
      ...object,
      spec: { ...spec, requester: { username: deployer, owners: ['ada'] } },
    }));
    owned('grace');
    expect(said(await decide())).toContain('ada owns the requesting account');
  });

  test('is recorded on what is filed and on what is applied, and nobody else is', async () => {
    owned('grace,bo');
    const denied = await webhook.ask(imageUpdate());
    expect((await filed(webhook, nameIn(denied))).spec.requester.owners).toEqual(['grace', 'bo']);
    const applied = await apply({ requester: { username: deployer, owners: ['ada'] } });
    expect(specIn(applied).requester).toEqual({ username: deployer, owners: ['grace', 'bo'] });
  });

  test('that cannot be read is a refusal of the vote, though not of the request that asks', async () => {
    webhook.api.targets.set('/api/v1/namespaces/ci/serviceaccounts/deployer', status(500, 'InternalError'));
    expect((await decide()).status).toMatchObject({ code: 403, reason: 'Failed' });
    const denied = await webhook.ask(imageUpdate('nginx:3'));
    expect((await filed(webhook, nameIn(denied))).spec.requester.owners).toBeUndefined();
  });
});

describe('a delegate', () => {
  test('is recorded beside the person it speaks for, with the right that is its own', async () => {
    webhook.api.rights.withheld.add('grace approve two');
    const answer = await decide({ onBehalfOf: 'grace', decidedVia: { username: 'forged' } }, git);
    expect(specIn(answer)).toMatchObject({
      kind: 'Delegate',
      onBehalfOf: 'grace',
      decidedBy: { username: 'grace' },
      decidedVia: { username: git.username, uid: 'u-git' },
    });
    webhook.api.rights.withheld.add(`${git.username} approve two`);
    expect(said(await decide({ onBehalfOf: 'grace' }, git))).toContain(
      `user "${git.username}" cannot "approve" stepuppolicies`,
    );
  });

  test.each([
    ['', 'spec.onBehalfOf: must be a username, without spaces around it or hidden characters'],
    ['grace ', 'spec.onBehalfOf: must be a username, without spaces around it or hidden characters'],
    ['gr\u200bace', 'spec.onBehalfOf: must be a username, without spaces around it or hidden characters'],
    [deployer, 'onBehalfOf must name a person, not an account'],
  ])('does not speak for %j', async (onBehalfOf, says) => {
    expect(said(await decide({ onBehalfOf }, git))).toBe(`stepup: ${says}`);
  });

  test('nobody is by saying so', async () => {
    const other = { ...git, username: 'system:serviceaccount:ops:other' };
    for (const caller of [ada, other]) {
      expect(said(await decide({ onBehalfOf: 'grace' }, caller))).toBe(
        'stepup: onBehalfOf is only for delegates that the policy names',
      );
    }
  });

  test('without a person votes as itself, and decidedVia is never the client’s', async () => {
    const spec = specIn(await decide({ decidedVia: { username: 'forged' } }, git));
    expect(spec).toMatchObject({ kind: 'Delegate', decidedBy: { username: git.username } });
    expect(spec.decidedVia).toBeUndefined();
  });
});

describe('a bypass', () => {
  const eve = { username: 'eve', groups: ['approvers'] };
  const bypass = { bypass: true, reason: 'the site is down' };
  const broken = () =>
    webhook.approvals.change(stored.metadata, (object) => ({
      ...object,
      status: {
        phase: 'Consumed',
        review: 'Required',
        decisions: [
          { name: 'b', uid: 'b', verdict: 'Approve', decidedBy: 'eve', decidedAt: 'then', counted: true, bypass: true },
        ],
      },
    }));

  test('warns of nothing that is missing, and needs a reason', async () => {
    expect((await decide(bypass, eve)).warnings).toBeUndefined();
    expect((await decide({}, eve)).warnings).toHaveLength(1);
    for (const reason of [undefined, ' ']) {
      expect(said(await decide({ ...bypass, reason }, eve))).toBe('stepup: spec.reason: break-glass requires a reason');
    }
    expect(said(await decide({ ...bypass, bypass: 'yes' }, eve))).toBe('stepup: spec.bypass: must be true or false');
  });

  test('is reviewed after the end by another approver, once', async () => {
    broken();
    expect(said(await decide({ verdict: 'Review' }))).toBe('stamped');
    expect(said(await decide({ verdict: 'Review' }, eve))).toBe(
      'stepup: eve used break-glass, so somebody else must review it',
    );
    expect(said(await decide())).toBe('stepup: the approval has ended; its phase is Consumed');
    webhook.api.rights.withheld.add('ada approve two');
    expect(said(await decide({ verdict: 'Review' }))).toContain('user "ada" cannot "approve" stepuppolicies');
    webhook.api.rights.withheld.clear();
    webhook.approvals.change(stored.metadata, (object) => ({
      ...object,
      status: { ...object.status, review: 'Done' },
    }));
    expect(said(await decide({ verdict: 'Review' }))).toBe('stepup: the approval has been reviewed already');
  });
});
