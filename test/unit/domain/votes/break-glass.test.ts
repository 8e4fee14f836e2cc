// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A broken glass stays to be seen until somebody else has reviewed it, whatever becomes of the approval meanwhile.
import { describe, expect, test } from 'vitest';
import type { Situation } from '../../../../src/domain/lifecycle/plan.ts';
import type { Approval, Decision } from '../../../../src/domain/model/approval.ts';
import { approval, at, plan, policy, situation, word, written } from '../../../support/builders/domain.ts';

const glass = policy({ bypass: { enabled: true } });
const filed = approval();
const bypass = word(filed, { decidedBy: { username: 'eve' }, bypass: true, reason: 'the site is down' }, 'uid-bypass');
const review = word(filed, { verdict: 'Review', reason: 'it was', decidedAt: at(70).toISOString() }, 'uid-review');
const planned = (on: Approval, decisions: readonly Decision[], seconds: number, over: Partial<Situation> = {}) =>
  plan(situation(on, { policy: glass, decisions, now: at(seconds), ...over }));
const told = ({ status }: Pick<Approval, 'status'>) => {
  const condition = status?.conditions?.find(({ type }) => type === 'ReviewRequired');
  return [status?.phase, status?.review, condition?.status, condition?.message];
};
const required = 'eve used break-glass: the site is down. An approver other than eve must review it';

const broken = written(filed, planned(filed, [bypass], 120));
const expired = written(broken, planned(broken, [bypass], 2_000));
const month = 3_600;

describe('an approval given by break glass', () => {
  test('says so at once, by condition and by event', () => {
    expect(told(broken)).toEqual(['Approved', 'Required', 'True', required]);
    expect(broken.status?.votes).toBe('0/1 unreviewed');
    expect(planned(filed, [bypass], 120).events.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
      'Normal Approved',
      'Warning Bypassed',
    ]);
    expect(planned(broken, [bypass], 130).events).toEqual([]);
  });

  test('says so after it has ended, and is kept beyond its time', () => {
    expect(told(expired)).toEqual(['Expired', 'Required', 'True', required]);
    expect(planned(expired, [bypass], 2_000 + 10 * month).isToBeRemoved).toBe(false);
    const others = written(filed, planned(filed, [word(filed)], 120));
    const ended = written(others, planned(others, [word(filed)], 2_000));
    expect(planned(ended, [word(filed)], 2_000 + month).isToBeRemoved).toBe(true);
  });

  test('says so though its decision or its policy is gone', () => {
    expect(told(written(broken, planned(broken, [], 140)))[1]).toBe('Required');
    const { policy: _, ...without } = situation(broken, { now: at(140) });
    expect(told(written(broken, plan(without)))[1]).toBe('Required');
    expect(planned(expired, [], 2_000 + 10 * month).isToBeRemoved).toBe(false);
  });

  test('is not usable by a status that says it was', () => {
    expect(planned(broken, [], 140).status?.phase).toBe('Pending');
  });

  test.each([
    ['while it lives', broken, 'Approved', 200],
    ['after it has ended', expired, 'Expired', 3_000],
  ] as const)('is reviewed %s', (_, on, phase, seconds) => {
    const next = planned(on, [bypass, review], seconds);
    const reviewed = written(on, next);
    expect(told(reviewed)).toEqual([phase, 'Done', 'False', 'reviewed by alice: it was']);
    expect(next.events).toMatchObject([{ type: 'Normal', reason: 'Reviewed' }]);
    expect(reviewed.status?.votes).toBe('0/1 reviewed');
    expect(reviewed.status?.decisions?.map(({ verdict }) => verdict).sort()).toEqual(['Approve', 'Review']);
  });

  test('is kept for its time after the review, and then goes', () => {
    const reviewed = written(expired, planned(expired, [bypass, review], 2_000 + 10 * month));
    const kept = planned(reviewed, [bypass, review], 2_000 + 10.5 * month);
    expect([kept.isToBeRemoved, kept.nextAt, kept.status]).toEqual([false, at(2_000 + 11 * month), undefined]);
    expect(planned(reviewed, [bypass, review], 2_000 + 11 * month).isToBeRemoved).toBe(true);
  });

  test('is to be reviewed again when the review is gone, or the glass broken once more', () => {
    const reviewed = written(expired, planned(expired, [bypass, review], 3_000));
    const again = word(filed, { ...bypass.spec, decidedAt: at(80).toISOString() }, 'uid-again');
    expect(told(written(reviewed, planned(reviewed, [bypass], 3_100)))[1]).toBe('Required');
    expect(told(written(reviewed, planned(reviewed, [bypass, review, again], 3_100)))[1]).toBe('Required');
    expect(planned(reviewed, [bypass, review], 3_100).status).toBeUndefined();
  });

  test('is not reviewed by who broke it, also when that decision is gone', () => {
    const own = { ...review, spec: { ...review.spec, decidedBy: { username: 'eve', groups: ['approvers'] } } };
    expect(planned(expired, [own], 2_100).status).toBeUndefined();
    expect(planned(expired, [review], 2_100).status?.review).toBe('Done');
  });

  test('is not reviewed by the account that broke it, whomever it speaks for', () => {
    const account = (name: string) => ({ username: `system:serviceaccount:ops:${name}` });
    const named = ['git', 'chat'].map((name) => ({ namespace: 'ops', name }));
    const under = policy({
      bypass: { enabled: true },
      subjects: { exclude: named.map((one) => ({ kind: 'ServiceAccount', ...one })) },
      approval: { require: [{ name: 'a', approvers: { serviceAccounts: named } }] },
    });
    const glassBy = word(filed, { ...bypass.spec, decidedBy: account('git') }, 'uid-bypass');
    const reviewed = (delegate: string) => {
      const via = word(
        filed,
        { ...review.spec, decidedBy: { username: 'bob' }, decidedVia: account(delegate) },
        'uid-r',
      );
      return planned(filed, [glassBy, via], 200, { policy: under }).status?.review;
    };
    expect(reviewed('chat')).toBe('Done');
    expect(reviewed('git')).toBe('Required');
  });

  test('says so when the word came to light only after the end', () => {
    const unaware = { ...expired, status: { phase: 'Consumed', endedAt: at(90).toISOString() } } as Approval;
    const next = planned(unaware, [bypass], 2_100);
    expect(told(written(unaware, next))).toEqual(['Consumed', 'Required', 'True', required]);
  });
});
