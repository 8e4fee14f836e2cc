// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// docs/facts.md and the tests of test/cluster/facts tell of the same facts.
import { expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

const files = repositoryFiles().filter((path) => /^test\/cluster\/facts\/.*\.test\.ts$/.test(path));
const nameOf = (path: string) => path.replace(/^test\/cluster\/facts\/(.*)\.test\.ts$/, '$1');
const numbers = Array.from({ length: 20 }, (_, at) => `B${at + 1}`);

/** "B1 repeated-calls", sorted, each once. */
function told(pairs: Iterable<readonly [string, string]>): readonly string[] {
  return [...new Set([...pairs].map(([number, file]) => `${number} ${file}`))].sort();
}

const inTests = files.flatMap((path) =>
  [...textOf(path).matchAll(/^test\('(B\d+) /gm)].map(([, number = '']) => [number, nameOf(path)] as const),
);
const document = textOf('docs/facts.md');
const inDocument = [...document.matchAll(/^\| (B\d+) \|.*\| \x60([a-z-]+)\x60 \|$/gm)].map(
  ([, number = '', file = '']) => [number, file] as const,
);

test('every fact from B1 to B20 has a test and a row', () => {
  expect([...new Set(inTests.map(([number]) => number))].sort()).toEqual([...numbers].sort());
  expect([...new Set(inDocument.map(([number]) => number))].sort()).toEqual([...numbers].sort());
});

test('each row names the file where its tests are, and no fact has more rows than tests', () => {
  expect(told(inDocument)).toEqual(told(inTests));
  const timesIn = (pairs: readonly (readonly [string, string])[], wanted: string) =>
    pairs.filter(([number]) => number === wanted).length;
  expect(numbers.filter((number) => timesIn(inDocument, number) > timesIn(inTests, number))).toEqual([]);
});

test('what is said about settling names a file too', () => {
  const section = document.slice(document.indexOf('## Settling'));
  const named = [...section.matchAll(/\| \x60([a-z-]+)\x60 \|$/gm)].map(([, file]) => file);
  expect(new Set(named)).toEqual(new Set(['settling', 'evidence']));
  expect(files.map(nameOf)).toEqual(expect.arrayContaining(['settling', 'evidence']));
});
