// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The mutations still fit the sources, so that make mutants does not find out years later.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mutated, mutations } from './mutations.ts';

const suite = readFileSync('test/proof/mutants/mutants.test.ts', 'utf8');

test.each(mutations)('$name fits one place of $file, and its test is there', (mutation) => {
  const source = readFileSync(mutation.file, 'utf8');
  expect(mutated(source, mutation)).not.toBe(source);
  expect(suite).toContain(`'${mutation.test}'`);
});

test('a mutation that fits nowhere, or twice, is refused', () => {
  const [mutation] = mutations;
  if (mutation === undefined) throw new Error('there is a mutation');
  expect(() => mutated('', mutation)).toThrow('fits 0 places');
  expect(() => mutated(mutation.from + mutation.from, mutation)).toThrow('fits 2 places');
});
