// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The heap of another Node process, without its garbage.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { liveHeapMiB } from './live-heap.ts';

let child: ChildProcess | undefined;

afterEach(() => {
  child?.kill('SIGKILL');
});

/** A process with so many MiB of garbage, and as many that it keeps. */
async function holding(garbageMiB: number, keptMiB: number): Promise<number> {
  const script = `
    const some = (mib) => Array.from({ length: mib * 1024 }, (_, i) => Array.from({ length: 128 }, (_, j) => i * j + 0.5));
    some(${garbageMiB});
    globalThis.kept = some(${keptMiB});
    process.stdout.write('ready');
    setInterval(() => {}, 1000);
  `;
  child = spawn(process.execPath, ['--max-old-space-size=512', '-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout!, 'data');
  return child.pid ?? 0;
}

test('counts what is kept, and no garbage', async () => {
  const mib = await liveHeapMiB(await holding(100, 60));
  expect(mib).toBeGreaterThan(60);
  expect(mib).toBeLessThan(100);
}, 30_000);
