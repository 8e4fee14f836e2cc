// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Explores the scenarios, or those whose name contains an argument, and prints what it saw.
import { explore } from './explorer.ts';
import { modelOf } from './model.ts';
import { scenarios } from './scenarios.ts';

const [wanted = ''] = process.argv.slice(2);
for (const scenario of scenarios.filter(({ name }) => name.includes(wanted))) {
  const progress = (line: string) => process.stderr.write(`${scenario.name}: ${line}\n`);
  const { violation, sights, ...counts } = await explore(modelOf(scenario), { progress });
  progress(JSON.stringify(counts));
  progress(JSON.stringify(Object.fromEntries(sights)));
  if (violation !== undefined) {
    process.exitCode = 1;
    progress(`broken: ${violation.promise}\n  ${violation.trace.join('\n  ')}`);
  }
}
