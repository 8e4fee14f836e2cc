// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Holds the tables of docs/attacks.md against what the test saw; with STEPUP_UPDATE_DOCS set, writes them there.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

const path = join(import.meta.dirname, '../../../docs/attacks.md');

/** The section between "<!-- observed: name -->" and "<!-- end -->" is exactly this table. */
export function documentedTable(name: string, rows: readonly (readonly string[])[]): void {
  const text = readFileSync(path, 'utf8');
  const begin = `<!-- observed: ${name} -->\n`;
  const from = text.indexOf(begin);
  const to = text.indexOf('\n<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`read docs/attacks.md: it has no section ${name}`);
  const observed = `\n${tableOf(rows)}\n`;
  const start = from + begin.length;
  if (process.env.STEPUP_UPDATE_DOCS) writeFileSync(path, text.slice(0, start) + observed + text.slice(to));
  else expect(text.slice(start, to), 'run with STEPUP_UPDATE_DOCS=1').toBe(observed);
}

/** A Markdown table; the first row is its head. */
export function tableOf([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
