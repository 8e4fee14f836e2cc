// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make bench: measures the product against its goals and against always-allow webhooks, and writes docs/benchmarks.md.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeTool } from '../../support/control-plane/tools.ts';
import { startLab } from './bench-lab.ts';
import { findGenerator, installWrk } from './load.ts';
import { describeMachine } from './machine.ts';
import { documentOf, goalTable } from './report.ts';
import type { Row, RowResult } from './row.ts';
import { consuming } from './row-consuming.ts';
import { direct } from './row-direct.ts';
import { expiry } from './row-expiry.ts';
import { fromMemory } from './row-from-memory.ts';
import { idle } from './row-idle.ts';
import { many } from './row-many.ts';
import { retry } from './row-retry.ts';
import { start } from './row-start.ts';
import { storm } from './row-storm.ts';
import { ungated } from './row-ungated.ts';

const rows: readonly Row[] = [start, idle, fromMemory, direct, ungated, consuming, storm, retry, expiry, many];
const root = fileURLToPath(new URL('../../../', import.meta.url));

const help = `Usage: npm run bench -- [options]

  --rows LIST     rows of the goals: ${rows.map(({ id }) => id).join(',')} (default: all)
  --without LIST  all rows but these; the document names them as not measured
  --rounds N      rounds of alternated cells (default 3)
  --seconds N     seconds per cell (default 5)
  --quick         one round of 1 s, and fewer of everything; only shows that it works
  --profile DIR   write CPU profiles of stepup there
  --help          this text

All rows together write docs/benchmarks.md and docs/benchmarks/<date>.json; fewer, and --quick, write to test-results/bench/.
Exits with 1 only when something could not be measured.
`;

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    without: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(help);
else await main();

async function main(): Promise<void> {
  const leftOut = values.without?.split(',') ?? [];
  const wanted = values.rows?.split(',') ?? rows.map(({ id }) => id);
  const unknown = [...wanted, ...leftOut].filter((id) => !rows.some((row) => row.id === id));
  if (unknown.length > 0) throw new Error(`--rows, --without: there is no row ${unknown.join(', ')}`);
  const isQuick = values.quick;
  const plan = {
    rounds: wholeNumber('rounds', values.rounds ?? (isQuick ? '1' : '3')),
    seconds: wholeNumber('seconds', values.seconds ?? (isQuick ? '1' : '5')),
    isQuick,
  };
  if (!existsSync(`${root}dist/stepup.mjs`)) throw new Error('read dist/stepup.mjs: run npm run build first');
  const generator = findGenerator();
  if (generator === 'node') {
    say(
      `wrk is not installed (${installWrk}); a Node program makes the load, which is weaker and takes more of the machine`,
    );
  }
  const lab = await startLab(plan, { profile: values.profile, say });
  try {
    const results = [];
    for (const row of rows.filter(({ id }) => wanted.includes(id))) {
      say(`row ${row.id}: ${row.title}`);
      const measured = leftOut.includes(row.id)
        ? notMeasured('it was left out of this run')
        : await row.run(lab).catch(notMeasured);
      results.push({ row, result: measured });
    }
    const isWhole = wanted.length === rows.length && !isQuick;
    const folder = isWhole ? `${root}docs/` : `${root}test-results/bench/`;
    const date = new Date().toISOString().slice(0, 10);
    const rawFile = `benchmarks/${date}.json`;
    const about = {
      date,
      machine: describeMachine(),
      versions: versions(),
      generator: generatorName(generator),
      memory: lab.stepup.memory,
      ...plan,
    };
    const raw = { ...about, rows: Object.fromEntries(results.map(({ row, result }) => [row.id, result.raw])) };
    write(`${folder}${rawFile}`, `${JSON.stringify(raw, rounded)}\n`);
    write(`${folder}benchmarks.md`, documentOf({ ...about, rawFile, results }));
    process.stdout.write(`${goalTable(results).join('\n')}\n`);
    say(`written: ${folder}benchmarks.md`);
  } finally {
    await lab.stop();
  }
}

/** What the other rows have told is not lost with one of them. */
function notMeasured(error: unknown): RowResult {
  const [why = ''] = String(error).split('\n');
  say(`not measured: ${why}`);
  process.exitCode = 1;
  const goal = { what: 'the whole row', goal: 'measured', measured: 'no', isMet: false, otherwise: why.slice(0, 300) };
  return { goals: [goal], tables: [], raw: { error: why } };
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new Error(`--${name}: cannot read ${JSON.stringify(text)}`);
  return Number(text);
}

/** Raw numbers need no more digits than a clock has. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 10_000) / 10_000 : value;
}

function versions(): readonly string[] {
  const kubernetes = describeTool('kube-apiserver').cacheKey.split('-')[0];
  const go = execFileSync('go', ['version'], { encoding: 'utf8' }).split(' ')[2];
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  return [`stepup at ${commit}`, `Kubernetes ${kubernetes}`, `Node ${process.version}`, `Go ${go?.slice(2)}`];
}

function generatorName(generator: 'wrk' | 'node'): string {
  return generator === 'wrk' ? 'wrk 4' : 'a Node program (wrk is not installed)';
}
