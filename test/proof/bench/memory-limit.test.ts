// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A process within a limit takes itself for one in a pod of that size; where no limit can be set, that is said.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { bytesOf, limitMemory } from './memory-limit.ts';

test('quantities as the chart writes them are read, others refused', () => {
  expect(['512Ki', '256Mi', '2Gi'].map(bytesOf)).toEqual([524_288, 268_435_456, 2_147_483_648]);
  for (const quantity of ['256', '256M', '1.5Gi', '']) expect(() => bytesOf(quantity)).toThrow(/want a number/);
});

test('a process is held to the limit, if the machine lets anybody set one', () => {
  const limit = limitMemory(bytesOf('128Mi'));
  const told = ['-e', 'process.stdout.write(String(process.constrainedMemory()))'];
  const outside = execFileSync(process.execPath, told, { encoding: 'utf8' });
  expect(outside).not.toBe('134217728');
  if (limit === undefined) return;
  try {
    const inside = execFileSync('/bin/sh', limit.wrap([process.execPath, ...told]), { encoding: 'utf8' });
    expect(inside).toBe('134217728');
  } finally {
    limit.remove();
  }
});
