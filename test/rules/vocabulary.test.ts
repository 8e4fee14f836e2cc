// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What users read has one name for each thing: names that were retired do not come back.
import { expect, test } from 'vitest';
import { parseAst } from 'vitest/node';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

/** Folders that are held to the vocabulary. */
const covered: readonly string[] = ['src', 'crds', 'charts', 'docs'];

/** What users read in each folder, and how it is found there. */
const readers: readonly { readonly folder: string; readonly files: RegExp; readonly textsIn: Reader }[] = [
  // What is generated there is written in crds/.
  { folder: 'src', files: /^src\/(?!api\/generated\/).*\.ts$/, textsIn: literals },
  { folder: 'crds', files: /^crds\/.*\.yaml$/, textsIn: whole },
  // The definitions and the README's table are copies.
  { folder: 'charts', files: /^charts\/(?!.*files\/crds\/).*\.(yaml|tpl|txt|json|md)$/, textsIn: whole },
  { folder: 'docs', files: /^docs\/(?!adr\/|benchmarks|glossary\.md$).*\.(md|json)$/, textsIn: withoutPaths },
];

/** Retired name → what it is called now. */
const retired: readonly (readonly [RegExp, string])[] = [
  [/\bwords?\b/i, 'vote'],
  [/(?<!\bbreak-?)\bglass\b/i, 'break-glass'],
  [/\bdoors?\b/i, 'equivalent request'],
  [/\bmark(s|ed)?\b/i, 'condition label'],
];

/** Texts that may hold one all the same, each with its reason. */
const deletion = 'the API server sets metadata.deletionTimestamp';
const excepted: readonly { readonly file: string; readonly text: string; readonly because: string }[] = [
  { file: 'docs/facts.md', text: 'only marks what has finalizers', because: deletion },
  { file: 'docs/facts.md', text: 'What is marked already is not taken for gone', because: deletion },
  { file: 'docs/model.md', text: 'WORDS="', because: 'a variable of make' },
];

type Reader = (path: string) => readonly string[];

test.each(readers.filter(({ folder }) => covered.includes(folder)))(
  '$folder has no retired name',
  ({ files, textsIn }) => {
    const found = repositoryFiles()
      .filter((path) => files.test(path))
      .flatMap((path) => textsIn(path).flatMap((text) => retiredIn(path, text)));
    expect(found).toEqual([]);
  },
);

test('a retired name is found, and a name that holds one is not', () => {
  const in_ = (text: string) => retiredIn('x', text).length;
  expect(['one word', 'Broken glass', 'break glass', 'other doors', 'a marked object'].map(in_)).toEqual([
    1, 1, 1, 1, 1,
  ]);
  expect(['password', 'break-glass', 'BreakGlass', 'stepup-break-glass', 'bookmark', 'indoor'].map(in_)).toEqual([
    0, 0, 0, 0, 0, 0,
  ]);
});

function retiredIn(path: string, text: string): readonly string[] {
  if (excepted.some((one) => one.file === path && text.includes(one.text))) return [];
  return retired
    .filter(([name]) => name.test(text))
    .map(([name, now]) => `${path}: "${name.exec(text)?.[0]}" is called ${now}: ${text.trim().slice(0, 100)}`);
}

function whole(path: string): readonly string[] {
  return textOf(path).split('\n');
}

/** Paths name files of tests, which users do not read. */
function withoutPaths(path: string): readonly string[] {
  return whole(path).map((line) => line.replace(/\x60(src|test)\/[^\x60]*\x60/g, ''));
}

/** Strings and templates of a TypeScript file, but for what it imports. */
function literals(path: string): readonly string[] {
  const texts: string[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      node.forEach(visit);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    const { type, source, value } = node as { type?: string; source?: unknown; value?: unknown };
    if (type !== undefined && /^(Import|Export)/.test(type) && source) return;
    if (type === 'Literal' && typeof value === 'string') texts.push(value);
    if (type === 'TemplateElement') texts.push((value as { cooked: string }).cooked);
    Object.values(node).forEach(visit);
  };
  visit(parseAst(textOf(path), { lang: 'ts' }));
  return texts;
}
