// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes the table of values in the chart's README from values.yaml. With --check it only says whether it is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { load } from 'js-yaml';

const valuesFile = new URL('../charts/stepup/values.yaml', import.meta.url);
const readmeFile = new URL('../charts/stepup/README.md', import.meta.url);
const begin = '<!-- values: made from values.yaml by scripts/values-table.ts. DO NOT EDIT -->';
const end = '<!-- end of values -->';

/** One key of values.yaml: where it is, what its comment says, and its default as JSON; undefined where it only holds others. */
export interface Value {
  readonly path: string;
  readonly comment: string;
  readonly default: string | undefined;
}

interface Key {
  readonly line: number;
  readonly depth: number;
  readonly name: string;
}

/**
 * Every value of values.yaml in its order. A map whose keys have comments of their own is a section, shown where it has a
 * comment itself; any other map is one value. Rejects keys without a comment, all of them at once.
 */
export function valuesOf(text: string): readonly Value[] {
  const lines = text.split('\n');
  const keys = keysOf(lines);
  const values: Value[] = [];
  const missing: string[] = [];
  const visit = (from: number, depth: number, parent: string, given: unknown) => {
    for (let at = from; at < keys.length; at++) {
      const key = keys[at];
      if (key === undefined || key.depth < depth) return;
      if (key.depth > depth) continue;
      const path = parent === '' ? key.name : `${parent}.${key.name}`;
      const value = (given as Readonly<Record<string, unknown>>)[key.name];
      const comment = commentAbove(lines, key.line);
      const child = keys[at + 1];
      const isSection =
        child !== undefined && child.depth > depth && childrenOf(keys, at).some(({ line }) => hasComment(lines, line));
      if (isSection) {
        if (comment !== '') values.push({ path, comment, default: undefined });
        visit(at + 1, child.depth, path, value);
      } else {
        if (comment === '') missing.push(path);
        values.push({ path, comment, default: JSON.stringify(value) });
      }
    }
  };
  visit(0, 0, '', load(text));
  if (missing.length > 0) throw new Error(`read values.yaml: write a comment above ${missing.join(', ')}`);
  return values;
}

/** The table as it stands in the README. */
export function valuesTable(values: readonly Value[]): string {
  const rows = values.map(({ path, comment, default: given }) => {
    const shown = given === undefined ? '' : `\`${given.replaceAll('|', '\\|')}\``;
    return `| \`${path}\` | ${comment.replaceAll('|', '\\|').replaceAll('<', '&lt;')} | ${shown} |`;
  });
  return ['| value | what it is | default |', '| --- | --- | --- |', ...rows].join('\n');
}

/** The README with the table made anew. Rejects one without the two marks. */
export function readmeWith(readme: string, table: string): string {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from < 0 || to < from) throw new Error(`write the table of values: the README has no "${begin}" … "${end}"`);
  return `${readme.slice(0, from)}${begin}\n${table}\n${readme.slice(to)}`;
}

/** Keys of maps in block style: lists and what is in braces belong to the value. */
function keysOf(lines: readonly string[]): readonly Key[] {
  const keys: Key[] = [];
  let listDepth = Number.POSITIVE_INFINITY;
  for (const [line, text] of lines.entries()) {
    if (text.trim() === '' || text.trim().startsWith('#')) continue;
    const depth = text.length - text.trimStart().length;
    if (depth >= listDepth) continue;
    listDepth = Number.POSITIVE_INFINITY;
    if (text.trimStart().startsWith('-')) listDepth = depth;
    else keys.push({ line, depth, name: text.trim().split(':')[0] ?? '' });
  }
  return keys;
}

function childrenOf(keys: readonly Key[], at: number): readonly Key[] {
  const parent = keys[at];
  const after = keys.slice(at + 1);
  const next = after.findIndex(({ depth }) => depth <= (parent?.depth ?? 0));
  const below = next < 0 ? after : after.slice(0, next);
  return below.filter(({ depth }) => depth === below[0]?.depth);
}

function hasComment(lines: readonly string[], line: number): boolean {
  return commentAbove(lines, line) !== '';
}

/** The comment lines directly above, joined, without examples: lines that are indented in it. */
function commentAbove(lines: readonly string[], line: number): string {
  const comment: string[] = [];
  for (let above = line - 1; above >= 0; above--) {
    const text = lines[above]?.trim() ?? '';
    if (!text.startsWith('#')) break;
    if (!text.startsWith('#  ')) comment.unshift(text.slice(1).trim());
  }
  return comment.join(' ').trim();
}

function tables(): { readonly present: string; readonly wanted: string } {
  const present = readFileSync(readmeFile, 'utf8');
  return { present, wanted: readmeWith(present, valuesTable(valuesOf(readFileSync(valuesFile, 'utf8')))) };
}

if (import.meta.main) {
  const { present, wanted } = tables();
  if (!process.argv.includes('--check')) writeFileSync(readmeFile, wanted);
  else if (present !== wanted) {
    process.stderr.write(
      'charts/stepup/README.md: its table is not that of values.yaml: run node scripts/values-table.ts\n',
    );
    process.exitCode = 1;
  }
}
