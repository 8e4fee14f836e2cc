// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes docs/benchmarks.md: what was to be reached, what was, and how it was measured.
import type { Row, RowResult, Table } from './row.ts';

export interface Run {
  readonly date: string;
  readonly machine: string;
  readonly versions: readonly string[];
  readonly generator: string;
  /** The chart's limit of memory, and whether stepup was held to it. */
  readonly memory: { readonly limit: string; readonly isHeld: boolean };
  readonly rounds: number;
  readonly seconds: number;
  /** The raw numbers, relative to the document. */
  readonly rawFile: string;
  readonly results: readonly { readonly row: Row; readonly result: RowResult }[];
}

export function documentOf(run: Run): string {
  const { results } = run;
  const parts = [
    '<!-- SPDX-FileCopyrightText: The stepup authors -->',
    '<!-- SPDX-License-Identifier: Apache-2.0 -->',
    '<!-- Written by make bench; do not edit. -->',
    '# Benchmarks',
    '',
    `Measured on ${run.date} in one run. Numbers compare with each other, not with other machines: read the ratios.`,
    '',
    ...goalTable(results),
    '',
    ...unmet(results),
    '## How it is measured',
    '',
    ...method(run),
    '',
    ...results.flatMap(({ row, result }) => section(row, result)),
  ];
  return parts.join('\n');
}

/** The summary: one line per goal. */
export function goalTable(results: Run['results']): readonly string[] {
  const rows = results.flatMap(({ row, result }) =>
    result.goals.map(({ what, goal, measured, isMet }) => [
      row.id,
      what,
      goal,
      measured,
      isMet ? 'met' : '**not met**',
    ]),
  );
  return tableLines({ caption: '', head: ['row', 'what', 'goal', 'measured', ''], rows });
}

function unmet(results: Run['results']): readonly string[] {
  const missed = results.flatMap(({ row, result }) =>
    result.goals.filter(({ isMet }) => !isMet).map(({ what, otherwise }) => ({ id: row.id, what, otherwise })),
  );
  if (missed.length === 0) return [];
  const lines = missed.map(({ id, what, otherwise }) => `- Row ${id}, ${what}: ${otherwise ?? 'not known yet.'}`);
  return ['## What is not met, and what stops it', '', ...lines, ''];
}

function method(run: Run): readonly string[] {
  return [
    '<!-- not run here: takes minutes and a quiet machine -->',
    '```sh',
    'make bench                        # everything; writes this file and the raw numbers',
    'npm run bench -- --rows 2,2b --rounds 1 --seconds 2   # some rows, for a look',
    '```',
    '',
    `- Machine: ${run.machine}. API server, etcd, webhook and load generator share its cores.`,
    `- Versions: ${run.versions.join(', ')}.`,
    `- Load: ${run.generator}, one process, HTTP/1.1 keep-alive, as a service account with a token; ${run.rounds} rounds of ${run.seconds} s per cell after 1 s of warm-up, ` +
      'the order rotated and reversed between rounds. Shown are medians; a ratio is the median of the ratios within each round.',
    '- A cell during which everybody else on the machine used more than a quarter of a core is marked as disturbed, and left out of medians where the others suffice.',
    '- Real kube-apiserver, etcd and kube-controller-manager with RBAC and an audit log, all on loopback. Webhooks are called as in a cluster: through a Service ' +
      '(ExternalName to loopback), so over HTTP/1.1, with ECDSA P-256 keys. All webhook configurations stand all the time; a cell chooses its webhook by namespace.',
    "- stepup is what the chart renders: its arguments, its account, the image's entrypoint; one replica, which is the leader too. " +
      `Its memory limit of ${run.memory.limit} ${run.memory.isHeld ? 'holds here as well, by a cgroup' : 'could not be set here, so V8 takes what the machine has'}.`,
    `- Raw numbers: [${run.rawFile}](${run.rawFile}).`,
  ];
}

function section(row: Row, result: RowResult): readonly string[] {
  const tables = result.tables.flatMap((table) => [`**${table.caption}**`, '', ...tableLines(table), '']);
  return [`## Row ${row.id}: ${row.title}`, '', row.method, '', ...tables];
}

function tableLines({ head, rows }: Table): readonly string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
