// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Where each binary is looked for, and what is said when one can be neither found nor built.

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureBinary } from './binaries.ts';
import { withFileLock } from './file-lock.ts';
import { describeTool } from './tools.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'stepup-binaries-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

test('each binary is looked up alone: one from KUBEBUILDER_ASSETS, another from the cache', async () => {
  const env = { KUBEBUILDER_ASSETS: join(dir, 'assets'), STEPUP_TOOLS_DIR: join(dir, 'tools') };
  const etcd = executable(join(dir, 'assets/etcd'));
  const helm = executable(join(dir, 'tools', describeTool('helm').cacheKey, 'helm'));
  expect([await ensureBinary('etcd', { env }), await ensureBinary('helm', { env })]).toEqual([etcd, helm]);
});

test('KUBEBUILDER_ASSETS wins over the cache', async () => {
  const env = { KUBEBUILDER_ASSETS: join(dir, 'assets'), STEPUP_TOOLS_DIR: join(dir, 'tools') };
  executable(join(dir, 'tools', describeTool('helm').cacheKey, 'helm'));
  const helm = executable(join(dir, 'assets/helm'));
  expect(await ensureBinary('helm', { env })).toBe(helm);
});

test('the cache follows XDG_CACHE_HOME', async () => {
  const helm = executable(join(dir, 'stepup/tools', describeTool('helm').cacheKey, 'helm'));
  expect(await ensureBinary('helm', { env: { XDG_CACHE_HOME: dir } })).toBe(helm);
});

test('the cache key names the pinned version', () => {
  expect(describeTool('kube-apiserver').cacheKey).toMatch(/^v1\.37\.2-[0-9a-f]{12}$/);
  expect(describeTool('helm').cacheKey).toMatch(/^v3\.22\.0-[0-9a-f]{12}$/);
  expect(describeTool('opa').cacheKey).toMatch(/^v1\.22\.3-[0-9a-f]{12}$/);
  expect(describeTool('helm4').cacheKey).toMatch(/^v4\.3\.1-[0-9a-f]{12}$/);
  expect(describeTool('promtool').cacheKey).toMatch(/^v0\.316\.0-[0-9a-f]{12}$/);
  expect(describeTool('glua').cacheKey).toMatch(/^v1\.1\.2-[0-9a-f]{12}$/);
});

test('without Go it is said what to do, and nothing half-built stays', async () => {
  const said: string[] = [];
  const options = { env: { STEPUP_TOOLS_DIR: dir, PATH: '/nowhere' }, say: (line: string) => said.push(line) };
  await expect(ensureBinary('helm', options)).rejects.toThrow(
    /cannot run "go"\. Install Go .+ or set KUBEBUILDER_ASSETS/,
  );
  expect(said).toEqual([expect.stringContaining('building helm')]);
  expect(readdirSync(join(dir, describeTool('helm').cacheKey))).toEqual([]);
});

test('the second one to ask for the lock waits, says so once, and then goes on', async () => {
  const lock = join(dir, 'lock');
  const waitedFor: number[] = [];
  const options = { onWait: (pid: number) => waitedFor.push(pid), pollMs: 5 };
  const order: string[] = [];
  const first = withFileLock(lock, options, async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    order.push('first');
  });
  await withFileLock(lock, options, async () => order.push('second'));
  await first;
  expect({ order, waitedFor }).toEqual({ order: ['first', 'second'], waitedFor: [process.pid] });
});

test('the lock of a process that is gone is taken over', async () => {
  const lock = join(dir, 'lock');
  const beyondAnyPid = 2 ** 22 + 1;
  writeFileSync(lock, String(beyondAnyPid));
  const onWait = () => expect.unreachable('nobody holds it');
  expect(await withFileLock(lock, { onWait }, async () => 'done')).toBe('done');
});

function executable(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  chmodSync(path, 0o755);
  return path;
}
