// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make model: explores the scenarios in large, with progress, and prints the table. With --small as make test does, with
// other words only the scenarios whose names contain one, with --effects only for the promise of one effect. Ends at the
// first broken promise, with exit code 1.
import { heading, lineOf, runScenario } from './run.ts';
import { enlarged, scenarios } from './scenarios.ts';
import { oneEffect } from './world.ts';

const args = process.argv.slice(2);
const isSmall = args.includes('--small');
const only = args.includes('--effects') ? { only: oneEffect } : {};
const words = args.filter((arg) => !arg.startsWith('--'));
const wanted = scenarios.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));

process.stdout.write(`${heading}\n`);
for (const scenario of isSmall ? wanted : wanted.map(enlarged)) {
  const progress = (line: string) => process.stderr.write(`  ${scenario.name}: ${line}\n`);
  const run = await runScenario(scenario, { progress, mostStates: 20_000_000, ...only });
  process.stdout.write(`${lineOf(run)}\n`);
  if (run.violation !== undefined) {
    process.stdout.write(`broken: ${run.violation.promise}\n  ${run.violation.trace.join('\n  ')}\n`);
    process.exitCode = 1;
    break;
  }
}
