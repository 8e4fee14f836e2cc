// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Everything that exists in the model at one moment. Worlds are never changed; a step makes another one.
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import type { Replica } from './replicas.ts';
import type { Call } from './webhook-call.ts';

/** One state of the target in etcd; absent ones count, as a watch reports them. */
export interface Target {
  /** Counts writes to the target. */
  readonly resourceVersion: number;
  readonly isAbsent: boolean;
  readonly uid: string;
  readonly generation: number;
  /** What the gated requests change: an image, a value. */
  readonly content: string;
  readonly replicas: number;
  /** Has a deletionTimestamp. */
  readonly isGoing: boolean;
}

/** A gated request on its way through an API server; it may stay in any stage for as long as it likes. */
export type Flight = Idle | Asking | Admitted;

/** No request: one may be sent, or sent again. */
interface Idle {
  readonly at: 'Idle';
  /** Index in the scenario's wishes. */
  readonly wish: number;
}

/** One try of the API server's loop. */
interface Try {
  readonly wish: number;
  /** The state the API server has computed the change on. */
  readonly orig: Target;
  readonly next: Target;
  /** Read from etcd, not from the watch cache: a denial is final. */
  readonly isCurrent: boolean;
}

export interface Asking extends Try {
  readonly at: 'Asking';
  readonly call: Call;
  readonly answer?: Answer;
}

/** A live read that the API server has answered and the replica has not received. */
export interface Answer {
  readonly approval: StepUpApproval;
  /** What the replica knew when it asked. */
  readonly knownBefore?: StepUpApproval;
}

/** The webhook has allowed it, the compare-and-put is still to come. */
export interface Admitted extends Try {
  readonly at: 'Admitted';
  /** Index of the use that admitted it; absent where nothing was needed. */
  readonly use?: number;
}

/** A status that an operator has decided to write. */
interface PendingWrite {
  readonly written: StepUpApproval;
}

export interface World {
  /** The states of the target that somebody may still look at, in order; the last is the present one. */
  readonly targets: readonly Target[];
  /** The versions of the approval that some cache may still hold; the last is the stored one. */
  readonly approvals: readonly StepUpApproval[];
  /** How many of the scenario's decisions are stored. */
  readonly words: number;
  /** Index in the scenario's instants. */
  readonly clock: number;
  readonly flights: readonly Flight[];
  readonly replicas: readonly Replica[];
  readonly writes: readonly PendingWrite[];
  /** How often each other writer may still act. */
  readonly left: readonly number[];
  /** Writes that the approval has admitted and that are persisted. */
  readonly effects: number;
  /** The operator has concluded something without having seen every state of the target. */
  readonly isBlind: boolean;
  /** The promise that was broken on the way here. */
  readonly broken?: string;
}

export function last<T>(list: readonly T[]): T {
  const found = list.at(-1);
  if (found === undefined) throw new Error('the list is empty');
  return found;
}

export const present = ({ targets }: World): Target => last(targets);
export const stored = ({ approvals }: World): StepUpApproval => last(approvals);

/** What everything else is for. */
export const oneEffect = 'one approval, at most one effect';

/** The world after a promise was broken; the first one counts, unless it is the one that counts most. */
export function breaking(world: World, promise: string): World {
  return world.broken === undefined || promise === oneEffect ? { ...world, broken: promise } : world;
}

export function keyOfTarget({
  resourceVersion,
  isAbsent,
  uid,
  generation,
  content,
  replicas,
  isGoing,
}: Target): string {
  return `${resourceVersion}${isAbsent ? '-' : isGoing ? '~' : '+'}${uid.slice(4)}.${generation}${content}${replicas}`;
}
