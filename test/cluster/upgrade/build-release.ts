// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes a release out of what git keeps of it: its chart, its program as one file, and how its image starts that.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What an upgrade test needs of a release. */
export interface Release {
  readonly commit: string;
  readonly version: string;
  /** Arguments of Node in the image, the program's path apart. */
  readonly nodeOptions: readonly string[];
  /** A packed chart. */
  readonly chart: Buffer;
  /** The program, in one file. */
  readonly program: Buffer;
}

/**
 * Takes chart and sources of a git ref. Libraries are those installed here, whatever the ref's lock file says. Throws when
 * git does not know the ref.
 */
export async function buildRelease(ref: string): Promise<Release> {
  const folder = mkdtempSync(join(tmpdir(), 'stepup-release-'));
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: root, maxBuffer: 1 << 28 });
    const commit = git('rev-parse', `${ref}^{commit}`).toString().trim();
    const sources = join(folder, 'sources');
    mkdirSync(sources);
    execFileSync('tar', ['-x', '-C', sources], { input: git('archive', commit, 'src', 'package.json', 'Dockerfile') });
    symlinkSync(join(root, 'node_modules'), join(sources, 'node_modules'));
    const { version } = JSON.parse(readFileSync(join(sources, 'package.json'), 'utf8')) as { version: string };
    return {
      commit,
      version,
      nodeOptions: nodeOptionsIn(readFileSync(join(sources, 'Dockerfile'), 'utf8')),
      chart: git('archive', '--format=tar.gz', '-9', '--prefix=stepup/', `${commit}:charts/stepup`),
      program: await bundle(sources, version),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Between node and the program in the Dockerfile's ENTRYPOINT. */
export function nodeOptionsIn(dockerfile: string): readonly string[] {
  const [, list = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? [];
  const words: readonly string[] = JSON.parse(list);
  return words.slice(1, -1);
}

/** As scripts/bundle.ts does, but small and in one piece. */
async function bundle(sources: string, version: string): Promise<Buffer> {
  const { outputFiles } = await build({
    absWorkingDir: sources,
    entryPoints: ['src/cmd/stepup.ts'],
    // Symlinked libraries would be looked for beside where the links lead.
    preserveSymlinks: true,
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    legalComments: 'eof',
    logLevel: 'warning',
    define: { STEPUP_VERSION: JSON.stringify(version) },
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error('bundle the release: esbuild made no file');
  return Buffer.from(file.contents);
}
