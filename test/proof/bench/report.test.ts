// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The document that the benchmark writes.
import { expect, test } from 'vitest';
import { documentOf, goalTable } from './report.ts';
import type { Goal, Row } from './row.ts';

const row: Row = { id: '9', title: 'Speed', method: 'With a clock.', run: () => Promise.reject(new Error('not run')) };
const goal = (isMet: boolean): Goal => ({ what: 'laps', goal: '≥ 2', measured: '1', isMet, otherwise: 'Tired.' });
const resultsWith = (isMet: boolean) => [{ row, result: { goals: [goal(isMet)], tables: [], raw: {} } }];
const run = {
  date: '2026-01-01',
  machine: 'one',
  versions: ['Node 24'],
  generator: 'wrk',
  rounds: 3,
  seconds: 4,
  memory: { limit: '256Mi', isHeld: true },
  rawFile: 'benchmarks/2026-01-01.json',
};

test('a goal is a line of the table', () => {
  expect(goalTable(resultsWith(true))).toEqual([
    '| row | what | goal | measured |  |',
    '| --- | --- | --- | --- | --- |',
    '| 9 | laps | ≥ 2 | 1 | met |',
  ]);
});

test('what stops a goal is said when it is not met, and only then', () => {
  expect(documentOf({ ...run, results: resultsWith(false) })).toContain('- Row 9, laps: Tired.');
  expect(documentOf({ ...run, results: resultsWith(true) })).not.toContain('Tired.');
});
