// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What happens to an approval next, and that planning twice is planning once.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Plan, Situation } from '../../../../src/domain/lifecycle/plan.ts';
import type { Approval } from '../../../../src/domain/model/approval.ts';
import type { Seen } from '../../../../src/domain/model/seen.ts';
import {
  approval,
  at,
  creation,
  decisionSeconds,
  deployer,
  deployment,
  pendingSeconds,
  plan,
  policy,
  request,
  requestCapSeconds,
  reserved,
  retentionSeconds,
  set,
  situation,
  useSeconds,
  voteSeconds,
  word,
  written,
} from '../../../support/builders/domain.ts';

/** Of an approval that is approved by `yes`. */
const endOfUse = voteSeconds + useSeconds;
const endOfReadmission = endOfUse + requestCapSeconds;
/** Of one that ended when it was looked at. */
const endOfKeeping = decisionSeconds + retentionSeconds;

const filed = approval();
const yes = word(filed);
const no = word(filed, { verdict: 'Deny', decidedAt: at(70).toISOString() }, 'uid-word-2');
const held = reserved({ approvals: [filed], words: [yes] });
const born = approval(creation(set(deployment(), ['metadata', 'uid'], 'uid-a')));
const heldCreation = reserved({
  request: creation(set(deployment(), ['metadata', 'uid'], 'uid-b')),
  approvals: [born],
  words: [word(born)],
});
const newer = approval(request({ object: deployment('web:3', 2) }), policy(), {
  name: 'two',
  uid: 'uid-2',
  created: at(10),
});
const seen = (image: string, generation: number): Seen => ({
  kind: 'State',
  object: deployment(image, generation),
  isNext: true,
});
const byPod = policy({ grant: { bindIdentity: 'Pod' } });
const from = (uid: string) => request({ requester: { ...deployer, pod: { name: 'p', uid } } });
const ofPod = (uid: string, seconds: number) => approval(from(uid), byPod, { name: uid, uid, created: at(seconds) });
const absent = (on: Approval, seconds: number): Situation => {
  const { policy: _, ...rest } = situation(on, { now: at(seconds) });
  return rest;
};

function phaseOf(given: Situation): string {
  const { status, nextAt } = plan(given);
  const evidence = status?.evidence === undefined ? '' : ` ${status.evidence}`;
  const next = nextAt === undefined ? '' : ` until ${(nextAt.getTime() - at(0).getTime()) / 1000}`;
  return `${status?.phase ?? 'unchanged'}${evidence}${next}`;
}

describe('an approval', () => {
  const of = (on: Approval, overrides: Partial<Situation> = {}) => situation(on, overrides);
  const rows: readonly (readonly [string, string, Situation])[] = [
    ['without votes is pending', `Pending until ${pendingSeconds}`, of(filed)],
    ['without votes in time has timed out', 'TimedOut', of(filed, { now: at(pendingSeconds) })],
    ['with its vote is approved', `Approved until ${endOfUse}`, of(filed, { decisions: [yes] })],
    ['approved and unused has expired', 'Expired', of(filed, { decisions: [yes], now: at(endOfUse) })],
    ['denied is denied', 'Denied', of(filed, { decisions: [no] })],
    ['approved and denied is denied', 'Denied', of(filed, { decisions: [yes, no] })],
    ['revoked is revoked', 'Revoked', of(filed, { decisions: [yes, word(filed, { verdict: 'Revoke' }, 'uid-3')] })],
    [
      'withdrawn is withdrawn',
      'Withdrawn',
      of(filed, { decisions: [word(filed, { verdict: 'Withdraw', decidedBy: { username: deployer.username } })] }),
    ],
    ['pending with a newer content is superseded', 'Superseded', of(filed, { siblings: [newer] })],
    [
      'approved with a newer content is not superseded',
      `Approved until ${endOfUse}`,
      of(filed, { siblings: [newer], decisions: [yes] }),
    ],
    [
      'pending with an older content is not superseded',
      `Pending until ${pendingSeconds + 10}`,
      of(newer, { siblings: [filed] }),
    ],
    [
      'pending with a newer content of another pod is not superseded where approvals bind to pods',
      `Pending until ${pendingSeconds}`,
      of(ofPod('p1', 0), { siblings: [ofPod('p2', 5)], policy: byPod }),
    ],
    [
      'pending with a newer content of another pod is superseded where approvals bind to accounts',
      'Superseded',
      of(ofPod('p1', 0), { siblings: [ofPod('p2', 5)] }),
    ],
    [
      'reserved whose target is not seen stays so',
      `Reserved until ${endOfReadmission}`,
      of(held, { decisions: [yes] }),
    ],
    [
      'reserved whose target is never seen is consumed',
      'Consumed Unconfirmed',
      of(held, { decisions: [yes], now: at(endOfReadmission) }),
    ],
    [
      'reserved whose change is seen is consumed',
      'Consumed Observed',
      of(held, { decisions: [yes], seen: seen('web:2', 2) }),
    ],
    [
      'reserved whose change lost is approved again',
      `Approved until ${endOfUse}`,
      of(held, { decisions: [yes], seen: seen('web:9', 2) }),
    ],
    [
      'reserved whose change lost too late has expired',
      'Expired',
      of(held, { decisions: [yes], seen: seen('web:9', 2), now: at(endOfUse) }),
    ],
    [
      'reserved whose step was missed is consumed',
      'Consumed Unconfirmed',
      of(held, { decisions: [yes], seen: seen('web:2', 3) }),
    ],
    [
      'reserved whose base stands to the end has expired',
      'Expired',
      of(held, { decisions: [yes], seen: seen('web:1', 1), now: at(endOfReadmission) }),
    ],
    [
      'reserved and denied whose base stands is settled first',
      `Reserved until ${endOfReadmission}`,
      of(held, { decisions: [yes, no], seen: seen('web:1', 1) }),
    ],
    [
      'reserved and denied whose base stands to the end is denied',
      'Denied',
      of(held, { decisions: [yes, no], seen: seen('web:1', 1), now: at(endOfReadmission) }),
    ],
    [
      'reserved and denied whose change lost is denied',
      'Denied',
      of(held, { decisions: [yes, no], seen: seen('web:9', 2) }),
    ],
    [
      'reserved and denied whose change is seen is consumed',
      'Consumed Observed',
      of(held, { decisions: [yes, no], seen: seen('web:2', 2) }),
    ],
    [
      'reserved for a creation that is not seen to the end is consumed',
      'Consumed Unconfirmed',
      of(heldCreation, { decisions: [word(born)], seen: { kind: 'Absent' }, now: at(endOfReadmission) }),
    ],
    ['without its policy is pending', `Pending until ${pendingSeconds}`, absent(filed, 120)],
    ['without its policy times out as it would have', 'TimedOut', absent(filed, pendingSeconds)],
    [
      'without its policy keeps the longer time that it was told',
      'Pending until 9000',
      absent({ ...filed, status: { pendingUntil: at(9000).toISOString() } }, 3601),
    ],
    [
      'approved late and without its policy waits for its return',
      'Pending until 4200',
      absent({ ...filed, status: { pendingUntil: at(3600).toISOString(), usableUntil: at(4200).toISOString() } }, 3601),
    ],
    [
      'that has ended is kept',
      `unchanged until ${endOfKeeping}`,
      of({ ...filed, status: { phase: 'Denied', endedAt: at(decisionSeconds).toISOString() } }),
    ],
  ];
  test.each(rows)('%s: %s', (_, want, given) => {
    expect(phaseOf(given)).toBe(want);
  });

  test('that has been kept long enough is removed', () => {
    const ended: Approval = { ...filed, status: { phase: 'Denied', endedAt: at(decisionSeconds).toISOString() } };
    expect(plan(situation(ended, { now: at(endOfKeeping) }))).toEqual({
      events: [],
      isToBeRemoved: true,
      isToBeConfirmed: false,
    });
  });
  const toConfirm: readonly (readonly [string, boolean, Situation])[] = [
    ['whose base stands to the end', true, of(held, { decisions: [yes], seen: seen('web:1', 1), now: at(994) })],
    ['whose base stands before the end', false, of(held, { decisions: [yes], seen: seen('web:1', 1), now: at(993) })],
    ['whose change lost too late', true, of(held, { decisions: [yes], seen: seen('web:9', 2), now: at(960) })],
    ['whose change is seen', false, of(held, { decisions: [yes], seen: seen('web:2', 2), now: at(994) })],
    ['whose target must not be looked at', false, of(held, { decisions: [yes], now: at(994) })],
    ['that is denied', false, of(held, { decisions: [yes, no], seen: seen('web:1', 1), now: at(994) })],
    ['that was never reserved', false, of(filed, { decisions: [yes], seen: seen('web:1', 1), now: at(994) })],
  ];
  test.each(toConfirm)('%s is confirmed before it is given up: %s', (_, want, given) => {
    expect(plan(given).isToBeConfirmed).toBe(want);
  });

  test('that is reserved is written again for a vote, and not for a condition', () => {
    const exposed = word(filed, {
      decidedBy: { username: 'ann', groups: ['approvers'], requesterMay: 'impersonate ann' },
    });
    const typesOf = ({ status }: Plan) => (status?.conditions ?? []).map(({ type }) => type);
    expect(typesOf(plan(situation(held, { decisions: [exposed] })))).toContain('Exposed');
    const counted = written(held, plan(situation(held, { decisions: [yes] })));
    expect(plan(situation(counted, { decisions: [exposed] })).status).toBeUndefined();
    expect(plan(situation(counted, { decisions: [yes, no] })).status?.decisions).toHaveLength(2);
  });
  test('that lost names the use it releases', () => {
    const { status } = plan(situation(held, { decisions: [yes], seen: seen('web:9', 2) }));
    const why = 'the next state of the target does not have the change, so the write lost to another one';
    expect(status?.releases).toEqual([{ use: 0, releasedAt: at(120).toISOString(), why }]);
  });
  test('tells its move once', () => {
    const note = 'UPDATE deployments web by ci/deployer: approved and not used yet';
    const first = plan(situation(filed, { decisions: [yes] }));
    expect(first.events).toEqual([{ type: 'Normal', reason: 'Approved', note }]);
    expect(plan(situation(written(filed, first), { decisions: [yes] })).events).toEqual([]);
  });
  test('keeps the instant of a condition until the condition turns', () => {
    const first = written(filed, plan(situation(filed)));
    const later = plan(situation(first, { decisions: [yes], now: at(200) })).status?.conditions;
    expect(later?.map(({ type, status, lastTransitionTime }) => [type, status, lastTransitionTime])).toEqual([
      ['Ready', 'True', at(200).toISOString()],
      ['Approved', 'True', at(200).toISOString()],
      ['Denied', 'False', at(120).toISOString()],
      ['Consumed', 'False', at(120).toISOString()],
      ['Expired', 'False', at(120).toISOString()],
      ['ContentVerified', 'True', at(120).toISOString()],
    ]);
  });
});

describe('planning', () => {
  const states = fc.constantFrom<Seen>(
    { kind: 'Nothing' },
    { kind: 'Absent' },
    seen('web:1', 1),
    seen('web:2', 2),
    seen('web:9', 2),
    seen('web:2', 3),
  );
  const heard = fc.subarray([yes, no, word(filed, { decidedBy: { username: 'eve' } }, 'uid-4')]);
  const given = fc.record({
    on: fc.constantFrom(filed, held),
    decisions: heard,
    seen: states,
    seconds: fc.nat(5000),
    siblings: fc.subarray([newer]),
    isPolicyThere: fc.boolean(),
  });
  test('the status that a plan wrote changes nothing', () => {
    fc.assert(
      fc.property(given, ({ on, decisions, seen: state, seconds, siblings, isPolicyThere }) => {
        const planned = (one: Approval): Plan => {
          const { policy: under, ...rest } = situation(one, { decisions, seen: state, siblings, now: at(seconds) });
          return plan(isPolicyThere && under !== undefined ? { ...rest, policy: under } : rest);
        };
        const first = written(on, planned(on));
        // What lost is approved again: nothing of it is seen any more.
        if (first.status?.releases !== undefined) return;
        expect(planned(first)).toMatchObject({ events: [] });
        expect(planned(first).status).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
  test('never takes a use or a release away, and never leaves an end', () => {
    fc.assert(
      fc.property(given, fc.nat(5000), ({ on, decisions, seen: state, seconds, siblings }, more) => {
        const first = written(on, plan(situation(on, { decisions, seen: state, siblings, now: at(seconds) })));
        const second = written(
          first,
          plan(situation(first, { decisions, seen: state, siblings, now: at(seconds + more) })),
        );
        expect(second.status?.uses).toEqual(on.status?.uses);
        expect((second.status?.releases ?? []).slice(0, first.status?.releases?.length ?? 0)).toEqual(
          first.status?.releases ?? [],
        );
        if (first.status?.endedAt !== undefined) expect(second).toEqual(first);
      }),
    );
  });
});
