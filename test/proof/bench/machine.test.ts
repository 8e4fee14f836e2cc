// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reading /proc as it is documented.
import { expect, test } from 'vitest';
import { busySecondsIn, cpuSecondsIn } from './machine.ts';

test('CPU time follows a name that may hold spaces and parentheses', () => {
  const stat = '42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 700 30 20 0 1 0 100 0 0';
  expect(cpuSecondsIn(stat, { children: false })).toBe(3);
  expect(cpuSecondsIn(stat, { children: true })).toBe(10.3);
});

test('busy time leaves out idle, waiting, stolen and guest time', () => {
  expect(busySecondsIn('cpu  100 20 30 9999 888 7 3 77 66 55\ncpu0 1 1 1 1\n')).toBe(1.6);
});
