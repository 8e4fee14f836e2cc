// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The committed snapshot is what its README says, runs, and tells nothing of the machine it was made on.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { textOf } from '../../support/repository-files.ts';
import { nodeOptionsIn } from './build-release.ts';
import { readSnapshot, unpack } from './previous-release.ts';

const folder = mkdtempSync(join(tmpdir(), 'stepup-snapshot-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const snapshot = readSnapshot();

test('the snapshot is of the commit and version that its README names', () => {
  const readme = textOf('test/cluster/upgrade/previous/README.md');
  expect(readme).toContain(`\x60${snapshot.commit.slice(0, 7)}\x60`);
  expect(readme).toContain(`release ${snapshot.version}`);
});

test('the snapshot runs', () => {
  const { entrypoint } = unpack(snapshot, folder);
  const [node = '', ...args] = entrypoint;
  expect(
    execFileSync(node, [...args, '--version'])
      .toString()
      .trim(),
  ).toBe(snapshot.version);
});

test('the snapshot holds no path of the machine it was made on', () => {
  // Spelled in pieces, so that this file does not hold them either.
  const paths = [
    ['', 'root', ''],
    ['', 'work', ''],
    ['', 'home', ''],
    ['', 'tmp', ''],
  ].map((parts) => parts.join('/'));
  const hosts = [
    ['registry', 'npmjs', 'org'],
    ['proxy', 'golang', 'org'],
  ].map((parts) => parts.join('.'));
  const program = snapshot.program.toString();
  const chart = execFileSync('tar', ['-xzO'], { input: snapshot.chart }).toString();
  for (const text of [...paths, ...hosts])
    expect([program.includes(text), chart.includes(text)]).toEqual([false, false]);
});

test.each([
  ['ENTRYPOINT ["/node", "--a=1", "/app/x.mjs"]', ['--a=1']],
  ['ENTRYPOINT ["/node", "/app/x.mjs"]', []],
  ['CMD ["serve"]', []],
])('of %s the options of Node are %j', (dockerfile, options) => {
  expect(nodeOptionsIn(dockerfile)).toEqual(options);
});
