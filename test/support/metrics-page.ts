// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the tables of docs/metrics.md.
import { textOf } from './repository-files.ts';

export interface MetricRow {
  readonly metric: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** By label; empty where the values are names of objects, or stand elsewhere. */
  readonly labels: ReadonlyMap<string, ReadonlySet<string>>;
  /** False of what only a replica that has led tells. */
  readonly isEverywhere: boolean;
}

export function metricsPage(): readonly MetricRow[] {
  const page = textOf('docs/metrics.md');
  const [everywhere = '', leader = ''] = page.split('## Of the leader');
  return [...rowsOf(everywhere, true), ...rowsOf(leader, false)];
}

function rowsOf(text: string, isEverywhere: boolean): readonly MetricRow[] {
  const rows = [...text.matchAll(/^\| `(stepup_\w+)` \| (counter|gauge|histogram) \| (.*?) ?\| .+ \|$/gm)];
  return rows.map(([, metric = '', type = '', labels = '']) => ({
    metric,
    type: type as MetricRow['type'],
    labels: new Map(labels === '' ? [] : labels.split('; ').map(labelOf)),
    isEverywhere,
  }));
}

/** "`name`: `one` `two`", or "`name`: a policy". */
function labelOf(text: string): readonly [string, ReadonlySet<string>] {
  const [, name = '', said = ''] = /^`(\w+)`: (.+)$/.exec(text) ?? [];
  if (name === '') throw new Error(`docs/metrics.md: this is no label: ${text}`);
  const values = said.replaceAll(/`[^`]+`/g, '').trim() === '' ? [...said.matchAll(/`([^`]+)`/g)] : [];
  return [name, new Set(values.map(([, value = '']) => value))];
}
