// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Builds the baseline in Go into the cache of tools, once per source.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { goBuild } from '../../support/control-plane/go-build.ts';
import type { Tool, ToolName } from '../../support/control-plane/tools.ts';

/** Path of the binary. */
export async function ensureGoBaseline(say: (line: string) => void): Promise<string> {
  const moduleDir = join(import.meta.dirname, 'always-allow-go');
  const buildFlags = ['-trimpath', '-ldflags=-s -w'];
  const hash = createHash('sha256').update(buildFlags.join('\0'));
  for (const file of ['main.go', 'go.mod']) hash.update(readFileSync(join(moduleDir, file)));
  const cacheKey = `bench-${hash.digest('hex').slice(0, 12)}`;
  const { STEPUP_TOOLS_DIR, XDG_CACHE_HOME } = process.env;
  const root = STEPUP_TOOLS_DIR || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'stepup', 'tools');
  const name: string = 'always-allow';
  const target = join(root, cacheKey, name);
  // The name is only for messages; the table of pinned tools is about modules of others.
  const tool: Tool = { name: name as ToolName, moduleDir, goPackage: '.', buildFlags, cacheKey };
  if (!existsSync(target)) await goBuild(tool, target, { env: process.env, say });
  return target;
}
