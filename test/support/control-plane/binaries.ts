// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds the control plane's binaries, each alone: KUBEBUILDER_ASSETS, then the cache, then built from the pinned module.

import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { withFileLock } from './file-lock.ts';
import { goBuild } from './go-build.ts';
import { type controlPlaneTools, describeTool, type ToolName, toolNames } from './tools.ts';

export type Binaries = Readonly<Record<(typeof controlPlaneTools)[number], string>>;

export interface BinariesOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly say?: (line: string) => void;
}

/** Paths of the control plane's five binaries; what is missing is built first, one at a time, with progress on stderr. */
export async function ensureBinaries(options: BinariesOptions = {}): Promise<Binaries> {
  return {
    etcd: await ensureBinary('etcd', options),
    'kube-apiserver': await ensureBinary('kube-apiserver', options),
    'kube-controller-manager': await ensureBinary('kube-controller-manager', options),
    kubectl: await ensureBinary('kubectl', options),
    helm: await ensureBinary('helm', options),
  };
}

/** Path of one binary, built when neither KUBEBUILDER_ASSETS nor the cache has it. */
export async function ensureBinary(name: ToolName, options: BinariesOptions = {}): Promise<string> {
  const env = options.env ?? process.env;
  const say = options.say ?? ((line: string) => process.stderr.write(`controlplane: ${line}\n`));
  const asset = env.KUBEBUILDER_ASSETS ? join(env.KUBEBUILDER_ASSETS, name) : undefined;
  if (asset && isExecutable(asset)) return asset;

  const tool = describeTool(name);
  const root = toolsDir(env);
  const cached = join(root, tool.cacheKey, name);
  if (isExecutable(cached)) return cached;

  const onWait = (pid: number) => say(`waiting for process ${pid}, which is building into ${root}`);
  await withFileLock(join(root, 'build.lock'), { onWait }, async () => {
    if (!isExecutable(cached)) await goBuild(tool, cached, { env, say });
  });
  return cached;
}

/** Where built and fetched tools are kept, from STEPUP_TOOLS_DIR or XDG_CACHE_HOME. */
export function toolsDir(env: Readonly<Record<string, string | undefined>>): string {
  return env.STEPUP_TOOLS_DIR || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'stepup', 'tools');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Names on the command line, default all. */
if (import.meta.main) {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !toolNames.some((known) => known === name));
  if (unknown.length > 0) {
    process.stderr.write(`tools: ${unknown.join(', ')}: must be of ${toolNames.join(', ')}\n`);
    process.exit(2);
  }
  for (const name of toolNames.filter((known) => asked.length === 0 || asked.includes(known))) {
    process.stdout.write(`${name}\t${await ensureBinary(name)}\n`);
  }
}
