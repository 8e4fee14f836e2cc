// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The vote of who applies an approval counts for that object, and for no copy of it.
import { describe, expect, test } from 'vitest';
import type { Approval, ApprovalStatus } from '../../../../src/domain/model/approval.ts';
import { stampedForSeconds } from '../../../../src/domain/votes/creation-vote.ts';
import { tally } from '../../../../src/domain/votes/tally.ts';
import { UseMemory } from '../../../../src/webhook/gate/use-memory.ts';
import {
  answer,
  approval,
  at,
  byHand,
  decided,
  plan,
  policy,
  request,
  reserved,
  situation,
  start,
  word,
} from '../../../support/builders/domain.ts';

const original = approval(request(), policy(), { name: 'original', uid: 'uid-b', spec: byHand() });
/** As a backup brings it back: spec and name stay, what the API server writes does not. */
const copy = (given: { seconds?: number; uid?: string; status?: ApprovalStatus; of?: Approval } = {}): Approval => {
  const { seconds = 5, uid = 'uid-c', status, of = original } = given;
  const { status: _, ...rest } = of;
  const metadata = { ...of.metadata, name: 'copy', uid, creationTimestamp: at(seconds).toISOString() };
  return { ...rest, metadata, ...(status === undefined ? {} : { status }) };
};
const received = (of: Approval, others?: readonly Approval[]) => tally(of, [], policy(), [], others).received;
const spent = { ...original, status: { ...reserved({ approvals: [original] }).status, phase: 'Consumed' } as const };

describe('the vote of who created an approval', () => {
  test.each<readonly [string, number, Approval, readonly Approval[] | undefined]>([
    ['counts', 1, original, [original]],
    ['counts for nothing on a cache, which holds no ended ones', 0, original, undefined],
    ['does not count in a copy', 0, copy(), [original, copy()]],
    ['counts in the original, though there is a copy', 1, original, [original, copy()]],
    ['does not count in a copy of one that is spent', 0, copy(), [spent, copy()]],
    ['does not count in what was stamped before, of which nothing is left', 0, copy({ seconds: 95 }), []],
    ['counts as long as the request may have taken', 1, copy({ seconds: 94 }), []],
    ['counts where the replica is ahead', 1, copy({ seconds: -61 }), []],
    ['does not where it is further ahead than clocks may be', 0, copy({ seconds: -62 }), []],
    ['counts in one that another stamp made at the same time', 1, original, [other('nonce-2')]],
  ])('%s', (_, want, of, others) => {
    expect(received(of, others)).toBe(want);
  });

  test.each([
    ['without nonce', { stampedAt: start.toISOString() }],
    ['without instant', { nonce: 'nonce-1' }],
    ['with an instant that is none', { stampedAt: 'soon', nonce: 'nonce-1' }],
  ])('counts for nothing where the stamp is %s', (_, stamp) => {
    const createdBy = { username: 'alice', groups: ['approvers'], ...stamp };
    expect(received({ ...original, spec: { ...original.spec, createdBy } }, [])).toBe(0);
  });

  test('within one second is the vote of one only, and of the one that was used', () => {
    const [one, two] = [copy({ seconds: 0, uid: 'uid-a' }), original];
    expect([received(one, [one, two]), received(two, [one, two])]).toEqual([1, 0]);
    expect([received(one, [one, spent]), received(spent, [one, spent])]).toEqual([0, 1]);
    const denied: Approval = { ...original, status: { phase: 'Denied' } };
    expect(received(one, [one, denied])).toBe(0);
  });
});

describe('a cache', () => {
  const since = (seconds: number) => ({ approvals: [original], isLive: false, watchedSince: at(seconds) });
  test.each<readonly [string, string, Parameters<typeof answer>[0]]>([
    ['that was watching before the stamp knows of every copy', 'Allowed Reserved', since(-61)],
    ['that may not have been does not', 'NeedsApproval ApprovalRequired', since(-60)],
    ['that cannot tell does not', 'NeedsApproval ApprovalRequired', { approvals: [original], isLive: false }],
    [
      'sees a copy beside its original',
      'NeedsApproval ApprovalRequired',
      { ...since(-61), approvals: [spent, copy()] },
    ],
  ])('%s: %s', (_, want, given) => {
    expect(answer(given)).toBe(want);
  });
});

describe('a copy', () => {
  test('of a spent approval opens nothing, and the denial says why', () => {
    const denial = decided({ approvals: [spent, copy()] });
    expect(denial).toMatchObject({
      outcome: 'NeedsApproval',
      approvalName: 'copy',
      missing:
        "the creator's vote does not count (it is a copy of original; create it without createdBy, or have it approved); " +
        '1 of 1 approval by group approvers missing',
    });
  });
  test('that is approved by a decision of its own opens what it says', () => {
    expect(answer({ approvals: [spent, copy()], words: [word(copy())] })).toBe('Allowed Reserved');
  });
  test('of one that stands beside it opens nothing more', () => {
    const first = reserved({ approvals: [original, copy()] });
    expect(first.metadata.uid).toBe('uid-b');
    expect(answer({ approvals: [{ ...first, status: { ...first.status, phase: 'Consumed' } }, copy()] })).toBe(
      'NeedsApproval ApprovalRequired',
    );
  });
  test('says on its own status why it does not count', () => {
    const planned = plan(situation(copy(), { siblings: [spent] }));
    expect(planned.status).toMatchObject({ phase: 'Pending', votes: '0/1' });
    expect(planned.status?.missing).toContain('it is a copy of original');
  });
  test('of one that was filed has no vote of the other', () => {
    const filed = approval();
    expect(answer({ approvals: [copy({ of: filed })], words: [word(filed)] })).toBe('NeedsApproval ApprovalRequired');
  });
});

test('what was made while nobody stamped says so', () => {
  const { origin: _, createdBy: __, ...spec } = original.spec;
  const planned = plan(situation({ ...original, spec }));
  expect(planned.status?.missing).toBe(
    "the creator's vote does not count (it was created while the API server did not call stepup's webhook; create it again); " +
      '1 of 1 approval by group approvers',
  );
});

describe('the memory of uses', () => {
  const instant = { now: start, monotonicMs: 1 };
  const uidsOf = (approvals: readonly Approval[]) => approvals.map(({ metadata }) => metadata.uid);
  test('knows what was seen used or ended and is gone, of which there is a copy', () => {
    for (const status of [spent.status, { phase: 'Revoked' }] as const) {
      const memory = new UseMemory();
      memory.note({ ...original, status }, instant);
      expect(uidsOf(memory.originalsOf([copy()]))).toEqual(['uid-b']);
      expect(memory.originalsOf([copy(), { ...original, status }]), 'it is there').toEqual([]);
      expect(memory.originalsOf([other('nonce-2'), approval()]), 'no copy').toEqual([]);
      expect(received(copy(), [copy(), ...memory.originalsOf([copy()])])).toBe(0);
    }
  });
  test('knows a copy of what has gone, whatever became of it', () => {
    const memory = new UseMemory();
    memory.noteGone(original, instant);
    expect(uidsOf(memory.originalsOf([copy()]))).toEqual(['uid-b']);
    expect(memory.originalsOf([copy(), original]), 'it is there').toEqual([]);
  });
  test('says since when it has had to forget stamps for want of room', () => {
    const memory = new UseMemory(1);
    memory.noteGone(original, instant);
    expect(memory.remembersSinceMs).toBe(Number.NEGATIVE_INFINITY);
    memory.noteGone(other('nonce-2'), { now: start, monotonicMs: 7 });
    expect(memory.remembersSinceMs).toBe(7);
  });
  test('knows nothing of what was never used', () => {
    const memory = new UseMemory();
    memory.note(original, instant);
    expect(memory.originalsOf([copy()])).toEqual([]);
  });
  test('forgets it no sooner than the copy does not count anyway', () => {
    const memory = new UseMemory();
    memory.note(spent, instant);
    const later = { ...other('nonce-2'), status: spent.status };
    memory.note(later, { now: at(stampedForSeconds), monotonicMs: 2 });
    expect(memory.originalsOf([copy()])).toHaveLength(1);
    memory.note(later, { now: at(3 * stampedForSeconds), monotonicMs: 3 });
    expect(memory.originalsOf([copy()])).toEqual([]);
  });
});

function other(nonce: string): Approval {
  return copy({ uid: 'uid-d', of: { ...original, spec: { ...original.spec, ...byHand('alice', nonce) } } });
}
