// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the tests run is what the image runs.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { imageEntrypoint } from '../../scripts/image-entrypoint.ts';

test('the entrypoint is the one of the Dockerfile, with the Node and the bundle of this machine', () => {
  const [program, ...args] = imageEntrypoint('/here/dist');
  expect(program).toBe(process.execPath);
  expect(args.at(-1)).toBe('/here/dist/stepup.mjs');
});

test('this Node knows its flags, and they bound the young generation without reading the source map', () => {
  const [program, ...args] = imageEntrypoint('/here/dist');
  const flags = args.slice(0, -1);
  expect(flags).not.toContain('--enable-source-maps');
  const script = 'process.stdout.write(String(v8.getHeapSpaceStatistics().length))';
  expect(spawnSync(program, [...flags, '--eval', script], { encoding: 'utf8' })).toMatchObject({
    status: 0,
    stderr: '',
  });
  expect(flags.filter((flag) => flag.startsWith('--max-semi-space-size='))).toHaveLength(1);
});

test('another entrypoint is followed', () => {
  const text = 'FROM x\nENTRYPOINT ["/nodejs/bin/node", "--expose-gc", "/app/dist/stepup.mjs"]\n';
  expect(imageEntrypoint('/d', text)).toEqual([process.execPath, '--expose-gc', '/d/stepup.mjs']);
});

test.each([
  ['none', 'FROM x\n'],
  ['one for a shell', 'FROM x\nENTRYPOINT node /app/dist/stepup.mjs\n'],
])('an entrypoint that is %s is an error', (_name, text) => {
  expect(() => imageEntrypoint('/d', text)).toThrow('no ENTRYPOINT');
});
