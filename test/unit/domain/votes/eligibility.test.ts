// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who is whom, who owns whom, who speaks for whom, and who breaks the glass: each in what it lets count and what not.
import { describe, expect, test } from 'vitest';
import type { Approval, Decision } from '../../../../src/domain/model/approval.ts';
import { ownersNamedBy, recordedOwners } from '../../../../src/domain/model/owners.ts';
import type { Policy } from '../../../../src/domain/model/policy.ts';
import { tally } from '../../../../src/domain/votes/tally.ts';
import {
  answer,
  approval,
  at,
  byHand,
  deployer,
  plan,
  policy,
  request,
  situation,
  word,
} from '../../../support/builders/domain.ts';

const credentialKey = 'authentication.kubernetes.io/credential-id';
const asked = request({ requester: { ...deployer, credential: 'JTI=1' } });
const on = approval(asked);
const owned = approval(asked, policy(), {
  spec: { requester: { username: deployer.username, uid: deployer.uid, owners: ['alice'] } },
});
const account = (name: string) => `system:serviceaccount:ops:${name}`;
const two = policy({
  approval: {
    require: [
      {
        name: 'a',
        count: 2,
        approvers: { groups: ['approvers'], serviceAccounts: [{ namespace: 'ops', name: 'git' }] },
      },
    ],
  },
});
const glass = policy({ bypass: { enabled: true }, approval: two.spec.approval });

type Spec = Partial<Decision['spec']>;
const by = (username: string, over: object = {}): Spec => ({ decidedBy: { username, groups: ['approvers'], ...over } });
const via = (person: string, delegate = account('git')): Spec => ({
  decidedBy: { username: person },
  decidedVia: { username: delegate },
});
const counted = (specs: readonly Spec[], under: Policy = two, of: Approval = on, known = [under]) =>
  tally(
    of,
    specs.map((spec, i) => word(of, { decidedAt: at(60 + i).toISOString(), ...spec }, `uid-${i}`)),
    under,
    known,
  );
const why = (spec: Spec, under?: Policy, of?: Approval, known?: Policy[]) =>
  counted([spec], under, of, known).decisions[0]?.why ?? 'counts';

describe('one person under two names', () => {
  test.each<[string, number, readonly Spec[]]>([
    ['two people are two', 2, [by('alice'), by('bob')]],
    ['of one UID is one', 1, [by('alice', { uid: 'u' }), by('bob', { uid: 'u' })]],
    ['of two UIDs is two', 2, [by('alice', { uid: 'u' }), by('bob', { uid: 'v' })]],
    ['of no UID is two', 2, [by('alice', { uid: '' }), by('bob', { uid: '' })]],
    ['with one credential is one', 1, ['alice', 'bob'].map((name) => by(name, { extra: { [credentialKey]: ['X'] } }))],
    [
      'with a credential each is two',
      2,
      ['alice', 'bob'].map((name) => by(name, { extra: { [credentialKey]: [name] } })),
    ],
  ])('%s', (_, received, specs) => {
    expect(counted(specs).received).toBe(received);
  });

  test.each([
    ['its UID', { uid: deployer.uid }, 'alice is the requester under another name'],
    ['another UID', { uid: 'uid-alice' }, 'counts'],
    ['its credential', { extra: { [credentialKey]: ['JTI=1'] } }, 'alice is the requester under another name'],
    ['another credential', { extra: { [credentialKey]: ['JTI=2'] } }, 'counts'],
  ])('may not approve what the requester does, told by %s', (_, over, says) => {
    expect(why(by('alice', over))).toBe(says);
  });
});

test('a vote by who turns out to use the approval, under another name, does not count', () => {
  // Made by hand, it says no UID: who the requester is shows when it comes.
  const made = approval(asked, policy(), { spec: { ...byHand(), requester: { username: deployer.username } } });
  const used = (over: object, spec: object = {}) => {
    const { createdBy = { username: '' }, ...rest } = byHand();
    const one = { ...made, spec: { ...made.spec, ...rest, createdBy: { ...createdBy, ...over }, ...spec } };
    const words = one.spec.origin === 'Asked' ? [word(one, by('alice', over))] : [];
    return answer({ request: asked, approvals: [one], words });
  };
  expect(used({})).toBe('Allowed Reserved');
  expect(used({ uid: deployer.uid })).toBe('NeedsApproval ApprovalRequired');
  expect(used({ extra: { [credentialKey]: ['JTI=1'] } })).toBe('NeedsApproval ApprovalRequired');
  const ahead = { origin: 'Asked', createdBy: { username: deployer.username } };
  expect(used({ uid: 'uid-alice' }, ahead)).toBe('Allowed Reserved');
  expect(used({ uid: deployer.uid }, ahead)).toBe('NeedsApproval ApprovalRequired');
});

describe('an owner', () => {
  const barred = 'alice owns the requesting account and cannot approve its actions';
  test('may not approve what the account does, and anybody else may', () => {
    expect(why(by('alice'), two, owned)).toBe(barred);
    expect(why(by('bob'), two, owned)).toBe('counts');
    expect(why(by('alice'), two, on)).toBe('counts');
  });
  test('may not do so through a delegate or by breaking the glass either', () => {
    expect(why(via('alice'), two, owned)).toBe(barred);
    expect(why(via('bob'), two, owned)).toBe('counts');
    expect(why({ ...by('alice'), bypass: true }, glass, owned)).toBe(barred);
    expect(why({ ...by('bob'), bypass: true }, glass, owned)).toBe('counts');
  });
  test('is named by an annotation, with others', () => {
    expect(ownersNamedBy(' ada, grace,,ada ')).toEqual(['ada', 'grace']);
    expect(ownersNamedBy(undefined)).toEqual([]);
    expect(recordedOwners([])).toEqual({});
    expect(recordedOwners([...'abcdefghijklmnopqrstuvwxyz', 'x'.repeat(513)]).owners).toHaveLength(16);
  });
});

describe('a delegate', () => {
  const git = { include: [{ kind: 'User', name: 'bob' }] } as const;
  test.each<[string, string, Spec, (readonly Policy[])?]>([
    ['that is named speaks for a person', 'counts', via('bob')],
    [
      'that is not named does not',
      'onBehalfOf is only for delegates that the policy names',
      via('bob', account('other')),
    ],
    [
      'does not speak for the requester',
      'the requester cannot approve its own action',
      via(deployer.username.replace('system:', '')),
    ],
    ['does not speak for an account', 'onBehalfOf must name a person, not an account', via(account('other'))],
    [
      'does not speak for a gated person',
      'bob is itself gated by a policy',
      via('bob'),
      [two, policy({ subjects: git }, 'people')],
    ],
    [
      'does not withdraw for anybody',
      'only the requester or the creator can withdraw an approval',
      { ...via('bob'), verdict: 'Withdraw' },
    ],
    [
      'does not break the glass for anybody',
      'policy production-deploys does not allow break-glass',
      { ...via('bob'), bypass: true },
    ],
  ])('%s', (_, says, spec, known) => {
    const human = approval(asked, two, {
      spec: { requester: { username: 'serviceaccount:ci:deployer' }, createdBy: { username: 'bob' } },
    });
    expect(why(spec, two, human, known === undefined ? undefined : [...known])).toBe(says);
  });
  test('does not break the glass where others may', () => {
    expect(why({ ...via('bob'), bypass: true }, glass)).toBe('break-glass cannot be used on behalf of another person');
  });
  test('gives one person one vote, directly or not', () => {
    expect(counted([via('alice'), by('alice')]).received).toBe(1);
    expect(counted([via('alice'), by('bob')]).received).toBe(2);
    expect(counted([via('alice'), via('bob')]).received).toBe(2);
    expect(counted([via('alice'), via('alice')]).received).toBe(1);
  });
  test('sits only where it is named, whatever groups the person has', () => {
    const apart = policy({
      approval: {
        require: [
          { name: 'people', approvers: { groups: ['approvers'] } },
          { name: 'git', approvers: { serviceAccounts: [{ namespace: 'ops', name: 'git' }] } },
        ],
      },
    });
    expect(counted([via('alice')], apart).missing).toBe('1 of 1 approval by group approvers');
    expect(counted([by('alice')], apart).missing).toBe('1 of 1 approval by service account ops/git');
    expect(counted([via('alice'), by('bob')], apart).missing).toBe('');
  });
  test('is told beside the person', () => {
    const { decisions, voters } = counted([via('alice')]);
    expect(decisions[0]).toMatchObject({ decidedBy: 'alice', decidedVia: account('git'), counted: true });
    expect(voters).toEqual(['alice']);
  });
});

describe('a vote that the requester could give itself', () => {
  const may = { requesterMay: 'impersonate users alice' };
  const refuses = policy({ approval: { ...two.spec.approval, requesterTooPowerful: 'Refuse' } });
  const told = 'the requester can impersonate users alice, and so vote as alice';
  test('counts where the policy warns, and says so', () => {
    const votes = counted([by('alice', may)]);
    expect([votes.received, votes.exposures]).toEqual([1, [told]]);
    expect(votes.missing).toBe(`${told}; 1 of 2 approvals by group approvers or service account ops/git`);
    expect(counted([by('alice')]).exposures).toEqual([]);
  });
  test('does not count where the policy refuses, as one that it could not give does', () => {
    expect(why(by('alice', may), refuses)).toBe(told);
    expect(why(by('alice'), refuses)).toBe('counts');
    expect(counted([by('alice', may)], refuses).received).toBe(0);
  });
  test('denies all the same', () => {
    expect(why({ ...by('alice', may), verdict: 'Deny' }, refuses)).toBe('counts');
    expect(why({ ...by('alice', may), verdict: 'Revoke' }, refuses)).toBe('counts');
  });
  test('by way of a delegate is the delegate’s', () => {
    const exposed = { ...via('bob'), decidedVia: { username: account('git'), ...may } };
    expect(why(exposed, refuses)).toContain(`and so vote as ${account('git')}`);
    expect(why(via('bob'), refuses)).toBe('counts');
  });
  test('by breaking the glass or applying an approval is none either', () => {
    const both = policy({ ...refuses.spec, bypass: { enabled: true } });
    expect(why({ ...by('alice', may), bypass: true }, both)).toBe(told);
    expect(why({ ...by('alice'), bypass: true }, both)).toBe('counts');
    const applied = (over: object) => {
      const { createdBy = { username: '' }, ...spec } = byHand();
      return approval(asked, two, { spec: { ...spec, createdBy: { ...createdBy, ...over } } });
    };
    expect(tally(applied(may), [], refuses, [], [applied(may)]).received).toBe(0);
    expect(tally(applied({}), [], refuses, [], [applied({})]).received).toBe(1);
    expect(tally(applied(may), [], two, [], [applied(may)]).exposures).toEqual([told]);
  });
  test('is told by a condition', () => {
    const one = plan(situation(on, { policy: two, decisions: [word(on, by('alice', may))] }));
    expect(one.status?.conditions?.find(({ type }) => type === 'Exposed')).toMatchObject({
      status: 'True',
      reason: 'RequesterTooPowerful',
      message: told,
    });
    const other = plan(situation(on, { policy: two, decisions: [word(on)] }));
    expect(other.status?.conditions?.map(({ type }) => type)).not.toContain('Exposed');
  });
});

describe('a bypass', () => {
  const bypass = (username: string, over: object = {}): Spec => ({
    ...by(username, { groups: [], ...over }),
    bypass: true,
  });
  test('approves in place of all votes, at its instant, and is told', () => {
    const votes = counted([bypass('eve')], glass);
    expect(votes).toMatchObject({ received: 0, required: 2, missing: '', approvedAt: at(60), voters: ['eve'] });
    expect(votes.bypassed).toMatchObject({ by: 'eve', at: at(60) });
    expect(votes.decisions[0]).toMatchObject({ bypass: true, counted: true });
  });
  test('that comes after the last vote moves no instant', () => {
    expect(counted([by('alice'), by('bob'), bypass('eve')], glass).approvedAt).toEqual(at(61));
  });
  test.each<[string, string, Spec, Policy?]>([
    ['by anybody with the right counts', 'counts', bypass('eve'), glass],
    [
      'does not where the policy does not allow it',
      'policy production-deploys does not allow break-glass',
      bypass('eve'),
      two,
    ],
    ['by the requester does not', 'the requester cannot approve its own action', bypass(deployer.username), glass],
    ['by another gated account does not', `${account('x')} is itself gated by a policy`, bypass(account('x')), glass],
    ['by a gated delegate does not', `${account('git')} is itself gated by a policy`, bypass(account('git')), glass],
    ['goes with Approve alone', 'bypass requires the verdict Approve', { ...bypass('eve'), verdict: 'Deny' }, glass],
  ])('%s', (_, says, spec, under) => {
    expect(why(spec, under)).toBe(says);
  });
  test('lifts no denial', () => {
    expect(counted([{ ...by('alice'), verdict: 'Deny' }, bypass('eve')], glass).stopped?.verdict).toBe('Deny');
  });

  const review = (username: string, over: object = {}): Spec => ({ ...by(username, over), verdict: 'Review' });
  test('is reviewed by another approver', () => {
    expect(counted([bypass('eve'), review('alice')], glass).reviewed?.by).toBe('alice');
  });
  test.each<[string, string, readonly Spec[]]>([
    [
      'by who used break-glass',
      'eve used break-glass, so somebody else must review it',
      [bypass('eve'), review('eve')],
    ],
    [
      'by who used break-glass under another name',
      'alice used break-glass, so somebody else must review it',
      [bypass('eve', { uid: 'u' }), review('alice', { uid: 'u' })],
    ],
    [
      'by no approver',
      'bob is not an approver of policy production-deploys',
      [bypass('eve'), review('bob', { groups: [] })],
    ],
    ['by the requester', 'the requester cannot approve its own action', [bypass('eve'), review(deployer.username)]],
    [
      'of nothing',
      'nobody used break-glass on this approval, so there is nothing to review',
      [by('eve'), review('alice')],
    ],
  ])('is not reviewed %s', (_, says, specs) => {
    const votes = counted(specs, glass);
    expect(votes.reviewed).toBeUndefined();
    expect(votes.decisions.find(({ verdict }) => verdict === 'Review')?.why).toBe(says);
  });
});
