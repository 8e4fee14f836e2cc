// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// How many requests each policy has approved by itself in the last hour, as far as this replica knows.
import type { Policy } from '../../domain/model/policy.ts';
import type { Clock } from '../../kube/time/clock.ts';

const hourMs = 3_600_000;

/**
 * Approximate by design: what other replicas approve is counted when their approvals are seen, and a replica that has just
 * started knows of live ones only. No more than the rate is ever remembered of a policy.
 */
export class AutoRate {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  /** Policy → UID → the monotonic instant it was made or seen, the oldest first. */
  readonly #made = new Map<string, Map<string, number>>();
  /** Being created by this replica. */
  readonly #underWay = new Map<string, number>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** The names of the policies that can approve one more. */
  open(policies: readonly Policy[]): ReadonlySet<string> {
    return new Set(policies.filter((policy) => this.#hasRoom(policy)).map(({ metadata }) => metadata.name));
  }

  /** Takes a place; false when there is none. The caller must then call `made` or `notMade`. */
  take(policy: Policy): boolean {
    if (!this.#hasRoom(policy)) return false;
    const { name } = policy.metadata;
    this.#underWay.set(name, (this.#underWay.get(name) ?? 0) + 1);
    return true;
  }

  /** The approval that a place was taken for is there, or may be. */
  made(policy: string, uid: string): void {
    this.notMade(policy);
    this.saw(policy, uid);
  }

  notMade(policy: string): void {
    const left = (this.#underWay.get(policy) ?? 1) - 1;
    if (left > 0) this.#underWay.set(policy, left);
    else this.#underWay.delete(policy);
  }

  /** An approval that a policy gave by itself is there, whichever replica made it. */
  saw(policy: string, uid: string): void {
    const made = this.#made.get(policy) ?? new Map<string, number>();
    this.#made.set(policy, made);
    if (!made.has(uid)) made.set(uid, this.#clock.monotonicMs());
    if (made.size > mostRate) made.delete(made.keys().next().value ?? '');
  }

  #hasRoom({ metadata, spec }: Policy): boolean {
    const { ratePerHour } = spec.approval.auto ?? {};
    if (ratePerHour === undefined) return false;
    const made = this.#made.get(metadata.name);
    if (made !== undefined) this.#forget(made);
    return (made?.size ?? 0) + (this.#underWay.get(metadata.name) ?? 0) < ratePerHour;
  }

  #forget(made: Map<string, number>): void {
    const sinceMs = this.#clock.monotonicMs() - hourMs;
    for (const [uid, atMs] of made) {
      if (atMs > sinceMs) return;
      made.delete(uid);
    }
  }
}

/** The schema's limit on the rate: more need not be remembered. */
const mostRate = 100_000;
