// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Bundles src/cmd/stepup.ts into dist/: one entry, the chunks it loads on demand, and the list of what is in it.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';
import { sbomOf } from './sbom.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
export const sbomName = 'stepup.cdx.json';

/** Bundles into a folder, and returns what went in. The same sources give the same bytes. */
export async function bundleInto(outdir: string): Promise<Metafile> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { stepup: 'src/cmd/stepup.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // What only a kubeconfig needs is a chunk of its own: in the cluster it is never loaded, which halves the memory.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    sourcemap: true,
    metafile: true,
    legalComments: 'linked',
    logLevel: 'warning',
    define: { STEPUP_VERSION: JSON.stringify(version) },
    // CommonJS dependencies (express, prom-client) call require for Node's own modules.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  writeFileSync(join(outdir, sbomName), sbomOf(filesIn(metafile)));
  return metafile;
}

/** The files of which at least one byte is in the bundle. */
export function filesIn({ outputs }: Metafile): readonly string[] {
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  return inputs.flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
}

if (import.meta.main) {
  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  await bundleInto(dist);
}
