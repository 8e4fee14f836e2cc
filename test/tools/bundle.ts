// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Bundles src/cmd/stepup.ts into dist/: one entry and the chunks it loads on demand.
import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));

rmSync(`${root}dist`, { recursive: true, force: true });
await build({
  entryPoints: { stepup: `${root}src/cmd/stepup.ts` },
  outdir: `${root}dist`,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  // What only a kubeconfig needs is a chunk of its own: in the cluster it is never loaded, which halves the memory.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  sourcemap: true,
  legalComments: 'linked',
  logLevel: 'warning',
  // CommonJS dependencies (express, prom-client) call require for Node's own modules.
  define: {
    STEPUP_VERSION: JSON.stringify(
      (JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string }).version,
    ),
  },
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
