// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Waits for something that a controller, a watch or a process brings about.

import { setTimeout as sleep } from 'node:timers/promises';

/** Repeats `attempt` until it returns something truthy; when time is up, its last failure is the reason given. */
export async function eventually<T>(
  what: string,
  attempt: () => T | Promise<T>,
  { timeoutMs = 20_000, intervalMs = 50 }: { readonly timeoutMs?: number; readonly intervalMs?: number } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      const result = await attempt();
      if (result) return result;
      cause = `got ${JSON.stringify(result)}`;
    } catch (failure) {
      cause = failure;
    }
    if (performance.now() > deadline)
      throw new Error(`wait for ${what}: not within ${timeoutMs} ms (${cause})`, { cause });
    await sleep(intervalMs);
  }
}
