// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a storm draws comes again with its seed, and what comes in turn leaves nothing out.
import { expect, test } from 'vitest';
import { disturbanceNames, disturbanceOf } from './disturbances.ts';
import { kinds } from './kinds.ts';
import { randomOf } from './random.ts';
import { toldBy } from './requests.ts';

test('every kind of change meets every disturbance within 350 rounds', () => {
  const pairs = Array.from(
    { length: 350 },
    (_, round) => `${kinds[round % kinds.length]?.name} ${disturbanceOf(round)}`,
  );
  expect(new Set(pairs).size).toBe(kinds.length * disturbanceNames.length);
});

test('the same seed draws the same requests, another seed or round others', () => {
  const drawn = (seed: number, round: number) =>
    kinds.map((kind) => JSON.stringify(kind.mix(kind.placeOf('1'), 50, randomOf(seed, round))));
  expect(drawn(1, 1)).toEqual(drawn(1, 1));
  for (const [index, mix] of drawn(1, 1).entries()) {
    expect(drawn(2, 1)[index]).not.toBe(mix);
    expect(drawn(1, 2)[index]).not.toBe(mix);
  }
});

test('seven of ten requests are identical in effect, and the others differ in name, content or account', () => {
  for (const kind of kinds) {
    const place = kind.placeOf('1');
    const mix = kind.mix(place, 100, randomOf(1, 1));
    expect(mix.length).toBe(100);
    const identical = mix.filter(({ isIdentical }) => isIdentical);
    expect(identical.length).toBe(kind.name === 'target' ? 80 : 70);
    expect(identical.filter(({ by }) => by !== 'deployer')).toEqual([]);
    expect(mix.filter(({ by }) => by === 'stranger').length).toBe(10);
  }
});

test.each([
  [200, '', 'passed'],
  [403, 'admission webhook "a" denied the request: stepup: p requires approval. Approval ns/p-1. Approve: …', 'denied'],
  [403, 'admission webhook "a" denied the request: stepup: p: the decision failed.', 'undecided'],
  [403, 'deployments is forbidden', 'failed'],
  [409, 'the object has been modified', 'conflict'],
  [404, 'not found', 'conflict'],
  [500, 'failed calling webhook "gate.stepup.dev": EOF', 'failed'],
])('an answer %s "%s" counts as %s', (code, message, kind) => {
  expect(toldBy({ code, headers: {}, body: { message } }).kind).toBe(kind);
});
