// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Builds one pinned binary with the Go toolchain and shows that it is still at it.

import { spawn } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Tool } from './tools.ts';

const heartbeatMs = 15_000;

export interface GoBuildOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly say: (line: string) => void;
}

/** Builds `tool` to `target`, which appears complete or not at all. */
export async function goBuild(tool: Tool, target: string, { env, say }: GoBuildOptions): Promise<void> {
  mkdirSync(dirname(target), { recursive: true });
  const draft = `${target}.${process.pid}.tmp`;
  const startedAt = performance.now();
  const elapsed = () => `${Math.round((performance.now() - startedAt) / 1000)} s`;
  say(`building ${tool.name} ${tool.cacheKey} (a cold build of all tools takes about 13 minutes on two cores)`);
  const heartbeat = setInterval(() => say(`still building ${tool.name}, ${elapsed()}`), heartbeatMs);
  try {
    await runGo(['build', ...tool.buildFlags, '-o', draft, tool.goPackage], tool, env);
    renameSync(draft, target);
    say(`built ${tool.name} in ${elapsed()}`);
  } finally {
    clearInterval(heartbeat);
    rmSync(draft, { force: true });
  }
}

function runGo(args: readonly string[], tool: Tool, env: GoBuildOptions['env']): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, {
      cwd: tool.moduleDir,
      env: { ...env, CGO_ENABLED: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-8_000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (cause) => reject(new Error(missingGo(tool), { cause })));
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`build ${tool.name}: go exited with ${code}\n${output.trim()}`));
    });
  });
}

function missingGo(tool: Tool): string {
  return (
    `build ${tool.name}: cannot run "go". Install Go (the version in ${tool.moduleDir}/go.mod or newer) and put it on ` +
    `the PATH, or set KUBEBUILDER_ASSETS to a folder that has ${tool.name}`
  );
}
