// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A wall clock with an offset, for tests that show that no decision needs replicas to agree about the time.
import type { Clock } from '../kube/time/clock.ts';

/** The same clock with another `now`; with 0 the clock itself. Durations are those of the machine. */
export function shiftedClock(clock: Clock, offsetMs: number): Clock {
  if (offsetMs === 0) return clock;
  return { ...clock, now: () => new Date(clock.now().getTime() + offsetMs) };
}
