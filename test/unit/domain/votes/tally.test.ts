// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whose votes count, and when they suffice.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Decision } from '../../../../src/domain/model/approval.ts';
import type { Policy, Requirement } from '../../../../src/domain/model/policy.ts';
import { tally } from '../../../../src/domain/votes/tally.ts';
import { approval, at, byHand, deployer, policy, request, word } from '../../../support/builders/domain.ts';

const on = approval();
const by = (username: string, ...groups: string[]): Partial<Decision['spec']> => ({ decidedBy: { username, groups } });
const words = (...specs: readonly Partial<Decision['spec']>[]) => specs.map((spec, i) => word(on, spec, `uid-${i}`));
const delegate = { namespace: 'ops', name: 'delegate' };
const bots: Policy = policy({ subjects: { include: [{ kind: 'Group', name: 'bots' }] } }, 'bots');
const named = policy({
  approval: { require: [{ name: 'a', approvers: { groups: ['approvers'], serviceAccounts: [delegate] } }] },
});

describe('a vote', () => {
  const rows: readonly (readonly [string, number, Partial<Decision['spec']>, Policy?, (readonly Policy[])?])[] = [
    ['of an approver counts', 1, {}],
    ['of nobody in particular does not', 0, by('eve')],
    ['that is not stamped does not', 0, { decidedBy: undefined } as never],
    ['of the requester does not', 0, by(deployer.username, 'approvers')],
    ['of another gated account does not', 0, by('system:serviceaccount:ci:other', 'approvers')],
    ['of a delegate that the policy names counts', 1, by('system:serviceaccount:ops:delegate'), named],
    ['of the account beside it does not', 0, by('system:serviceaccount:ops:delegate2'), named],
    ['of somebody whom another policy gates does not', 0, by('bob', 'approvers', 'bots'), policy(), [policy(), bots]],
    ['of the same person without that group counts', 1, by('bob', 'approvers'), policy(), [policy(), bots]],
    [
      'about another digest does not',
      0,
      { approval: { name: on.metadata.name, uid: on.metadata.uid, digest: `sha256:${'0'.repeat(64)}` } },
    ],
    ['about no digest does not', 0, { approval: { name: on.metadata.name, uid: on.metadata.uid } }],
    ['about another approval of that name does not', 0, { approval: { ...word(on).spec.approval, uid: 'uid-2' } }],
    ['by a Review does not', 0, { verdict: 'Review' }],
    ['by bypass is none where the policy does not allow it', 0, { bypass: true }],
  ];
  for (const [title, want, spec, under = policy(), known = [under]] of rows) {
    test(title, () => expect(tally(on, words(spec), under, known).received).toBe(want));
  }

  test('in another namespace does not count', () => {
    const elsewhere = word(on);
    const moved = { ...elsewhere, metadata: { ...elsewhere.metadata, namespace: 'dev' } };
    expect(tally(on, [moved], policy(), []).received).toBe(0);
  });
  test('of one person counts once, however often', () => {
    const two = policy({ approval: { require: [{ name: 'a', count: 2, approvers: { groups: ['approvers'] } }] } });
    expect(tally(on, words({}, {}, {}), two, []).received).toBe(1);
    expect(tally(on, words({}, by('bob', 'approvers')), two, []).received).toBe(2);
  });
  test('with an instant that is none is taken at its creation', () => {
    expect(tally(on, words({ decidedAt: 'nonsense' }), policy(), []).approvedAt).toEqual(at(60));
  });
});

describe('creating an approval', () => {
  const applied = (username: string, origin: 'Applied' | 'Asked' | 'Denied' = 'Applied') =>
    approval(request(), policy(), { spec: { ...byHand(username), origin } });
  test.each([
    ['is a vote of an approver', 1, applied('alice')],
    ['is not a vote of the requester', 0, applied(deployer.username)],
    ['is not a vote when it is asked ahead', 0, applied('alice', 'Asked')],
    ['is not a vote when it is filed on denial', 0, applied('alice', 'Denied')],
  ])('%s', (_, want, one) => {
    expect(tally(one, [], policy(), [], [one]).received).toBe(want);
  });
  test('and deciding on it counts as one person', () => {
    const two = policy({ approval: { require: [{ name: 'a', count: 2, approvers: { groups: ['approvers'] } }] } });
    const one = applied('alice');
    expect(tally(one, [word(one)], two, [], [one]).received).toBe(1);
  });
});

describe('a word that stops', () => {
  const stopped = (spec: Partial<Decision['spec']>) => tally(on, words(spec), policy(), []).stopped?.verdict;
  test.each([
    ['Deny by an approver', 'Deny', { verdict: 'Deny' as const }],
    ['Deny by anybody else', undefined, { verdict: 'Deny' as const, ...by('eve') }],
    ['Revoke by an approver', 'Revoke', { verdict: 'Revoke' as const }],
    ['Revoke by the requester', undefined, { verdict: 'Revoke' as const, ...by(deployer.username) }],
    ['Withdraw by the requester', 'Withdraw', { verdict: 'Withdraw' as const, ...by(deployer.username) }],
    ['Withdraw by an approver', undefined, { verdict: 'Withdraw' as const }],
  ])('%s: %s', (_, want, spec) => {
    expect(stopped(spec)).toBe(want);
  });
  test.each(['Withdraw', 'Deny', 'Revoke', 'Review'] as const)('and breaks the glass (%s) does neither', (verdict) => {
    for (const under of [policy(), policy({ bypass: { enabled: true } })]) {
      for (const who of [by(deployer.username), by('alice', 'approvers')]) {
        const votes = tally(on, words({ verdict, bypass: true, reason: 'now', ...who }), under, [under]);
        expect([votes.bypassed, votes.approvedAt, votes.stopped]).toEqual([undefined, undefined, undefined]);
        expect(votes.decisions[0]?.why).toBe('bypass requires the verdict Approve');
      }
    }
  });
  test.each([
    ['is final, though its decision is deleted', 'Deny', { verdict: 'Deny' as const }],
    ['that did not count stops nothing then either', undefined, { verdict: 'Deny' as const, ...by('eve') }],
    ['an Approve stops nothing', undefined, {}],
  ])('%s', (_, want, spec) => {
    const told = { ...on, status: { decisions: tally(on, words(spec), policy(), []).decisions } };
    const after = tally(told, [], policy(), []);
    expect(after.stopped?.verdict).toBe(want);
    expect(after.decisions.map(({ verdict }) => verdict)).toEqual(want === undefined ? [] : [want]);
    expect(after.received).toBe(0);
  });
});

describe('what is told', () => {
  const long: Requirement = {
    name: 'a',
    approvers: { users: Array.from({ length: 64 }, (_, i) => `${i}`.repeat(100)) },
  };
  const many = Array.from({ length: 100 }, (_, i) =>
    word(on, by(`user${i}`, ...(i < 90 ? [] : ['approvers'])), `uid-${i}`),
  );
  test('fits the schema, else it could never be written', () => {
    const told = tally(on, many, policy({ approval: { require: [long] } }), []);
    expect([told.missing.length, told.decisions.length]).toEqual([512, 64]);
  });
  test('shows the words that count before those that do not', () => {
    expect(tally(on, many, policy(), []).decisions.filter(({ counted }) => counted)).toHaveLength(10);
  });
  test('names the instant of the vote that sufficed, not of later ones', () => {
    const later = { ...by('bob', 'approvers'), decidedAt: at(90).toISOString() };
    expect(tally(on, words(later, {}), policy(), []).approvedAt).toEqual(at(60));
  });
});

describe('seats', () => {
  const groups = ['a', 'b', 'c'];
  const some = fc.subarray(groups);
  const requirements = fc.array(fc.record({ groups: some, count: fc.integer({ min: 1, max: 2 }) }), {
    minLength: 1,
    maxLength: 3,
  });
  const people = fc.array(some, { maxLength: 4 });
  test('are filled as well as trying all ways would fill them', () => {
    fc.assert(
      fc.property(requirements, people, (asked, voters) => {
        const require = asked.map((one, i) => ({ name: `r${i}`, count: one.count, approvers: { groups: one.groups } }));
        const said = words(...voters.map((of, i) => by(`p${i}`, ...of)));
        const seats = asked.flatMap((one) => Array.from({ length: one.count }, () => one.groups));
        const { received, required, missing, approvedAt } = tally(on, said, policy({ approval: { require } }), []);
        const best = most(seats, voters);
        expect([received, required]).toEqual([best, seats.length]);
        expect([missing === '', approvedAt !== undefined]).toEqual([best === seats.length, best === seats.length]);
      }),
      { numRuns: 300 },
    );
  });
  function most(seats: readonly (readonly string[])[], voters: readonly (readonly string[])[]): number {
    const [voter, ...rest] = voters;
    if (voter === undefined) return 0;
    const takes = seats.flatMap((seat, i) =>
      seat.some((group) => voter.includes(group))
        ? [1 + most([...seats.slice(0, i), ...seats.slice(i + 1)], rest)]
        : [],
    );
    return Math.max(most(seats, rest), ...takes);
  }
});
