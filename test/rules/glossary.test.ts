// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Holds docs/glossary.md: each term once, in order, and the types it names are those of the code.
import { expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

const [terms = '', retired = ''] = textOf('docs/glossary.md').split('## Words that are not used');
const rowsOf = (section: string) =>
  [...section.matchAll(/^\| (?!term|old|---)(.+?) \| (.+?) \| ?(.*?) ?\|?$/gm)].map(([, name = '', meaning, code]) => ({
    name,
    meaning,
    code: code ?? '',
  }));

test('each term stands once, in alphabetical order, with its meaning', () => {
  const names = rowsOf(terms).map(({ name }) => name.toLowerCase());
  expect(names.length).toBeGreaterThan(30);
  expect(names).toEqual([...new Set(names)].sort());
});

test('each type that it names is exported by the domain', () => {
  const named = rowsOf(terms).flatMap(({ code }) => [...code.matchAll(/\x60(\w+)\x60/g)].map(([, type = '']) => type));
  const exported = repositoryFiles()
    .filter((path) => /^src\/domain\/.*\.ts$/.test(path))
    .flatMap((path) => [...textOf(path).matchAll(/^export (?:interface|type|class) (\w+)/gm)].map(([, type]) => type));
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((type) => !exported.includes(type))).toEqual([]);
});

test('no retired word is a term', () => {
  const old = rowsOf(retired.replaceAll(/ \|$/gm, ' | |')).map(({ name }) => name);
  expect(old.length).toBeGreaterThan(5);
  expect(rowsOf(terms).filter(({ name }) => old.includes(name))).toEqual([]);
});
