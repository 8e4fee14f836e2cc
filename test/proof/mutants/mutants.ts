// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make mutants: breaks a copy of the product in each named way and runs the model and one test on the real API server
// there. Both must notice, for the right reason. Other words: only the mutations whose names contain one; --model leaves
// out the API server.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Mutation, mutated, mutations } from './mutations.ts';

const suite = 'test/proof/mutants/mutants.test.ts';
const secondEffect = 'one approval has had a second effect';
const asItIs = 'as it is';
const leftOut = new Set(['node_modules', '.git', 'dist', '.run', 'test-results']);

interface Finding {
  readonly outcome: 'caught' | 'passes' | 'not run';
  readonly detail: string;
}

const args = process.argv.slice(2);
const isModelOnly = args.includes('--model');
const words = args.filter((arg) => !arg.startsWith('--'));
const wanted = mutations.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
const rows: (readonly [string, Finding, Finding])[] = [];

if (words.length === 0) {
  await inCopy(undefined, async (dir) => {
    const model = await modelIn(dir, asItIs);
    const real = await realIn(dir, asItIs);
    if (model.outcome === 'caught' || real.outcome === 'caught')
      fail(`the product as it is: ${model.detail}; ${real.detail}`);
    rows.push([asItIs, model, real]);
  });
}
for (const mutation of wanted) {
  await inCopy(mutation, async (dir) => {
    rows.push([mutation.name, await modelIn(dir, mutation.name), await realIn(dir, mutation.name, mutation)]);
  });
}

const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => textOf(row[column]).length), 10));
const line = (cells: readonly string[]) =>
  `${cells
    .map((cell, at) => cell.padEnd(widths[at] ?? 0))
    .join('  ')
    .trimEnd()}\n`;
process.stdout.write(line(['mutation', 'the model', 'the test on the real API server']));
for (const row of rows) process.stdout.write(line(row.map(textOf)));
const survivors = rows.filter(
  ([name, ...found]) => name !== asItIs && found.some(({ outcome }) => outcome === 'passes'),
);
if (survivors.length > 0) fail(`survived: ${survivors.map(([name]) => name).join(', ')}`);

function textOf(cell: string | Finding | undefined): string {
  if (cell === undefined || typeof cell === 'string') return cell ?? '';
  return `${cell.outcome}: ${cell.detail}`;
}

/** A copy of the working tree, so that it is never changed itself. */
async function inCopy(mutation: Mutation | undefined, work: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'stepup-mutant-'));
  try {
    cpSync('.', dir, { recursive: true, filter: (path) => !leftOut.has(basename(path)) });
    symlinkSync(join(process.cwd(), 'node_modules'), join(dir, 'node_modules'));
    if (mutation !== undefined) {
      const file = join(dir, mutation.file);
      writeFileSync(file, mutated(readFileSync(file, 'utf8'), mutation));
    }
    await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function modelIn(dir: string, name: string): Promise<Finding> {
  progress(name, 'exploring the model');
  // As it is all promises hold; broken, it must come to a second effect.
  const which = name === asItIs ? [] : ['--effects'];
  const { code, stdout, stderr } = await run(dir, 'node', ['test/proof/model/explore.ts', '--small', ...which]);
  const lines = stdout.trimEnd().split('\n');
  const broken = lines.findIndex((text) => text.startsWith('broken: '));
  if (code === 0) return { outcome: 'passes', detail: `${lines.length - 1} scenarios` };
  if (broken < 1) fail(`the model did not run on "${name}": ${stderr}`);
  const [scenario, states] = (lines[broken - 1] ?? '').split(/ {2,}/);
  const detail = `${lines[broken]?.slice('broken: '.length)} (${scenario}, ${states} states)`;
  return { outcome: 'caught', detail };
}

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly title: string;
      readonly status: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

async function realIn(dir: string, name: string, mutation?: Mutation): Promise<Finding> {
  if (isModelOnly) return { outcome: 'not run', detail: 'left out by --model' };
  progress(name, 'building');
  const built = await run(dir, 'npm', ['run', '--silent', 'build']);
  if (built.code !== 0) fail(`build "${name}": ${built.stderr}`);
  progress(name, mutation === undefined ? 'testing on the real API server' : `testing: ${mutation.test}`);
  const report = join(dir, 'report.json');
  const only = mutation === undefined ? [] : ['-t', mutation.test];
  const args = ['run', '--project', 'proof', suite, '--reporter=json', `--outputFile=${report}`, ...only];
  const { stderr } = await run(dir, 'vitest', args);
  const results = (JSON.parse(readFileSync(report, 'utf8')) as Report).testResults.flatMap((of) => of.assertionResults);
  const passed = results.filter(({ status }) => status === 'passed').length;
  const failed = results.filter(({ status }) => status === 'failed');
  const [first] = failed;
  if (first === undefined) {
    if (passed === 0) fail(`no test ran on "${name}": ${stderr}`);
    return { outcome: 'passes', detail: `${passed} tests` };
  }
  const why = (first.failureMessages ?? []).join('\n');
  // A test that fails for another reason has noticed nothing.
  if (!why.includes(secondEffect)) fail(`"${first.title}" fails on "${name}" for another reason: ${why}`);
  return { outcome: 'caught', detail: `${basename(suite)} › ${first.title}` };
}

function progress(name: string, what: string): void {
  process.stderr.write(`${name}: ${what}\n`);
}

function fail(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

function run(cwd: string, command: string, args: readonly string[]) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on('error', (error) => resolve({ code: 127, stdout, stderr: `${stderr}${error.message}` }));
    child.on('exit', (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}
