// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The explorations, each small enough to be complete.
import { type Other, type Scenario, scenario } from './scenario.ts';
import { absent, created, firstTarget, withContent } from './targets.ts';
import type { Target } from './world.ts';

/** A writer that changes one thing of a target that is there, unless it is so already. */
function writer(name: string, change: (target: Target) => Target, times = 1): Other {
  const write = (target: Target) => {
    const next = target.isAbsent ? target : change(target);
    return next === target ? undefined : next;
  };
  return { name, times, write };
}

const statusWrite = (times = 1) => writer('status write', (target) => ({ ...target }), times);
const oldContent = (times = 1) => writer('old content', (target) => withContent(target, { content: 'a' }), times);
const otherContent = (times = 1) => writer('other content', (target) => withContent(target, { content: 'x' }), times);
const oldReplicas = writer('old replicas', (target) => withContent(target, { replicas: 3 }));
const autoscaler = writer('autoscaler', (target) => withContent(target, { replicas: target.replicas + 1 }));
const deletion = (times = 1) => writer('deletion by others', absent, times);
const creation: Other = {
  name: 'creation by others',
  times: 1,
  write: (target) => (target.isAbsent ? created('uid-9', 'a') : undefined),
};

const nothingThere: Target = { ...firstTarget, isAbsent: true, uid: '', generation: 0, content: '', replicas: 0 };
const inTime = [120];
const inTimeAndOver = [120, 1100];
const mayMiss = { pendingWrites: 0, mayMiss: true, mayLook: true };
/** One client, no operator, and nothing that fails: the webhook alone has to admit. */
const nobodyRefused = {
  flights: [0],
  instants: inTime,
  operator: undefined,
  caches: 'Any',
  mayFail: false,
  isNeverDenied: true,
  sights: ['Reserved', 'readmitted in the loop', 'effect'],
} as const;
const always = ['Reserved', 'Readmitted', 'effect', 'crash', 'answer lost', 'admitted, never written'];

export const scenarios: readonly Scenario[] = [
  scenario({
    name: 'UPDATE, old content put back',
    others: [statusWrite(), oldContent()],
    instants: inTimeAndOver,
    sights: [
      ...always,
      'landed after the window',
      'landed after it had expired',
      'readmitted in the loop',
      'stale watch cache first',
      'settled Consumed',
    ],
  }),
  scenario({
    name: 'UPDATE, other content in between',
    others: [otherContent(), oldContent()],
    instants: inTime,
    sights: [...always, 'released', 'reserved again after a release', 'landed by a later use'],
  }),
  scenario({
    name: 'UPDATE, clocks apart',
    instants: [120, 200, 980, 1100],
    skews: [-1, 0, 1],
    operatorSkews: [-1, 0, 1],
    sights: [...always, 'landed after the window', 'settled Expired'],
  }),
  scenario({
    name: 'UPDATE, time passes within the window',
    others: [oldContent()],
    instants: [120, 200],
    sights: [...always, 'settled Consumed'],
  }),
  scenario({
    name: 'UPDATE, target made anew',
    others: [deletion(), creation],
    instants: inTime,
    sights: [...always, 'creation by others'],
  }),
  scenario({
    name: 'UPDATE, three at once',
    flights: [0, 0, 0],
    others: [oldContent()],
    instants: inTime,
    sights: always,
  }),
  scenario({
    name: 'UPDATE, an autoscaler, any cache',
    others: [autoscaler],
    instants: inTime,
    caches: 'Any',
    sights: [...always, 'reservation conflict', 'stale approval cache'],
  }),
  scenario({
    name: 'UPDATE, two replicas that remember',
    instants: inTime,
    replicas: 2,
    caches: 'Any',
    staleness: 0,
    mostUses: 1,
    sights: [...always, 'learned more during a live read', 'stale approval cache'],
  }),
  scenario({
    name: 'UPDATE with a resourceVersion',
    wishes: [{ verb: 'UPDATE', content: 'b', isBound: true }],
    others: [statusWrite(), otherContent()],
    instants: inTime,
    sights: [...always, '409'],
  }),
  scenario({
    name: 'UPDATE without generation',
    kind: 'ConfigMap',
    others: [statusWrite(), oldContent()],
    instants: inTime,
    operator: mayMiss,
    sights: [...always, 'released', 'settled on a missed step'],
  }),
  scenario({
    name: 'two contents, one approval',
    wishes: [
      { verb: 'UPDATE', content: 'b' },
      { verb: 'UPDATE', content: 'c' },
    ],
    flights: [0, 1],
    policySpec: { grant: { binding: 'Target' } },
    others: [oldContent()],
    instants: inTime,
    sights: [...always, 'denied: AlreadyUsed'],
  }),
  scenario({
    name: 'SCALE',
    wishes: [{ verb: 'SCALE', replicas: 5 }],
    others: [statusWrite(), oldReplicas],
    instants: inTime,
    sights: always,
  }),
  scenario({
    name: 'SCALE, others scale too',
    flights: [0],
    wishes: [{ verb: 'SCALE', replicas: 5 }],
    others: [autoscaler, oldReplicas],
    instants: inTime,
    sights: [...always, 'released', 'reserved again after a release'],
  }),
  scenario({
    name: 'DELETE, target made anew',
    wishes: [{ verb: 'DELETE' }],
    others: [statusWrite(), creation],
    instants: inTimeAndOver,
    sights: [...always, 'creation by others', 'settled Consumed', 'settled Expired'],
  }),
  scenario({
    name: 'DELETE in two calls',
    wishes: [{ verb: 'DELETE', isTwice: true }],
    others: [statusWrite(), creation],
    instants: inTime,
    sights: always,
  }),
  scenario({
    name: 'CREATE, deleted by others',
    wishes: [{ verb: 'CREATE', content: 'b' }],
    target: nothingThere,
    others: [deletion(), creation],
    instants: inTimeAndOver,
    mayBeTooLarge: true,
    operator: mayMiss,
    sights: ['Reserved', 'effect', 'too large', 'already exists', 'deletion by others', 'settled Consumed'],
  }),
  scenario({
    name: 'CREATE by apply',
    wishes: [{ verb: 'CREATE', content: 'b', isApply: true }],
    target: nothingThere,
    others: [creation, deletion()],
    instants: inTime,
    operator: mayMiss,
    sights: ['Reserved', 'effect', 'creation by others', 'conflict, asked again'],
  }),
  scenario({
    name: 'denied while reserved',
    laterWords: ['Deny'],
    others: [otherContent()],
    instants: inTime,
    mostUses: 1,
    sights: [...always, 'denied by an approver', 'settled Denied'],
  }),
  scenario({
    name: 'two operators that miss steps',
    others: [otherContent()],
    instants: inTime,
    operator: { pendingWrites: 2, mayMiss: true, mayLook: true },
    sights: [...always, 'two operators conflict', 'settled on a missed step'],
  }),
  scenario({
    name: 'a kind that may not be looked at',
    kind: 'ConfigMap',
    others: [statusWrite(), oldContent()],
    instants: inTimeAndOver,
    operator: { pendingWrites: 0, mayMiss: false, mayLook: false },
    sights: [...always, 'settled Consumed'],
  }),
  scenario({
    ...nobodyRefused,
    name: 'nobody refused: status writes, other content',
    others: [statusWrite(2), otherContent()],
    sights: [...nobodyRefused.sights, 'reserved again after a release', 'stale watch cache first'],
  }),
  scenario({
    ...nobodyRefused,
    name: 'nobody refused: status writes under a SCALE',
    wishes: [{ verb: 'SCALE', replicas: 5 }],
    others: [statusWrite(2)],
  }),
  scenario({
    ...nobodyRefused,
    name: 'nobody refused: two at once, replicas that remember',
    flights: [0, 0],
    replicas: 2,
    others: [statusWrite()],
    sights: [...nobodyRefused.sights, 'learned more during a live read'],
  }),
];

/**
 * The same with one request more under way, older watch caches and one use more: hours instead of seconds. What nobody is
 * refused for is promised to one client, and to watch caches that are one state behind.
 */
export function enlarged(small: Scenario): Scenario {
  const [wish = 0] = small.flights;
  const mostUses = small.mostUses + 1;
  if (small.isNeverDenied) return { ...small, mostUses };
  return { ...small, flights: [...small.flights, wish], staleness: small.staleness + 1, mostUses };
}
