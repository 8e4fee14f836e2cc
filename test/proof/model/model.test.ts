// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One effect per approval, and no approval lost: every interleaving of every scenario keeps the promises.
import { expect, test } from 'vitest';
import { heading, lineOf, runScenario } from './run.ts';
import { scenarios } from './scenarios.ts';

process.stdout.write(`${heading}\n`);

test.each(scenarios)('$name', async (scenario) => {
  const run = await runScenario(scenario);
  process.stdout.write(`${lineOf(run)}\n`);
  expect(run.violation).toBeUndefined();
  // A model that never gets to what it is about proves nothing.
  expect(run.unseen).toEqual([]);
});
