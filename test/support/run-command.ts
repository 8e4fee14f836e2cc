// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Runs a command line tool to its end and returns what it said, never throwing on a non-zero exit.

import { spawn } from 'node:child_process';
import { adopt, release, signalGroup } from './control-plane/reaper.ts';

export interface CommandOptions {
  readonly kubeconfig?: string;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** The exit code; 124 when it was ended at its timeout, 128 when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const defaultTimeoutMs = 120_000;

export function runCommand(
  binary: string,
  args: readonly string[],
  { stdin = '', env = {}, cwd, timeoutMs = defaultTimeoutMs }: CommandOptions,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, { detached: true, env, ...(cwd ? { cwd } : {}) });
    const pid = child.pid;
    child.on('error', reject);
    if (pid === undefined) return; // the 'error' event tells why
    adopt(pid);
    let isTimedOut = false;
    const timer = setTimeout(() => {
      isTimedOut = true;
      signalGroup(pid, 'SIGKILL');
    }, timeoutMs);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {}); // it may end without reading what it is given
    child.stdin.end(stdin);
    child.on('exit', () => release(pid));
    child.on('close', (code) => {
      clearTimeout(timer);
      const note = isTimedOut ? `\nended after ${timeoutMs} ms without a result\n` : '';
      resolve({
        code: isTimedOut ? 124 : (code ?? 128),
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8') + note,
      });
    });
  });
}
