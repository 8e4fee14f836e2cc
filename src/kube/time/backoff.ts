// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// How long to wait before the next attempt: exponential, capped, jittered.

export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * The wait in milliseconds after `failures` failures in a row (1 is the first). Half of it is random, so that replicas
 * that lost the same API server do not come back in the same instant.
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30);
  const fullMs = Math.min(backoff.baseMs * 2 ** doublings, backoff.capMs);
  return fullMs / 2 + (fullMs / 2) * random();
}
