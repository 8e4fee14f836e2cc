// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads that many requests share: each gets one that began after it asked, at most one runs per key, and they keep
// a distance.
import type { Clock } from '../kube/clock.ts';

interface Turn<T> {
  readonly begin: () => Promise<T>;
  readonly result: PromiseWithResolvers<T>;
}

interface Lane<T> {
  startedAtMs: number;
  isRunning: boolean;
  isWaiting: boolean;
  next?: Turn<T> | undefined;
}

export class SharedReads<T> {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'after'>;
  readonly #distanceMs: number;
  readonly #lanes = new Map<string, Lane<T>>();

  constructor(clock: Pick<Clock, 'monotonicMs' | 'after'>, distanceMs: number) {
    this.#clock = clock;
    this.#distanceMs = distanceMs;
  }

  /** Keys that are remembered; grows and shrinks with the traffic. */
  get size(): number {
    return this.#lanes.size;
  }

  /** Resolves with the result of a read that has not begun yet when this is called. */
  read(key: string, begin: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(key) ?? {
      startedAtMs: Number.NEGATIVE_INFINITY,
      isRunning: false,
      isWaiting: false,
    };
    this.#lanes.set(key, lane);
    lane.next ??= { begin, result: Promise.withResolvers<T>() };
    const { promise } = lane.next.result;
    this.#proceed(key, lane);
    return promise;
  }

  #proceed(key: string, lane: Lane<T>): void {
    if (lane.isRunning || lane.isWaiting) return;
    const waitMs = lane.startedAtMs + this.#distanceMs - this.#clock.monotonicMs();
    if (waitMs > 0) {
      lane.isWaiting = true;
      this.#clock.after(waitMs, () => {
        lane.isWaiting = false;
        this.#proceed(key, lane);
      });
      return;
    }
    const turn = lane.next;
    if (turn === undefined) {
      this.#lanes.delete(key);
      return;
    }
    lane.next = undefined;
    lane.isRunning = true;
    lane.startedAtMs = this.#clock.monotonicMs();
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
