// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Runs the commands that docs/ shows, in a shell, as one of the actors.
import { dirname } from 'node:path';
import type { Actor, Installation } from '../installation/installation.ts';
import { root, textOf } from '../repository-files.ts';
import { runCommand } from '../run-command.ts';

/** The block below the mark `<!-- run: <mark> -->`. */
export function commandsUnder(path: string, mark: string): string {
  const block = new RegExp(`<!-- run: ${mark} -->\\n\\x60{3}sh\\n([\\s\\S]*?)\\n\\x60{3}`).exec(textOf(path))?.[1];
  if (block === undefined) throw new Error(`${path} has no commands marked "${mark}"`);
  return block;
}

export interface DocumentReader {
  readonly cluster: Pick<Installation['cluster'], 'binaries' | 'dir'>;
  readonly kubeconfigs: Readonly<Partial<Record<Actor, string>>>;
}

/** Runs a document's commands with these variables set, where the repository is checked out. */
export function runDocumented(
  { cluster, kubeconfigs }: DocumentReader,
  actor: Actor,
  commands: string,
  variables: Readonly<Record<string, string>> = {},
) {
  const tools = [cluster.binaries.kubectl, cluster.binaries.helm].map((binary) => dirname(binary));
  const path = [...tools, '/usr/bin', '/bin'].join(':');
  const env = { PATH: path, HOME: cluster.dir, KUBECONFIG: kubeconfigs[actor] ?? '', ...variables };
  return runCommand('/bin/sh', ['-c', `set -e\n${commands}`], { env, cwd: root });
}
