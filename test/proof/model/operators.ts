// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The operator, as late, restarted or doubled as may be: what it can have seen of the target, the real plan on that,
// and its compare-and-swap.
import { policyOf, type StepUpApproval } from '../../../src/api/kinds.ts';
import { plan } from '../../../src/domain/lifecycle/plan.ts';
import { openUseOf } from '../../../src/domain/lifecycle/reservation.ts';
import { isConclusive, settle } from '../../../src/domain/lifecycle/settle.ts';
import { isEnded, type Use } from '../../../src/domain/model/approval.ts';
import type { Seen } from '../../../src/domain/model/seen.ts';
import { at } from '../../support/builders/domain.ts';
import { approvalOf, decisionOf } from '../../support/seals.ts';
import { changesNothing, isStored, versions, writeStatus } from './approval-storage.ts';
import { forgetting } from './etcd.ts';
import { type Scenario, secondsAt } from './scenario.ts';
import { objectOf } from './targets.ts';
import { nameOf } from './webhook-steps.ts';
import { keyOfTarget, last, stored, type Target, type World } from './world.ts';

export interface OperatorStep {
  readonly world: World;
  readonly note: string;
  readonly isFair: boolean;
  readonly sights: readonly string[];
}

/** The version with the status that is to be written, where one is. */
interface Decided {
  readonly written?: StepUpApproval;
}

interface Sight {
  readonly seen: Seen;
  /** Equal for equal ones. */
  readonly key: string;
  /** It has just looked. */
  readonly isPresent: boolean;
  /** It has looked at everything there is, in order. */
  readonly isComplete: boolean;
  /** It has missed states. */
  readonly isBlind: boolean;
}

export class Operators {
  readonly #scenario: Scenario;
  readonly #plans = new Map<string, Decided>();
  readonly #sightsOf = new Map<string, readonly Sight[]>();

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
  }

  steps(world: World): readonly OperatorStep[] {
    return [...this.#decides(world), ...this.#writes(world)];
  }

  #decides(world: World): readonly OperatorStep[] {
    const { operator } = this.#scenario;
    const approval = stored(world);
    if (operator === undefined || isEnded(approval)) return [];
    const isAtOnce = operator.pendingWrites === 0;
    if (!isAtOnce && world.writes.length >= operator.pendingWrites) return [];
    const steps: OperatorStep[] = [];
    for (const { seen, key, isPresent, isComplete, isBlind } of this.#sights(world, approval)) {
      for (const { seconds, isNow } of this.#clocks(world)) {
        const { written } = this.#decided(world, approval, { seen, key }, seconds);
        if (written === undefined || changesNothing(world, written)) continue;
        const phase = written.status?.phase;
        // Before time alone ends a use, the operator looks once more (approval-reconciler.ts).
        if (phase === 'Expired' && !isPresent) continue;
        const note = `sees ${wordOf(seen)} and writes ${phase}`;
        const by = isBlind ? { ...world, isBlind: true } : world;
        const isFair = isComplete && isNow;
        const sights = sightsOf(approval, phase, isBlind);
        if (isAtOnce) {
          steps.push({ world: this.#write(by, written), note, isFair, sights });
        } else if (!world.writes.some((write) => write.written === written)) {
          steps.push({
            world: { ...by, writes: [...world.writes, { written }] },
            note: `will: ${note}`,
            isFair,
            sights,
          });
        }
      }
    }
    return steps;
  }

  #writes(world: World): readonly OperatorStep[] {
    return world.writes.map(({ written }) => {
      const after = this.#write(world, written);
      const lost = world.writes.length - after.writes.length - 1;
      return {
        world: after,
        note: `writes ${nameOf(written)}`,
        isFair: true,
        sights: lost > 0 ? ['two operators conflict'] : [],
      };
    });
  }

  #write(world: World, written: StepUpApproval): World {
    if (!isStored(world, written)) throw new Error('what is decided on an old version is dropped when it becomes one');
    return forgetting(writeStatus(world, written, this.#scenario.caches), this.#scenario.staleness);
  }

  /** Its clock, or the one it had when it looked, long ago. */
  #clocks(world: World): readonly { readonly seconds: number; readonly isNow: boolean }[] {
    const most = world.clock + Math.max(...this.#scenario.operatorSkews);
    const now = secondsAt(this.#scenario, world.clock);
    const all = new Set<number>();
    for (let clock = 0; clock <= most; clock++) all.add(secondsAt(this.#scenario, clock));
    return [...all].map((seconds) => ({ seconds, isNow: seconds === now }));
  }

  #decided(
    world: World,
    approval: StepUpApproval,
    { seen, key: seenKey }: Pick<Sight, 'seen' | 'key'>,
    seconds: number,
  ): Decided {
    const key = `${versions.idOf(approval)} ${world.words} ${seconds} ${seenKey}`;
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const policy = policyOf(this.#scenario.policy);
    const { status } = plan({
      approval: approvalOf(approval),
      decisions: this.#scenario.words.slice(0, world.words).map(decisionOf),
      policy,
      policies: [policy],
      siblings: [],
      seen,
      retentionSeconds: 30 * 86_400,
      now: at(seconds),
    });
    const decided =
      status === undefined
        ? {}
        : { written: versions.same({ ...approval, status: JSON.parse(JSON.stringify(status)) }) };
    this.#plans.set(key, decided);
    return decided;
  }

  #sights(world: World, approval: StepUpApproval): readonly Sight[] {
    const open = openUseOf(approvalOf(approval))?.use;
    if (open === undefined || this.#scenario.operator?.mayLook !== true) {
      return [{ seen: { kind: 'Nothing' }, key: 'Nothing', isPresent: true, isComplete: true, isBlind: false }];
    }
    const key = `${versions.idOf(approval)} ${world.targets.map(keyOfTarget).join(' ')}`;
    const known = this.#sightsOf.get(key);
    if (known !== undefined) return known;
    const sights = this.#allSights(world, open);
    this.#sightsOf.set(key, sights);
    return sights;
  }

  /** All that a watch can have told of the open use by now (operator/target-watch.ts, target-follower.ts). */
  #allSights(world: World, open: Use): readonly Sight[] {
    const { operator, kind } = this.#scenario;
    const { targets } = world;
    const isUpdate = open.base.kind !== 'Creation' && open.base.kind !== 'Deletion';
    const base = targets.findIndex(({ resourceVersion }) => String(resourceVersion) === open.oldResourceVersion);
    const found = new Map<string, Sight>();
    const add = (from: number, isNext: boolean, isBlind: boolean) => {
      for (let to = from; to < targets.length; to++) {
        const looked = targets.slice(from, to + 1);
        const seen = mostTelling(
          open,
          looked.map((target, index) =>
            seenAs(target, { open, kind, isNext: isNext && index === 1, isLook: index === 0 }),
          ),
        );
        const isPresent = to === targets.length - 1;
        const isComplete = !isBlind && isPresent;
        const key = JSON.stringify(seen);
        const known = found.get(key);
        found.set(key, {
          seen,
          key,
          isPresent: isPresent || known?.isPresent === true,
          isComplete: isComplete || known?.isComplete === true,
          isBlind: isBlind && (known?.isBlind ?? true),
        });
      }
    };
    // In order from the state that was reserved on, by however many states it is behind.
    if (!isUpdate) add(0, false, false);
    else if (base >= 0) add(base, true, false);
    // Or from a later one: history was compacted, or it began to look late.
    if (operator?.mayMiss === true)
      for (let from = 0; from < targets.length; from++) if (from !== base) add(from, false, true);
    return [...found.values()];
  }
}

function seenAs(
  target: Target,
  { open, kind, isNext, isLook }: { open: Use; kind: Scenario['kind']; isNext: boolean; isLook: boolean },
): Seen {
  if (!target.isAbsent) return { kind: 'State', object: objectOf(target, kind), isNext };
  // The last state of a deleted object still proves that it was created; a look finds nothing.
  const isCreation = open.base.kind === 'Creation' && target.uid !== '' && !isLook;
  return isCreation ? { kind: 'State', object: objectOf(target, kind), isNext } : { kind: 'Absent' };
}

/** As TargetWatch keeps it: the first that concludes, else the newest. */
function mostTelling(open: Use, all: readonly Seen[]): Seen {
  return all.find((seen) => isConclusive(settle(open, seen))) ?? last(all);
}

function sightsOf(before: StepUpApproval, phase: string | undefined, isBlind: boolean): readonly string[] {
  if (before.status?.phase !== 'Reserved') return [];
  return [
    ...(phase === 'Approved' ? ['released'] : [`settled ${phase}`]),
    ...(isBlind ? ['settled on a missed step'] : []),
  ];
}

function wordOf(seen: Seen): string {
  if (seen.kind !== 'State') return seen.kind;
  const metadata = seen.object.metadata;
  const version =
    typeof metadata === 'object' && metadata !== null && 'resourceVersion' in metadata ? metadata.resourceVersion : '?';
  return `r${version}${seen.isNext ? ' (next)' : ''}`;
}
