// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Time and chance as values passed in, so that expiry, backoff and leader election are tested without waiting.

/** What the loops of this folder need to know about time. */
export interface Clock {
  /** The wall clock: for instants that are written down, never for measuring how long something took. */
  now(): Date;
  /** Milliseconds that only grow, whatever happens to the wall clock. */
  monotonicMs(): number;
  /** A number in [0, 1), for jitter. */
  random(): number;
  /** Calls `run` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** `setTimeout` fires at once when the delay does not fit 32 bits, which 30 days of retention do not. */
export const mostTimerMs = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), mostTimerMs));
    return () => clearTimeout(timer);
  },
};

/** Waits `delayMs`, or less when the signal aborts; never rejects, so that loops look at the signal in one place. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.after(delayMs, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
