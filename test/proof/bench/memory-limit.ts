// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A cgroup with the memory limit that the chart gives a container: V8 sizes its heap by it, so what a process takes without
// one says little about a pod.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

export interface MemoryLimit {
  /** Arguments of /bin/sh that run a command line within it. */
  wrap(command: readonly string[]): readonly string[];
  /** Once its processes have ended. */
  remove(): void;
}

/** Where version 1 and version 2 of cgroups keep the limit. */
const hierarchies = [
  { folder: '/sys/fs/cgroup/memory', file: 'memory.limit_in_bytes' },
  { folder: '/sys/fs/cgroup', file: 'memory.max' },
];

/** Undefined where this user may not make one. */
export function limitMemory(bytes: number): MemoryLimit | undefined {
  for (const { folder, file } of hierarchies) {
    const group = `${folder}/stepup-bench-${process.pid}`;
    try {
      mkdirSync(group);
    } catch {
      continue;
    }
    try {
      writeFileSync(`${group}/${file}`, String(bytes));
      if (Number(readFileSync(`${group}/${file}`, 'utf8')) === bytes) return within(group);
    } catch {
      // Of the other version, or the controller is not switched on here.
    }
    rmdirSync(group);
  }
  return undefined;
}

function within(group: string): MemoryLimit {
  return {
    wrap: (command) => ['-c', 'echo $$ > "$0" && exec "$@"', `${group}/cgroup.procs`, ...command],
    remove: () => rmdirSync(group),
  };
}

const units: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

/** Bytes of a quantity as the chart writes it, `256Mi`. Throws on any other form. */
export function bytesOf(quantity: string): number {
  const [, digits = '', unit = ''] = /^(\d+)(Ki|Mi|Gi)$/.exec(quantity) ?? [];
  const factor = units[unit];
  if (factor === undefined)
    throw new Error(`read the memory limit ${JSON.stringify(quantity)}: want a number of Ki, Mi or Gi`);
  return Number(digits) * factor;
}
