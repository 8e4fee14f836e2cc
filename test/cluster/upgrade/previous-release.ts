// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The release before this tree: the newest v* tag below it, or the committed snapshot where there is no such tag.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { buildRelease, type Release, root } from './build-release.ts';

const folder = join(root, 'test/cluster/upgrade/previous');
/** Where the snapshot is kept. */
export const snapshotFiles = {
  folder,
  facts: join(folder, 'release.json'),
  chart: join(folder, 'chart.tgz'),
  program: join(folder, 'stepup.mjs.br'),
};

/** The previous release, from its tag or from the snapshot. */
export function previousRelease(): Promise<Release> {
  const tag = previousTag();
  return tag === undefined ? Promise.resolve(readSnapshot()) : buildRelease(tag);
}

/** The newest v* tag that is an ancestor of this commit and not this commit itself. */
function previousTag(): string | undefined {
  const args = ['tag', '--list', 'v*', '--merged', 'HEAD', '--no-contains', 'HEAD', '--sort=-version:refname'];
  const [newest = ''] = execFileSync('git', args, { cwd: root }).toString().trim().split('\n');
  return newest === '' ? undefined : newest;
}

/** The committed snapshot; test/cluster/upgrade/previous/README.md says of which commit. */
export function readSnapshot(): Release {
  const facts = JSON.parse(readFileSync(snapshotFiles.facts, 'utf8')) as Pick<
    Release,
    'commit' | 'version' | 'nodeOptions'
  >;
  return {
    ...facts,
    chart: readFileSync(snapshotFiles.chart),
    program: brotliDecompressSync(readFileSync(snapshotFiles.program)),
  };
}

/** Unpacks a release into a folder; returns the chart's path for Helm, and the command line of its image. */
export function unpack(
  { chart, program, nodeOptions }: Release,
  into: string,
): { readonly chart: string; readonly entrypoint: readonly string[] } {
  mkdirSync(into, { recursive: true });
  const paths = { chart: join(into, 'chart.tgz'), program: join(into, 'stepup.mjs') };
  writeFileSync(paths.chart, chart);
  writeFileSync(paths.program, program);
  return { chart: paths.chart, entrypoint: [process.execPath, ...nodeOptions, paths.program] };
}
