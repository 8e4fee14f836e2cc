// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Everything make test proves, in order of cost: lint, types, generated files, then all tests in one run.
// Leaves the runner's report and one line of counts in test-results/.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const results = 'test-results';
const report = `${results}/report.json`;

const steps: readonly (readonly [string, string, readonly string[]])[] = [
  ['lint', 'biome', ['check', '--error-on-warnings']],
  ['unused code', 'knip', []],
  ['types', 'tsc', ['-p', '.']],
  ['generated types', process.execPath, ['scripts/generate-types.ts', '--check']],
  ['chart CRDs', process.execPath, ['scripts/sync-crds.ts', '--check']],
  ['table of values', process.execPath, ['scripts/values-table.ts', '--check']],
];
const tests = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2)];

rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });
const failedSteps: string[] = [];
for (const [name, command, args] of steps) {
  process.stderr.write(`== ${name}\n`);
  if ((await run(command, args)) !== 0) failedSteps.push(name);
}
process.stderr.write('== tests\n');
const testsCode = await run('vitest', tests);
const counts = countsOf(report);
const passed = counts.passed + steps.length - failedSteps.length;
// A run that ends badly without a failed test (a crashed worker, an unhandled rejection) still counts as one failure.
const crashed = testsCode !== 0 && counts.failed === 0 ? 1 : 0;
const failed = counts.failed + failedSteps.length + crashed;
const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`;
writeFileSync(`${results}/summary.txt`, `${passed} passed, ${failed} failed${skipped}\n`);
for (const name of failedSteps) process.stderr.write(`failed: ${name}\n`);
process.exitCode = failed === 0 && counts.passed > 0 ? 0 : 1;

function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit' });
    child.on('error', () => resolve(127));
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
}

function countsOf(file: string): { readonly passed: number; readonly failed: number; readonly skipped: number } {
  try {
    const counted = JSON.parse(readFileSync(file, 'utf8')) as Report;
    const skipped = counted.numPendingTests + counted.numTodoTests;
    return { passed: counted.numPassedTests, failed: counted.numFailedTests, skipped };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
