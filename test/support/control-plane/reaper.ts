// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes sure that no child process and no temporary folder outlives this one, however this one ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';

/**
 * Reads "+ pid" and "- pid" lines; when its input closes (we are gone, even by SIGKILL) it kills the groups left.
 * A shell, because it must be small and must not share our fate: it runs in a session of its own.
 */
const guardianScript = `
pids=' '
while read -r op pid; do
  case "$op" in
    +) pids="$pids$pid " ;;
    -) pids="\${pids%% $pid *} \${pids#* $pid }" ;;
  esac
done
for pid in $pids; do kill -s KILL -- "-$pid" 2>/dev/null; done
`;

const groups = new Set<number>();
const folders = new Set<string>();
let guardian: ChildProcess | undefined;

/** Registers a child that leads a process group of its own (spawned `detached`) to be killed with this process. */
export function adopt(pid: number): void {
  watchExit();
  groups.add(pid);
  guardian?.stdin?.write(`+ ${pid}\n`);
}

/** Takes back `adopt`, once the child is known to be gone: its id may soon belong to somebody else. */
export function release(pid: number): void {
  if (!groups.delete(pid)) return;
  guardian?.stdin?.write(`- ${pid}\n`);
}

/** Registers a folder to be removed with this process; after a SIGKILL it stays. */
export function adoptFolder(path: string): void {
  watchExit();
  folders.add(path);
}

/** Takes back `adoptFolder`: it is removed already, or is to stay for its logs. */
export function releaseFolder(path: string): void {
  folders.delete(path);
}

/** Sends a signal to a child's whole group; quiet when it is gone already. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Gone meanwhile, which is what a signal to end it is for.
  }
}

function watchExit(): void {
  if (guardian) return;
  guardian = spawn('sh', ['-c', guardianScript], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  guardian.unref();
  // A broken pipe only means that somebody killed the guardian; the exit handler below still works.
  guardian.stdin?.on('error', () => {});
  if (guardian.stdin && 'unref' in guardian.stdin && typeof guardian.stdin.unref === 'function') guardian.stdin.unref();

  process.on('exit', removeAll);
  // By default these signals end the process without an 'exit' event.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) endOn(signal);
}

function endOn(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  const handler = () => {
    // Somebody else also listens and will end the process in an orderly way.
    if (process.listenerCount(signal) > 1) return;
    removeAll();
    process.off(signal, handler);
    process.kill(process.pid, signal);
  };
  process.on(signal, handler);
}

function removeAll(): void {
  for (const pid of groups) signalGroup(pid, 'SIGKILL');
  for (const path of folders) {
    try {
      // A process that is about to end may still create a file.
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    } catch {
      // Left to the system's cleaning of its temporary folder: an error here would hide why the process ends.
    }
  }
}
