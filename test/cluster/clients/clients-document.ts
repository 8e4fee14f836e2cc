// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Holds docs/clients.md against what the tests observed; with STEPUP_UPDATE_DOCS set, writes it there.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

const path = join(import.meta.dirname, '../../../docs/clients.md');

/** The section between "<!-- observed: name -->" and "<!-- end -->" says exactly these lines. */
export function documented(name: string, lines: readonly string[]): void {
  const text = readFileSync(path, 'utf8');
  const begin = `<!-- observed: ${name} -->\n`;
  const from = text.indexOf(begin);
  const to = text.indexOf('\n<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`read docs/clients.md: it has no section ${name}`);
  const observed = `\n${lines.join('\n')}\n`;
  const start = from + begin.length;
  if (process.env.STEPUP_UPDATE_DOCS) {
    writeFileSync(path, text.slice(0, start) + observed + text.slice(to));
    return;
  }
  expect(text.slice(start, to), 'run node test/cluster/clients/update-docs.ts').toBe(observed);
}

/** One row of a Markdown table. */
export function tableRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

/** A message as the docs show it: names that differ from run to run are left out. */
export function plain(message: string): string {
  return message
    .trim()
    .replaceAll(/-[0-9a-f]{10}\b/g, '-…')
    .replaceAll(/\/\S+\/kubectl-edit-\d+\.yaml/g, '….yaml');
}
