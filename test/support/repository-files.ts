// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The files of the repository as git knows them, for the rules that are tests.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Paths of all tracked files, and of new ones that are not ignored. */
export function repositoryFiles(): readonly string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root });
  return listed
    .toString('utf8')
    .split('\n')
    .filter((path) => path !== '' && existsSync(`${root}${path}`));
}

export function textOf(path: string): string {
  return readFileSync(`${root}${path}`, 'utf8');
}

/** What a TypeScript file imports, as written. */
export function importsOf(path: string): readonly string[] {
  const specifier =
    /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s+'([^']+)'|import\(\s*'([^']+)'|(?:^|\n)import\s+'([^']+)'/g;
  return [...textOf(path).matchAll(specifier)].map(([, from, dynamic, bare]) => from ?? dynamic ?? bare ?? '');
}
