// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Remembers attempts that were denied because another policy might govern them, so that no replica denies one twice.
import type { Clock } from '../../kube/time/clock.ts';

/** For so long the other policy's own denial can file its approval, before the next attempt counts as its answer. */
const filedAfterMs = 1_000;

export class SuspectedPolicies {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #most: number;
  /** Attempt key → policy → the monotonic instant of the denial. */
  readonly #seen = new Map<string, ReadonlyMap<string, number>>();

  constructor(clock: Pick<Clock, 'monotonicMs'>, most = 10_000) {
    this.#clock = clock;
    this.#most = most;
  }

  note(attemptKey: string, policy: string): void {
    const before = this.#seen.get(attemptKey);
    if (before?.has(policy)) return;
    // The order of the map is the order in which they were noted: the oldest goes first.
    this.#seen.delete(attemptKey);
    this.#seen.set(attemptKey, new Map([...(before ?? []), [policy, this.#clock.monotonicMs()]]));
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > this.#most && oldest !== undefined) this.#seen.delete(oldest);
  }

  /** The policies for which the attempt was denied long enough ago. */
  refusedFor(attemptKey: string): ReadonlySet<string> {
    const filedBeforeMs = this.#clock.monotonicMs() - filedAfterMs;
    const noted = [...(this.#seen.get(attemptKey) ?? [])];
    return new Set(noted.filter(([, atMs]) => atMs <= filedBeforeMs).map(([policy]) => policy));
  }
}
