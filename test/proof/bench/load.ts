// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Load from one process of its own: wrk where it is installed, else a plain Node program.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../support/run-command.ts';

export interface Load {
  readonly url: string;
  /** Path of the file that is posted. */
  readonly body: string;
  readonly token?: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  readonly socketErrors: number;
  /** Answers with a status of 400 or more. */
  readonly statusErrors: number;
}

export type Generator = 'wrk' | 'node';

export const installWrk = 'apt-get install wrk';

/** wrk where it is on the PATH. */
export function findGenerator(): Generator {
  return spawnSync('wrk', ['--version']).error === undefined ? 'wrk' : 'node';
}

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** Keeps so many connections busy for so long; rejects when nothing was measured. */
export async function runLoad(generator: Generator, load: Load): Promise<LoadResult> {
  const { url, body, token, connections, seconds } = load;
  const given = {
    PATH: process.env.PATH ?? '',
    BENCH_BODY: body,
    ...(token === undefined ? {} : { BENCH_TOKEN: token }),
  };
  const options = { env: given, timeoutMs: seconds * 1000 + 30_000 };
  const wrk = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', here('load.lua'), url];
  const result =
    generator === 'wrk'
      ? await runCommand('wrk', wrk, options)
      : await runCommand(process.execPath, [here('node-load.ts'), url, String(connections), String(seconds)], options);
  if (result.code !== 0) throw new Error(`put load on ${url}: ${result.stderr || result.stdout}`);
  return parseLoad(result.stdout);
}

/** The line of JSON that both generators print. */
export function parseLoad(output: string): LoadResult {
  const line = output.split('\n').find((one) => one.startsWith('bench '));
  if (line === undefined)
    throw new Error(`read the load's result: no line of it in ${JSON.stringify(output.slice(0, 500))}`);
  const raw: Record<string, unknown> = JSON.parse(line.slice('bench '.length));
  const number = (name: string): number => {
    const value = raw[name];
    if (typeof value !== 'number') throw new Error(`read the load's result: no ${name}`);
    return value;
  };
  const requests = number('requests');
  return {
    perSecond: requests / (number('durationUs') / 1e6),
    p50Ms: number('p50Us') / 1000,
    p99Ms: number('p99Us') / 1000,
    requests,
    socketErrors: number('socketErrors'),
    statusErrors: number('statusErrors'),
  };
}
