// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who is let through, and for each who is, a neighbour that differs in one thing and is not.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { approvalNameOf } from '../../../../src/domain/change/attempt.ts';
import { describe as describeRequest } from '../../../../src/domain/change/describe.ts';
import { type ApprovalStatus, ends } from '../../../../src/domain/model/approval.ts';
import {
  answer,
  approval,
  at,
  attempt,
  byHand,
  type Case,
  context,
  creation,
  decided,
  decisionSeconds,
  deletion,
  deployer,
  deployment,
  deploys,
  pendingSeconds,
  policy,
  question,
  request,
  requestCapSeconds,
  reserved,
  sealed,
  set,
  useSeconds,
  voteSeconds,
  word,
} from '../../../support/builders/domain.ts';

/** Of an approval that alice has approved by her vote. */
const endOfUse = voteSeconds + useSeconds;
const endOfReadmission = endOfUse + requestCapSeconds;
const justBefore = (seconds: number) => seconds - 0.001;
const justAfter = (seconds: number) => seconds + 0.001;

const filed = approval();
const approved: Case = { approvals: [filed], words: [word(filed)] };
const held: Case = { approvals: [reserved(approved)], words: [word(filed)] };
const two = { require: [{ name: 'approvers', count: 2, approvers: { groups: ['approvers'] } }] };
const target = policy({ grant: { binding: 'Target' } });
const byPod = policy({ grant: { bindIdentity: 'Pod' } });
const pod = { name: 'runner', uid: 'uid-runner' };
const fromPod = request({ requester: { ...deployer, pod } });
const podFiled = approval(fromPod, byPod);
const scaled = request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], 9) });
const gone = set(deployment(), ['metadata', 'uid'], 'uid-other');

describe('decide', () => {
  const rows: readonly (readonly [string, string, Case])[] = [
    ['an approval with its vote covers the request', 'Allowed Reserved', approved],
    ['an approval without a vote does not cover the request', 'NeedsApproval ApprovalRequired', { approvals: [filed] }],
    ['a request without any approval is denied', 'NeedsApproval ApprovalRequired', {}],
    [
      'an approval covers the request until the last instant of its use window',
      'Allowed Reserved',
      { ...approved, seconds: justBefore(endOfUse) },
    ],
    [
      'an approval does not cover the request once its use window is over',
      'NeedsApproval ApprovalRequired',
      { ...approved, seconds: endOfUse },
    ],
    [
      'a vote at the last instant of the pending time counts',
      'Allowed Reserved',
      {
        approvals: [filed],
        words: [word(filed, { decidedAt: at(pendingSeconds).toISOString() })],
        seconds: pendingSeconds + 1,
      },
    ],
    [
      'a vote after the pending time does not count',
      'NeedsApproval ApprovalRequired',
      {
        approvals: [filed],
        words: [word(filed, { decidedAt: at(justAfter(pendingSeconds)).toISOString() })],
        seconds: pendingSeconds + 1,
      },
    ],
    [
      'an approval of one image does not cover another',
      'NeedsApproval ApprovalRequired',
      { ...approved, request: request({ object: deployment('web:3', 2) }) },
    ],
    [
      'an approval of an image does not cover other replicas',
      'NeedsApproval ApprovalRequired',
      { ...approved, request: scaled },
    ],
    [
      'an approval covers its change also after an autoscaler has written replicas in between',
      'Allowed Reserved',
      {
        ...approved,
        request: request({
          oldObject: set(deployment('web:1', 7), ['spec', 'replicas'], 9),
          object: set(deployment('web:2', 8), ['spec', 'replicas'], 9),
        }),
      },
    ],
    [
      'an approval does not cover the request of another account',
      'NeedsApproval ApprovalRequired',
      { ...approved, request: request({ requester: { ...deployer, username: 'system:serviceaccount:ci:other' } }) },
    ],
    [
      'an approval does not cover the request of the same account made anew',
      'NeedsApproval ApprovalRequired',
      { ...approved, request: request({ requester: { ...deployer, uid: 'uid-new' } }) },
    ],
    [
      'an approval does not cover the same object made anew',
      'NeedsApproval ApprovalRequired',
      { ...approved, request: request({ oldObject: gone }) },
    ],
    [
      'an approval does not cover the same name in another namespace',
      'NeedsApproval ApprovalRequired',
      { ...approved, request: request({ namespace: 'dev' }) },
    ],
    [
      'one vote where two are required does not suffice',
      'NeedsApproval ApprovalRequired',
      { ...approved, policy: policy({ approval: two }) },
    ],
    [
      'two votes where two are required suffice',
      'Allowed Reserved',
      {
        approvals: [filed],
        policy: policy({ approval: two }),
        words: [word(filed), word(filed, { decidedBy: { username: 'bob', groups: ['approvers'] } }, 'uid-word-2')],
      },
    ],
    [
      'a Deny by an approver stops an approval that was approved',
      'NeedsApproval ApprovalRequired',
      { approvals: [filed], words: [word(filed), word(filed, { verdict: 'Deny' }, 'uid-word-2')] },
    ],
    [
      'a Deny by somebody who may not approve does not stop an approval that was approved',
      'Allowed Reserved',
      {
        approvals: [filed],
        words: [word(filed), word(filed, { verdict: 'Deny', decidedBy: { username: 'eve' } }, 'uid-word-2')],
      },
    ],
    [
      'an approval that binds to a pod covers the request of that pod',
      'Allowed Reserved',
      { policy: byPod, request: fromPod, approvals: [podFiled], words: [word(podFiled)] },
    ],
    [
      'an approval that binds to a pod does not cover the request of another pod',
      'NeedsApproval ApprovalRequired',
      {
        policy: byPod,
        request: request({ requester: { ...deployer, pod: { ...pod, uid: 'uid-two' } } }),
        approvals: [podFiled],
        words: [word(podFiled)],
      },
    ],
    [
      'an approval that binds to a pod does not cover a request without one',
      'NeedsApproval ApprovalRequired',
      { policy: byPod, approvals: [podFiled], words: [word(podFiled)] },
    ],
    [
      'an approval that binds to its target covers another image',
      'Allowed Reserved',
      { ...approved, policy: target, request: request({ object: deployment('web:3', 2) }) },
    ],
    [
      'an approval that binds to its target does not cover its deletion',
      'NeedsApproval ApprovalRequired',
      { ...approved, policy: target, request: deletion(deployment()) },
    ],
    [
      'an approval that is being deleted covers nothing',
      'NeedsApproval ApprovalRequired',
      {
        ...approved,
        approvals: [{ ...filed, metadata: { ...filed.metadata, deletionTimestamp: at(1).toISOString() } }],
      },
    ],
    [
      'an approval that names another API version covers nothing',
      'NeedsApproval ApprovalRequired',
      {
        ...approved,
        approvals: [approval(request(), policy(), { spec: { action: { ...filed.spec.action, version: 'v2' } } })],
      },
    ],
    [
      'an approval with a digest of an unknown version covers nothing',
      'NeedsApproval ApprovalRequired',
      {
        ...approved,
        approvals: [approval(request(), policy(), { spec: { change: { ...filed.spec.change, digestVersion: 'v9' } } })],
      },
    ],
    [
      'a reserved attempt is admitted again on its base',
      'Allowed Readmitted',
      { ...held, request: request({ uid: 'review-2' }) },
    ],
    [
      'a reserved attempt is admitted again on its base after a status write',
      'Allowed Readmitted',
      { ...held, request: request({ oldObject: set(deployment('web:1', 1), ['metadata', 'resourceVersion'], '999') }) },
    ],
    [
      'a reserved attempt is admitted again until the longest request has ended after the use window',
      'Allowed Readmitted',
      { ...held, seconds: justBefore(endOfReadmission) },
    ],
    [
      'a reserved attempt is not admitted again once the longest request has ended after the use window',
      'NeedsApproval AlreadyUsed',
      { ...held, seconds: endOfReadmission },
    ],
    [
      'a reserved attempt is not admitted again once its approval is denied',
      'NeedsApproval ApprovalRequired',
      { ...held, words: [word(filed), word(filed, { verdict: 'Deny' }, 'uid-word-2')] },
    ],
    [
      'a reserved attempt is not admitted again on another base',
      'NeedsApproval AlreadyUsed',
      { ...held, request: request({ oldObject: deployment('web:1', 4), object: deployment('web:2', 5) }) },
    ],
    [
      'the next generation without the change proves that the reserved write lost',
      'Allowed Reserved',
      { ...held, request: request({ oldObject: deployment('web:9', 2), object: deployment('web:2', 3) }) },
    ],
    [
      'the next generation with the change does not prove that the reserved write lost',
      'NeedsApproval ApprovalRequired',
      { ...held, request: request({ oldObject: deployment('web:2', 2), object: deployment('web:3', 3) }) },
    ],
    [
      'a consumed approval covers nothing',
      'NeedsApproval ApprovalRequired',
      { ...held, approvals: [{ ...filed, status: { phase: 'Consumed' } }] },
    ],
  ];
  test.each(rows)('%s', (_, want, given) => {
    expect(answer(given)).toBe(want);
  });

  test('reserving appends one use that says what was admitted', () => {
    const { attemptKey, change } = attempt();
    expect(reserved(approved).status).toEqual({
      phase: 'Reserved',
      approvedAt: at(voteSeconds).toISOString(),
      usableUntil: at(endOfUse).toISOString(),
      uses: [
        {
          attemptKey,
          digest: change.digest,
          digestVersion: 'v2',
          base: { kind: 'Generation', uid: 'uid-web', generation: 1 },
          effect: change.effect,
          reservedAt: at(decisionSeconds).toISOString(),
          requestUID: 'review-1',
          objectUID: 'uid-web',
          oldResourceVersion: '101',
          votes: ['alice'],
        },
      ],
    });
  });

  test('a proven loss is released in the write that reserves anew', () => {
    const again = reserved({
      ...held,
      request: request({ oldObject: deployment('web:9', 2), object: deployment('web:2', 3) }),
    });
    expect(again.status?.releases).toEqual([
      {
        use: 0,
        releasedAt: at(decisionSeconds).toISOString(),
        why: 'the next generation of the target does not have the change, so the write lost to another one',
      },
    ]);
    expect(again.status?.uses).toHaveLength(2);
  });

  test('an approval that has been reserved sixteen times serves no more', () => {
    const use = reserved(approved).status?.uses?.[0];
    if (use === undefined) throw new Error('no use');
    const uses = Array.from({ length: 16 }, () => use);
    const releases = uses.map((_, index) => ({ use: index, releasedAt: at(1).toISOString(), why: 'lost' }));
    const full = sealed({ ...filed, status: { uses, releases } });
    expect(answer({ ...approved, approvals: [full] })).toBe('NeedsApproval ApprovalRequired');
    const room = sealed({ ...filed, status: { uses: uses.slice(1), releases: releases.slice(0, 15) } });
    expect(answer({ ...approved, approvals: [room] })).toBe('Allowed Reserved');
  });
});

describe('a CREATE', () => {
  const made = (uid: string) => creation(set(deployment(), ['metadata', 'uid'], uid));
  const on = approval(made('uid-a'));
  test('is admitted again with the same new object, and not with another one', () => {
    const taken = reserved({ request: made('uid-b'), approvals: [on], words: [word(on)] });
    const again = (uid: string) => answer({ request: made(uid), approvals: [taken], words: [word(on)] });
    expect([again('uid-b'), again('uid-c')]).toEqual(['Allowed Readmitted', 'NeedsApproval AlreadyUsed']);
    const other = decided({ request: made('uid-c'), approvals: [taken], words: [word(on)] });
    expect(other, 'no wait for a settlement: the next try has yet another UID').toMatchObject({ isSettling: false });
  });
});

describe('a DELETE', () => {
  const on = approval(deletion(deployment()));
  const taken = reserved({ request: deletion(deployment()), approvals: [on], words: [word(on)] });
  const again = (old = deployment()) => answer({ request: deletion(old), approvals: [taken], words: [word(on)] });
  test('of one incarnation is one effect, of the next another', () => {
    expect([again(set(deployment(), ['metadata', 'resourceVersion'], '7')), again(gone)]).toEqual([
      'Allowed Readmitted',
      'NeedsApproval ApprovalRequired',
    ]);
  });
  test('by deletecollection carries no name and is the same attempt', () => {
    expect(attempt(deletion(deployment(), { name: '' }))).toEqual(attempt(deletion(deployment())));
  });
});

describe('several policies on one request', () => {
  const [a, b] = [policy(), policy({}, 'second')];
  const [onA, onB] = [approval(), approval(request(), b, { name: 'second-1', uid: 'uid-approval-2' })];
  const given: Case = { policy: a, policies: [a, b], approvals: [onA, onB] };
  test('reserve nothing while one is missing its vote', () => {
    expect(answer({ ...given, words: [word(onA)] })).toBe('NeedsApproval WaitingForOthers');
  });
  test('reserve when all are approved', () => {
    expect(answer({ ...given, words: [word(onA), word(onB, {}, 'uid-word-2')] })).toBe('Allowed Reserved');
  });
  test('reserve nothing while one has no approval at all', () => {
    const decision = decided({ ...given, approvals: [onA], words: [word(onA)] });
    expect(decision).toMatchObject({
      reason: 'WaitingForOthers',
      missing: 'policy second is not satisfied: 1 of 1 approval by group approvers missing',
    });
  });
  test('do not wait for a policy that does not gate the requester', () => {
    const other = policy(
      { subjects: { include: [{ kind: 'ServiceAccount', namespace: 'elsewhere', name: '*' }] } },
      'second',
    );
    expect(answer({ ...given, policies: [a, other], words: [word(onA)] })).toBe('Allowed Reserved');
  });
  test('wait for a policy that selects namespaces where the labels say so, and nowhere else', () => {
    const other = policy({ namespaceSelector: { matchLabels: { environment: 'production' } } }, 'second');
    const labelled = (namespaceLabels?: Record<string, string>) =>
      answer({
        ...given,
        policies: [a, other],
        approvals: [onA],
        words: [word(onA)],
        ...(namespaceLabels === undefined ? {} : { namespaceLabels }),
      });
    expect([labelled({ environment: 'production' }), labelled({}), labelled()]).toEqual([
      'NeedsApproval WaitingForOthers',
      'Allowed Reserved',
      'Allowed Reserved',
    ]);
  });
});

describe('a CREATE that a policy with CEL of its own may govern', () => {
  const first = policy();
  const second = policy({ conditions: [{ name: 'x', expression: 'true' }] }, 'second');
  const made = creation(set(deployment(), ['metadata', 'uid'], 'uid-a'));
  const applied = approval(made, first, { spec: byHand() });
  const onDenial = approval(made, first);
  const ofSecond = (status: ApprovalStatus) => approval(made, second, { name: 'second-1', uid: 'uid-2', status });
  const rows: readonly (readonly [string, string, Case])[] = [
    ['is denied once where the approval was made by hand', 'NeedsApproval WaitingForOthers', { approvals: [applied] }],
    [
      'passes after that one denial where the approval was made by hand',
      'Allowed Reserved',
      { approvals: [applied], refusedFor: ['second'] },
    ],
    [
      'passes where the approval was filed by a denied try',
      'Allowed Reserved',
      { approvals: [onDenial], words: [word(onDenial)] },
    ],
    [
      'is not let pass on a cache, which holds no ended approvals',
      'NeedsApproval WaitingForOthers',
      { approvals: [onDenial], words: [word(onDenial)], isLive: false },
    ],
    [
      'waits for the second where an approval of it has ended since',
      'NeedsApproval WaitingForOthers',
      {
        approvals: [onDenial, ofSecond({ phase: 'TimedOut', endedAt: at(30).toISOString() })],
        words: [word(onDenial)],
      },
    ],
    [
      'does not wait for the second where an approval of it ended before',
      'Allowed Reserved',
      {
        approvals: [onDenial, ofSecond({ phase: 'TimedOut', endedAt: at(-30).toISOString() })],
        words: [word(onDenial)],
      },
    ],
    [
      'waits for the live approval of the second also after it was denied once',
      'NeedsApproval WaitingForOthers',
      { approvals: [applied, ofSecond({})], refusedFor: ['second'] },
    ],
  ];
  test.each(rows)('%s: %s', (_, want, given) => {
    expect(answer({ request: made, policy: first, policies: [first, second], ...given })).toBe(want);
  });
  test('names the policy for whose sake it is refused', () => {
    expect(decided({ request: made, policies: [first, second], approvals: [applied] })).toMatchObject({
      missing: 'policy second may govern the request too and has not decided on it yet; send the request again',
      mayGovern: 'second',
    });
  });
  test('is none of an UPDATE, whose reservation stands until its next try', () => {
    const filedByHand = approval(request(), first, { spec: byHand() });
    expect(answer({ policies: [first, second], approvals: [filedByHand] })).toBe('Allowed Reserved');
  });
});

describe('an approval', () => {
  const elsewhere = { ...filed, metadata: { ...filed.metadata, namespace: 'dev' } };
  const ours = { ...filed, metadata: { ...filed.metadata, namespace: 'stepup-system' } };
  test('covers nothing from a namespace where approvals of its target do not live', () => {
    expect(answer({ approvals: [elsewhere], words: [word(elsewhere)] })).toBe('NeedsApproval ApprovalRequired');
  });
  test('covers from the namespace of stepup, where those go that find no room', () => {
    expect(answer({ approvals: [ours], words: [word(ours)] })).toBe('Allowed Reserved');
  });
});

describe('the name of the approval to wait for', () => {
  const { attemptKey } = attempt();
  const nameAfter = (uid: string) => approvalNameOf('production-deploys', attemptKey, uid);
  const spent = (uid: string, name: string) =>
    approval(request(), policy(), { uid, name, status: { phase: 'Consumed' } });
  const asked = (...approvals: readonly ReturnType<typeof approval>[]) => {
    const decision = decided({ approvals });
    return decision.outcome === 'NeedsApproval' ? decision.approvalName : '';
  };
  const first = spent('uid-z', nameAfter(''));
  const second = spent('uid-a', nameAfter('uid-z'));
  test('is the same for all who see the same', () => {
    expect(asked()).toBe(nameAfter(''));
  });
  test('is another one once the last is spent', () => {
    expect(asked(first)).toBe(nameAfter('uid-z'));
  });
  test('is never that of a spent one, though both were filed in one second', () => {
    expect([asked(first, second), asked(second, first)]).toEqual([nameAfter('uid-a'), nameAfter('uid-a')]);
  });
});

describe('one request', () => {
  test('that changes a field and the life of the object at once is refused', () => {
    const owned = set(deployment('web:2', 2), ['metadata', 'ownerReferences'], [{ kind: 'X', name: 'x', uid: 'u' }]);
    expect(describeRequest(request({ object: owned }), policy(), context)).toEqual({
      kind: 'Rejected',
      reason: 'SeveralEffects',
    });
  });
  test('without the object it is about is refused', () => {
    expect(describeRequest(deletion({}), policy(), context)).toEqual({ kind: 'Rejected', reason: 'TargetUnknown' });
  });
  test('that no row of the policy names is refused', () => {
    expect(describeRequest(request({ resource: 'daemonsets' }), policy(), context)).toEqual({
      kind: 'Rejected',
      reason: 'NotReady',
    });
  });
  test('by the door a policy names itself is one effect', () => {
    const both = policy({ actions: [{ ...deploys, resources: ['deployments', 'deployments/scale'] }] });
    const scale = (replicas: number) => ({
      kind: 'Scale',
      metadata: { uid: 'uid-web', resourceVersion: '101' },
      spec: { replicas },
    });
    const asked = request({ subresource: 'scale', oldObject: scale(3), object: scale(5) });
    expect(describeRequest(asked, both, { ...context, live: deployment() }).kind).toBe('Privileged');
  });
});

describe('properties', () => {
  const others = [
    approval(request({ object: deployment('web:3', 2) }), policy(), { name: 'b', uid: 'uid-b' }),
    approval(request(), policy(), { name: 'c', uid: 'uid-c', created: at(5) }),
  ];
  const words = [
    word(filed),
    word(filed, { decidedBy: { username: 'bob', groups: ['approvers'] } }, 'uid-word-2'),
    word(filed, { decidedBy: { username: 'eve' } }, 'uid-word-3'),
  ];
  const policies = [policy(), policy({}, 'second'), policy({ approval: two }, 'third')];
  const shuffled = <T>(items: readonly T[]) => fc.shuffledSubarray([...items], { minLength: items.length });

  test('the order of policies, approvals and decisions never matters', () => {
    const want = decided({ approvals: [filed, ...others], words, policies });
    fc.assert(
      fc.property(shuffled([filed, ...others]), shuffled(words), shuffled(policies), (approvals, said, known) => {
        expect(decided({ approvals, words: said, policies: known })).toEqual(want);
      }),
    );
  });
  test('a later now never turns NeedsApproval into Allowed', () => {
    const verdict = fc.constantFrom('Approve' as const, 'Deny' as const, 'Withdraw' as const);
    const said = fc.array(fc.tuple(verdict, fc.integer({ min: 0, max: 4000 }), fc.constantFrom('alice', 'bob')), {
      maxLength: 4,
    });
    const seen = fc.constantFrom(filed, reserved(approved));
    fc.assert(
      fc.property(said, seen, fc.nat(6000), fc.nat(6000), (list, on, seconds, more) => {
        const wordsNow = list.map(([one, when, who], i) =>
          word(
            on,
            { verdict: one, decidedAt: at(when).toISOString(), decidedBy: { username: who, groups: ['approvers'] } },
            `uid-${i}`,
          ),
        );
        const given = { approvals: [on], words: wordsNow };
        if (answer({ ...given, seconds }).startsWith('NeedsApproval')) {
          expect(answer({ ...given, seconds: seconds + more })).toMatch(/^NeedsApproval/);
        }
      }),
    );
  });
  test('an ended approval never allows again', () => {
    const ended = fc.constantFrom(...ends);
    fc.assert(
      fc.property(ended, fc.boolean(), fc.nat(2000), (phase, wasUsed, seconds) => {
        const on = { ...filed, status: { ...(wasUsed ? reserved(approved).status : {}), phase } };
        expect(answer({ approvals: [on], words: [word(filed)], seconds })).toMatch(/^NeedsApproval/);
      }),
    );
  });
  test('a decision never changes what it was asked about', () => {
    const { describeUnder: _, ...asked } = question(held);
    const before = structuredClone(asked);
    decided(held);
    expect(asked).toEqual(before);
  });
});
