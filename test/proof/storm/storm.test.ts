// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A hundred rounds of a storm: identical and different requests race for one approval, and etcd's history is counted.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { disturbanceNames } from './disturbances.ts';
import { kinds } from './kinds.ts';
import { lineOf, runStorm } from './storm.ts';
import { type Lab, startLab } from './storm-lab.ts';

const seed = 20_260_101;
let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.stop());

test('one approval never has two effects, none is lost, and nothing is wrongly denied', {
  timeout: 900_000,
}, async () => {
  const totals = await runStorm(lab, { seed, rounds: 100, requests: 50, traces: 'test-results/storm' });
  process.stdout.write(`\nstorm: ${lineOf(totals)}, seed ${seed}\n`);
  expect(totals.violations).toEqual([]);
  const { rounds, winners, doubleEffects, uncovered, lost, wrongDenials } = totals;
  expect({ rounds, doubleEffects, uncovered, lost, wrongDenials }).toEqual({
    ...{ rounds: 100, doubleEffects: 0, uncovered: 0, lost: 0, wrongDenials: 0 },
  });
  // Whoever counts nothing finds nothing wrong either.
  expect(winners).toBe(totals.approvals - totals.unconfirmed);
  expect(Object.keys(totals.disturbances).sort()).toEqual([...disturbanceNames].sort());
  expect(Object.keys(totals.kinds).sort()).toEqual(kinds.map(({ name }) => name).sort());
  expect(totals.diedReserving).toBeGreaterThan(0);
  expect(Object.values(totals.reviews).filter((count) => count > 0).length).toBe(3);
});
