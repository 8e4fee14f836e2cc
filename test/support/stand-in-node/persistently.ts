// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Retries a write of the node while the API server is away or busy, as the kubelet does.

import { setTimeout as sleep } from 'node:timers/promises';
import { ApiRefusal } from '../control-plane/admin-client.ts';

const attempts = 40;
const delayMs = 250;

/** Never rejects: a write that has become moot is dropped, one that is refused for good is reported on stderr. */
export async function persistently(what: string, write: () => Promise<unknown>): Promise<void> {
  let failure: unknown;
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      await write();
      return;
    } catch (cause) {
      failure = cause;
      const code = cause instanceof ApiRefusal ? cause.code : 0;
      // The object is gone, or another one has its name by now.
      if (code === 404 || code === 409) return;
      const isTransient = code === 0 || code === 429 || code >= 500;
      if (!isTransient) break;
      await sleep(delayMs);
    }
  }
  process.stderr.write(`stand-in node: ${what}: ${failure instanceof Error ? failure.message : String(failure)}\n`);
}
