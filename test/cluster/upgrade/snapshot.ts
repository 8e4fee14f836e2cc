// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Replaces the snapshot of the previous release: npm run snapshot -- <git ref>.
import { mkdirSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';
import { buildRelease } from './build-release.ts';
import { snapshotFiles } from './previous-release.ts';

const [ref] = process.argv.slice(2);
if (ref === undefined) {
  process.stderr.write('say of which git ref: npm run snapshot -- v0.1.0\n');
  process.exitCode = 2;
} else {
  const { chart, program, ...facts } = await buildRelease(ref);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: program.length,
  };
  mkdirSync(snapshotFiles.folder, { recursive: true });
  writeFileSync(snapshotFiles.facts, `${JSON.stringify(facts, null, 2)}\n`);
  writeFileSync(snapshotFiles.chart, chart);
  writeFileSync(snapshotFiles.program, brotliCompressSync(program, { params }));
}
