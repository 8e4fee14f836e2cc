// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A clock that moves only when a test says so.

import type { Clock } from '../../../src/kube/time/clock.ts';

export interface FakeClock extends Clock {
  /** Moves time and runs, in order, what became due; lets promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Moves time in one go, as while a machine sleeps: what became due runs afterwards, late. */
  leap(ms: number): Promise<void>;
  readonly timers: number;
}

export function fakeClock(start = new Date('2026-01-02T03:04:05.678Z')): FakeClock {
  let elapsedMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  // Several turns of the event loop: a work queue takes one for each key.
  const settle = async () => {
    for (let turn = 0; turn < 8; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  const clock: FakeClock = {
    now: () => new Date(start.getTime() + elapsedMs),
    monotonicMs: () => elapsedMs,
    // Just outside of [0, 1): the longest wait, in round numbers.
    random: () => 1,
    after(delayMs, run) {
      const timer = { atMs: elapsedMs + Math.max(delayMs, 0), run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    get timers() {
      return timers.size;
    },
    async advance(ms) {
      const endMs = elapsedMs + ms;
      await settle();
      for (;;) {
        const due = [...timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
        if (due === undefined) {
          break;
        }
        timers.delete(due);
        elapsedMs = Math.max(elapsedMs, due.atMs);
        due.run();
        await settle();
      }
      elapsedMs = endMs;
      await settle();
    },
    async leap(ms) {
      await settle();
      elapsedMs += ms;
      await clock.advance(0);
    },
  };
  return clock;
}
