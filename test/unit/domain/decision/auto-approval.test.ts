// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a policy approves by itself, what it leaves to people, and what becomes of it.
import { describe, expect, test } from 'vitest';
import type { Approval, ApprovalStatus } from '../../../../src/domain/model/approval.ts';
import type { Policy, PolicySpec } from '../../../../src/domain/model/policy.ts';
import { tally } from '../../../../src/domain/votes/tally.ts';
import {
  answer,
  approval,
  at,
  attempt,
  type Case,
  decided,
  deployment,
  plan,
  policy,
  request,
  requestCapSeconds,
  situation,
  useSeconds,
  word,
  written,
} from '../../../support/builders/domain.ts';

const people: NonNullable<PolicySpec['approval']['require']> = [
  { name: 'people', approvers: { groups: ['approvers'] } },
];
const auto = policy({ approval: { auto: { ratePerHour: 10 }, require: people } });
const alone = policy({ approval: { auto: { ratePerHour: 10 } } });
const open = new Set([auto.metadata.name]);

/** The approval that the policy gives to a request by itself, as it is stored. */
function given(asked = request(), under = auto, status?: ApprovalStatus): Approval {
  const decision = decided({ request: asked, policy: under, autoOpen: new Set([under.metadata.name]), seconds: 0 });
  if (decision.outcome !== 'Allowed' || decision.reason !== 'AutoApproved') throw new Error(`it ${decision.reason}`);
  return approval(asked, under, {
    name: decision.approvalName,
    spec: { origin: 'Auto', use: decision.use },
    ...(status === undefined ? {} : { status }),
  });
}

const another = (generation: number) =>
  request({ oldObject: deployment('web:1', generation), object: deployment('web:2', generation + 1) });

describe('a request that nothing covers', () => {
  test.each<[string, string, Case]>([
    ['is approved by the policy while its rate allows', 'Allowed AutoApproved', { autoOpen: open }],
    ['is asked of people once it is spent', 'NeedsApproval ApprovalRequired', {}],
    ['is refused where there is nobody to ask', 'Rejected RateExceeded', { policy: alone }],
    [
      'is asked of people where the policy never approves by itself',
      'NeedsApproval ApprovalRequired',
      { policy: policy(), autoOpen: open },
    ],
    [
      'is left to people who are asked already',
      'NeedsApproval ApprovalRequired',
      { autoOpen: open, approvals: [approval(request(), auto)] },
    ],
    [
      'is left to people who have denied it',
      'NeedsApproval ApprovalRequired',
      { autoOpen: open, approvals: [approval(request(), auto, { status: { phase: 'Denied' } })] },
    ],
    [
      'is approved though another change was denied',
      'Allowed AutoApproved',
      {
        autoOpen: open,
        approvals: [approval(request({ object: deployment('web:3', 2) }), auto, { status: { phase: 'Denied' } })],
      },
    ],
    [
      'uses what people have approved, and takes nothing of the rate',
      'Allowed Reserved',
      { autoOpen: open, approvals: [approval(request(), auto)], words: [word(approval(request(), auto))] },
    ],
  ])('%s', (_, want, asked) => {
    expect(answer({ policy: auto, ...asked })).toBe(want);
  });

  test('is told that the rate is spent, and whom to ask', () => {
    expect(decided({ policy: auto })).toMatchObject({
      missing: 'the rate of 10 per hour is used up; 1 of 1 approval by group approvers missing',
    });
  });
});

describe('what a policy has approved', () => {
  test('admits the same change again on the same state, whatever the rate', () => {
    expect(answer({ policy: auto, approvals: [given()] })).toBe('Allowed Readmitted');
    expect(answer({ policy: alone, approvals: [given(request(), alone)] })).toBe('Allowed Readmitted');
  });

  test.each<[string, string, Case]>([
    ['does not admit the same change on another state', 'NeedsApproval AlreadyUsed', { request: another(7) }],
    [
      'does not admit another change',
      'NeedsApproval ApprovalRequired',
      { request: request({ object: deployment('web:3', 2) }) },
    ],
    [
      'does not admit the same change again once its use window and the longest request are over',
      'NeedsApproval AlreadyUsed',
      { seconds: useSeconds + requestCapSeconds },
    ],
    [
      'does not admit the same change again once the policy approves nothing by itself',
      'NeedsApproval AlreadyUsed',
      { policy: policy() },
    ],
    [
      'does not admit the same change again once it is denied',
      'NeedsApproval ApprovalRequired',
      { words: [word(given(), { verdict: 'Deny' })] },
    ],
  ])('%s', (_, want, asked) => {
    expect(answer({ policy: auto, approvals: [given()], ...asked })).toBe(want);
  });

  test('is another one for the next state, under another name', () => {
    const first = given();
    const decision = decided({ policy: auto, request: another(7), approvals: [first], autoOpen: open });
    expect(decision).toMatchObject({ outcome: 'Allowed', reason: 'AutoApproved' });
    expect(decision).not.toMatchObject({ approvalName: first.metadata.name });
  });

  test('needs no vote, and is reserved from the start', () => {
    const { status } = plan(situation(given(), { policy: auto }));
    expect(status).toMatchObject({ phase: 'Reserved', votes: '0/0', missing: '' });
    expect(status).not.toHaveProperty('uses');
  });

  test('is settled by evidence: seen, it is consumed', () => {
    const seen = { kind: 'State', object: deployment('web:2', 2), isNext: true } as const;
    expect(plan(situation(given(), { policy: auto, seen })).status).toMatchObject({
      phase: 'Consumed',
      evidence: 'Observed',
    });
  });

  test('is not lost with a write that lost: it serves once more, beyond the rate', () => {
    const seen = { kind: 'State', object: deployment('web:1', 2), isNext: true } as const;
    const planned = plan(situation(given(), { policy: auto, seen }));
    expect(planned.status).toMatchObject({ phase: 'Approved', releases: [{ use: 0 }] });
    const released = written(given(), planned);
    const next = decided({ policy: auto, request: another(2), approvals: [released] });
    if (next.outcome !== 'Allowed' || next.reason !== 'Reserved') throw new Error(`it ${next.reason}`);
    expect(next.status.uses).toHaveLength(1);
    const again = { ...released, status: next.status };
    expect(answer({ policy: auto, request: another(2), approvals: [again] })).toBe('Allowed Readmitted');
    expect(answer({ policy: auto, request: another(7), approvals: [again] }), 'it is reserved').toMatch(
      /^NeedsApproval/,
    );
  });

  test('is worth nothing without a seal of ours', () => {
    const forged: Approval = { ...given(), seals: { creation: 'Missing', releases: [] } };
    expect(answer({ policy: auto, approvals: [forged] })).toMatch(/^NeedsApproval/);
    expect(tally(forged, [], auto, []).approvedAt).toBeUndefined();
    expect(plan(situation(forged, { policy: auto })).status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'Tampered', status: 'True' }),
    );
  });

  test('is worth nothing as a copy that somebody restored, whose write lost once before', () => {
    const copied = (seconds: number): Approval => ({
      ...given(),
      metadata: { ...given().metadata, uid: 'uid-copy', creationTimestamp: at(seconds).toISOString() },
    });
    // The watch tells the same of the copy's use as it told of the original's, which has served since.
    const seen = { kind: 'State', object: deployment('web:1', 2), isNext: true } as const;
    const restored = (seconds: number) => {
      const one = copied(seconds);
      return written(one, plan(situation(one, { policy: auto, seen, now: at(seconds + 1) })));
    };
    const used = (seconds: number) =>
      answer({ policy: auto, request: another(4), approvals: [restored(seconds)], seconds: seconds + 2 });
    expect([restored(90).status?.phase, used(90)]).toEqual(['Approved', 'Allowed Reserved']);
    expect([restored(95).status?.phase, used(95)]).toEqual(['Expired', 'NeedsApproval ApprovalRequired']);
    expect(tally(copied(95), [], auto, []).missing).toContain('it is a copy of one that was given at');
    expect(tally(copied(-61), [], auto, []).missing).toBe('');
    expect(tally(copied(-62), [], auto, []).missing).not.toBe('');
  });

  test('is worth nothing without the use that it was made with', () => {
    const { use: _, ...spec } = given().spec;
    const bare: Approval = { ...given(), spec };
    expect(tally(bare, [], auto, []).approvedAt).toBeUndefined();
    expect(tally(given(), [], auto, []).approvedAt).toEqual(at(0));
    expect(tally(given(), [], policy(), []).missing).toContain('no longer approves by itself');
  });

  test('is not undone by a status that shows other uses', () => {
    const use = given().spec.use;
    if (use === undefined) throw new Error('it has a use');
    const forged = { ...given(), status: { uses: [], releases: [] } };
    expect(answer({ policy: auto, request: another(7), approvals: [forged] })).toMatch(/^NeedsApproval/);
    const shown = { ...given(), status: { uses: [{ ...use, base: attempt(another(7), auto).change.base }] } };
    expect(decided({ policy: auto, request: request(), approvals: [shown] }).outcome).toBe('NeedsApproval');
  });
});

describe('with another policy on the same request', () => {
  const second = policy({ approval: { require: people } }, 'second');
  const labels = { environment: 'production' };
  const under = (one: Policy, more: Case = {}) =>
    decided({ policy: one, policies: [auto, second], namespaceLabels: labels, autoOpen: open, ...more });
  const ofSecond = approval(request(), second, { name: 'second-1', uid: 'uid-second' });

  test('the policy records nothing before the other one is satisfied, and names its approval', () => {
    expect(under(auto)).toMatchObject({
      outcome: 'NeedsApproval',
      reason: 'WaitingForOthers',
      missing: 'policy second is not satisfied: 1 of 1 approval by group approvers missing',
      approvalName: expect.stringMatching(/^second-[0-9a-f]{10}$/),
      isElsewhere: true,
    });
    expect(under(auto, { approvals: [ofSecond] })).toMatchObject({ approvalName: 'second-1', approval: ofSecond });
  });

  test('both pass once the other one is approved, neither waiting for the other', () => {
    const more = { approvals: [ofSecond], words: [word(ofSecond)] };
    expect(under(auto, more)).toMatchObject({ outcome: 'Allowed', reason: 'AutoApproved' });
    expect(under(second, more)).toMatchObject({ outcome: 'Allowed', reason: 'Reserved' });
  });

  test('the other one waits where the rate is spent', () => {
    const more = { approvals: [ofSecond], words: [word(ofSecond)], autoOpen: new Set<string>() };
    expect(under(second, more)).toMatchObject({ outcome: 'NeedsApproval', reason: 'WaitingForOthers' });
  });

  test('the other one waits where people are asked in place of the rate', () => {
    const waiting = approval(request(), auto, { name: 'auto-1', uid: 'uid-auto' });
    const more = { approvals: [ofSecond, waiting], words: [word(ofSecond)] };
    expect(under(second, more)).toMatchObject({ outcome: 'NeedsApproval', reason: 'WaitingForOthers' });
  });

  test('the other one is not spent where people have refused it in place of the policy', () => {
    const status = { phase: 'Denied', endedAt: at(30).toISOString() } as const;
    const asked = (one: typeof status | { phase: 'Expired'; endedAt: string }) => [
      approval(request(), auto, { name: 'auto-1', uid: 'uid-auto', status: one }),
      ofSecond,
    ];
    const more = { approvals: asked(status), words: [word(ofSecond)] };
    expect(under(auto, more)).toMatchObject({ outcome: 'NeedsApproval', reason: 'ApprovalRequired' });
    expect(under(second, more)).toMatchObject({ outcome: 'NeedsApproval', reason: 'WaitingForOthers' });
    const over = { ...more, approvals: asked({ ...status, phase: 'Expired' }) };
    expect(under(auto, over)).toMatchObject({ outcome: 'Allowed', reason: 'AutoApproved' });
    expect(under(second, over)).toMatchObject({ outcome: 'Allowed', reason: 'Reserved' });
  });

  test('the other one is not spent on a cache, which holds no refusals', () => {
    const more = { approvals: [ofSecond], words: [word(ofSecond)], isLive: false };
    expect(under(second, more)).toMatchObject({ outcome: 'NeedsApproval', reason: 'WaitingForOthers' });
    expect(under(second, { ...more, isLive: true })).toMatchObject({ outcome: 'Allowed', reason: 'Reserved' });
  });
});
