// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Shares reads among requests: each gets a read that began after it asked, with at most one running for each key.
import type { Clock } from '../../kube/time/clock.ts';

interface Turn<T> {
  readonly begin: () => Promise<T>;
  readonly result: PromiseWithResolvers<T>;
}

interface Lane<T> {
  /** When the allowance is whole again: how far the reads are ahead of the even rate. */
  wholeAtMs: number;
  isRunning: boolean;
  cancelWait: () => void;
  next?: Turn<T> | undefined;
}

/** Four at once, then one in 150 ms: at most ten in any second (GCRA). */
const intervalMs = 150;
const aheadMs = 3 * intervalMs;

export class SharedReads<T> {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'after'>;
  readonly #lanes = new Map<string, Lane<T>>();

  constructor(clock: Pick<Clock, 'monotonicMs' | 'after'>) {
    this.#clock = clock;
  }

  /** Keys that are remembered; shrinks when the traffic does. */
  get size(): number {
    return this.#lanes.size;
  }

  /** Resolves with the result of a read that has not begun yet when this is called. */
  read(key: string, begin: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(key) ?? {
      wholeAtMs: Number.NEGATIVE_INFINITY,
      isRunning: false,
      cancelWait: () => undefined,
    };
    this.#lanes.set(key, lane);
    lane.next ??= { begin, result: Promise.withResolvers<T>() };
    const { promise } = lane.next.result;
    this.#proceed(key, lane);
    return promise;
  }

  #proceed(key: string, lane: Lane<T>): void {
    if (lane.isRunning) return;
    lane.cancelWait();
    const nowMs = this.#clock.monotonicMs();
    const turn = lane.next;
    // A key without a next read is remembered until nothing is lost by forgetting it.
    const waitMs = lane.wholeAtMs - nowMs - (turn === undefined ? 0 : aheadMs);
    if (waitMs > 0) {
      lane.cancelWait = this.#clock.after(waitMs, () => this.#proceed(key, lane));
      return;
    }
    if (turn === undefined) {
      this.#lanes.delete(key);
      return;
    }
    lane.next = undefined;
    lane.isRunning = true;
    lane.wholeAtMs = Math.max(lane.wholeAtMs, nowMs) + intervalMs;
    // Nothing is left unhandled: both outcomes go to those who share the read.
    void turn
      .begin()
      .then(turn.result.resolve, turn.result.reject)
      .finally(() => {
        lane.isRunning = false;
        this.#proceed(key, lane);
      });
  }
}
