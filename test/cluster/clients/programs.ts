// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The clients that are programs: one in Go built from its pinned module, one in Python in an environment of its own.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { withFileLock } from '../../support/control-plane/file-lock.ts';
import { goBuild } from '../../support/control-plane/go-build.ts';
import type { Tool } from '../../support/control-plane/tools.ts';
import { runCommand } from '../../support/run-command.ts';

const here = import.meta.dirname;
const say = (line: string) => process.stderr.write(`clients: ${line}\n`);
const environment = () =>
  Object.fromEntries(Object.entries(process.env).filter((one): one is [string, string] => one[1] !== undefined));

/** Path of the client-go program, built when the cache does not have it as it is now. */
export async function clientGo(): Promise<string> {
  const dir = join(here, 'client-go');
  const cacheKey = `client-go-${hashOf(['go.mod', 'go.sum', 'main.go'].map((name) => join(dir, name)))}`;
  const binary = join(toolsDir(), cacheKey, 'client-go');
  // goBuild wants one of the control plane's own names only to say what it builds.
  const tool: Omit<Tool, 'name'> = { moduleDir: dir, goPackage: '.', buildFlags: ['-trimpath'], cacheKey };
  await once(binary, async () => goBuild({ ...tool, name: 'kubectl' }, binary, { env: process.env, say }));
  return binary;
}

/** The Python of an environment that has the pinned client, and the program to give it. */
export async function pythonClient(): Promise<{ readonly python: string; readonly program: string }> {
  const requirements = join(here, 'requirements.txt');
  const dir = join(toolsDir(), `python-client-${hashOf([requirements])}`);
  const python = join(dir, 'bin/python');
  const stamp = join(dir, 'complete');
  await once(stamp, async () => {
    say('installing the Python client');
    await must('make a Python environment (is python3 with venv installed?)', 'python3', ['-m', 'venv', dir]);
    await must('install the Python client', python, ['-m', 'pip', 'install', '-q', '-r', requirements]);
    writeFileSync(stamp, '');
  });
  return { python, program: join(here, 'client.py') };
}

async function once(result: string, make: () => Promise<void>): Promise<void> {
  if (existsSync(result)) return;
  const onWait = (pid: number) => say(`waiting for process ${pid}`);
  await withFileLock(join(toolsDir(), 'clients.lock'), { onWait }, async () => {
    if (!existsSync(result)) await make();
  });
}

async function must(what: string, binary: string, args: readonly string[]): Promise<void> {
  const result = await runCommand(binary, args, { env: environment(), timeoutMs: 300_000 });
  if (result.code !== 0) throw new Error(`${what}: exit ${result.code}\n${result.stderr.slice(-2_000)}`);
}

function hashOf(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(readFileSync(path));
  return hash.digest('hex').slice(0, 12);
}

function toolsDir(): string {
  const { STEPUP_TOOLS_DIR, XDG_CACHE_HOME } = process.env;
  return STEPUP_TOOLS_DIR || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'stepup', 'tools');
}
