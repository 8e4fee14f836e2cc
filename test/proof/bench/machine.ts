// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the machine and single processes have used, from /proc: CPU seconds, memory, and the load of everybody else.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

/** Jiffies a second, as userspace sees them (USER_HZ), on every Linux that Node runs on. */
const ticksPerSecond = 100;
const mebibyte = 1024 * 1024;

/** CPU seconds a process has used, itself alone or with its ended children; 0 when it is gone. */
export function cpuSecondsOf(pid: number, { children = false } = {}): number {
  const text = read(`/proc/${pid}/stat`);
  return text === undefined ? 0 : cpuSecondsIn(text, { children });
}

/** Fields 14 to 17 of proc_pid_stat(5): utime, stime, cutime, cstime. The name before them may hold anything. */
export function cpuSecondsIn(stat: string, { children }: { readonly children: boolean }): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, children ? 15 : 13).map(Number);
  return ticks.reduce((sum, tick) => sum + tick, 0) / ticksPerSecond;
}

/** CPU seconds that all processes of the machine have used since boot. */
export function busySeconds(): number {
  return busySecondsIn(read('/proc/stat') ?? '');
}

/** Line "cpu" of proc_stat(5) without idle, iowait and what guests count twice. */
export function busySecondsIn(stat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split('\n')[0] ?? '')
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / ticksPerSecond;
}

export interface Memory {
  readonly residentMiB: number;
  readonly peakMiB: number;
}

export function memoryOf(pid: number): Memory {
  const text = read(`/proc/${pid}/status`) ?? '';
  const mib = (name: string) =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024) / mebibyte;
  return { residentMiB: mib('VmRSS'), peakMiB: mib('VmHWM') };
}

export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / mebibyte / 1024);
  return `${availableParallelism()} × ${model}, ${memory} GiB, Linux ${release()}`;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it has ended
  }
}
