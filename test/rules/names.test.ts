// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A search for a name leads to one place, and no name is a word that the glossary retires.
import { expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

const sources = repositoryFiles().filter((path) => /^src\/.*\.ts$/.test(path) && !path.includes('/generated/'));
const declaration = /^(?:export )?(?:async )?(?:interface|type|class|function) (\w+)/gm;
const declared = sources.flatMap((path) =>
  [...textOf(path).matchAll(declaration)].map(([, name = '']) => ({ name, path })),
);

test('each type and each function is declared in one file', () => {
  const paths = Map.groupBy(declared, ({ name }) => name);
  const several = [...paths].filter(([, places]) => new Set(places.map(({ path }) => path)).size > 1);
  expect(declared.length).toBeGreaterThan(1_000);
  expect(several.map(([name, places]) => `${name}: ${places.map(({ path }) => path).join(', ')}`)).toEqual([]);
});

test('no name has a retired word in it', () => {
  const retired = /(?:^|[a-z])(?:Word|word|Door|door|Mark|mark|Broken|broken)s?(?=[A-Z]|$)|(?<!Break|break)[Gg]lass/;
  const names = sources.flatMap((path) =>
    [...textOf(path).matchAll(/\b(?:const|let|function|interface|type|class) (\w+)/g)].map(
      ([, name = '']) => `${path}: ${name}`,
    ),
  );
  expect(names.filter((place) => retired.test(place.split(': ')[1] ?? ''))).toEqual([]);
});

test('Verdict is what a vote says, and nothing else', () => {
  const places = sources.filter((path) => /\bverdict\b/i.test(textOf(path).replace(/\/\/.*/g, '')));
  expect(places.filter((path) => /^src\/(webhook\/gate|domain\/decision)\//.test(path))).toEqual([]);
});
