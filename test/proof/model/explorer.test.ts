// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The explorer itself, on worlds small enough to count by hand.
import { describe, expect, test } from 'vitest';
import { explore, type Model } from './explorer.ts';

/** Two counters that go up to three, each by itself. */
function counters(broken: (a: number, b: number) => boolean): Model<readonly [number, number]> {
  return {
    initial: [0, 0],
    keyOf: ([a, b]) => `${a} ${b}`,
    broken: ([a, b]) => (broken(a, b) ? `${a} and ${b}` : undefined),
    async steps([a, b]) {
      return [
        ...(a < 3 ? [{ label: () => 'a', world: [a + 1, b] as const, sights: ['a went up'] }] : []),
        ...(b < 3 ? [{ label: () => 'b', world: [a, b + 1] as const }] : []),
      ];
    },
  };
}

describe('the explorer', () => {
  test('visits every world once, by every interleaving', async () => {
    const { states, transitions, depth, sights, violation } = await explore(counters(() => false));
    expect({ states, transitions, depth, violation }).toEqual({ states: 16, transitions: 24, depth: 6 });
    expect([...sights]).toEqual([['a went up', 12]]);
  });

  test('tells the shortest way to a broken promise', async () => {
    const { violation } = await explore(counters((a, b) => a === 1 && b === 2));
    expect(violation).toEqual({ promise: '1 and 2', trace: ['a', 'b', 'b'] });
  });

  test('gives up on a model that is larger than allowed', async () => {
    await expect(
      explore(
        counters(() => false),
        { mostStates: 10 },
      ),
    ).rejects.toThrow('more than 10 states');
  });
});
