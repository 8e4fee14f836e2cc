// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One run of one container: a local process in a group of its own, logging to a file.

import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { adopt, release, signalGroup } from '../control-plane/reaper.ts';

export interface ProcessSpec {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly log: string;
}

export interface ContainerProcess {
  readonly pid: number;
  /** Exit code, as a container runtime reports it: 128 + n for signals, 127 when there is no such program. */
  readonly ended: Promise<number>;
  signal(signal: NodeJS.Signals): void;
}

const signalNumbers: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGTERM: 15,
};

export function startProcess({ argv, env, cwd, log }: ProcessSpec): ContainerProcess {
  const [program = '', ...args] = argv;
  const output = openSync(log, 'a');
  const child = spawn(program, args, { detached: true, env, cwd, stdio: ['ignore', output, output] });
  closeSync(output);
  const pid = child.pid;
  if (pid === undefined) {
    const ended = new Promise<number>((resolve) => {
      child.once('error', ({ message }) => {
        appendFileSync(log, `${message}\n`);
        resolve(127);
      });
    });
    return { pid: 0, ended, signal: () => {} };
  }
  adopt(pid);
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) => {
      // What the process started itself ends with it, as in a container.
      signalGroup(pid, 'SIGKILL');
      release(pid);
      resolve(code ?? 128 + (signalNumbers[signal ?? 'SIGKILL'] ?? 0));
    });
  });
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  return {
    pid,
    ended,
    // To the process alone, as a container runtime does it; the group is only for the end.
    signal: (signal) => {
      if (isRunning()) child.kill(signal);
    },
  };
}
