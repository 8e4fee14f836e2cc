// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A lock file that keeps two processes from building the same binaries at once.

import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FileLockOptions {
  /** Called once when somebody else holds the lock. */
  readonly onWait: (holderPid: number) => void;
  readonly pollMs?: number;
}

/** Runs `work` while holding the lock; the lock of a process that is gone is taken over. */
export async function withFileLock<T>(path: string, options: FileLockOptions, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  let announced = false;
  while (!tryAcquire(path)) {
    const holder = readHolder(path);
    if (holder !== undefined && !isAlive(holder)) {
      // Two waiters may both do this at once; the worst outcome is one binary built twice, and renames stay atomic.
      rmSync(path, { force: true });
      continue;
    }
    if (holder !== undefined && !announced) {
      options.onWait(holder);
      announced = true;
    }
    await sleep(options.pollMs ?? 500);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryAcquire(path: string): boolean {
  // Written aside and linked, so that nobody ever reads a lock file that does not name its holder yet.
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, String(process.pid));
  try {
    linkSync(draft, path);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(draft);
  }
}

function readHolder(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return undefined; // released meanwhile
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === 'EPERM';
  }
}
