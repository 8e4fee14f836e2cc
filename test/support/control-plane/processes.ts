// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Looks at the machine's processes, for tests that count what is left behind.

import { readdirSync, readFileSync } from 'node:fs';

/** A process that has ended but was not collected by its parent yet counts as gone. */
export function isAlive(pid: number): boolean {
  const stat = read(pid, 'stat');
  // The state follows the name, which is in parentheses and may hold anything.
  return stat !== undefined && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** Ids of the processes whose command line names this path. */
export function processesNaming(path: string): readonly number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((pid) => read(pid, 'cmdline')?.includes(path));
}

function read(pid: number, file: 'stat' | 'cmdline'): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined; // ended meanwhile
  }
}
