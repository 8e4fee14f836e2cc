// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Limits how many new approvals one requester can cause: a token bucket for each.
import type { Clock } from '../../kube/time/clock.ts';

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

const burst = 50;
const perSecond = 10;
/** A bucket is full again after that and need not be remembered. */
const fullAfterMs = (burst / perSecond) * 1000;
const mostBuckets = 10_000;

export class RequesterLimit {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** Takes a token; false when there is none. */
  take(requester: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const { tokens, atMs } = this.#buckets.get(requester) ?? { tokens: burst, atMs: nowMs };
    const refilled = Math.min(burst, tokens + ((nowMs - atMs) / 1000) * perSecond);
    // The order of the map is the order of the last takes.
    this.#buckets.delete(requester);
    this.#buckets.set(requester, { tokens: refilled >= 1 ? refilled - 1 : refilled, atMs: nowMs });
    this.#forget(nowMs);
    return refilled >= 1;
  }

  #forget(nowMs: number): void {
    for (const [requester, { atMs }] of this.#buckets) {
      if (this.#buckets.size <= mostBuckets && nowMs - atMs < fullAfterMs) return;
      this.#buckets.delete(requester);
    }
  }
}
