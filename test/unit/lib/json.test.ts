// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// When two values are the same once they are sent.
import { expect, test } from 'vitest';
import { isSameAsSent } from '../../../src/lib/json.ts';

test.each([
  ['members in another order', true, { a: 1, b: [2] }, { b: [2], a: 1 }],
  ['a member that is undefined, and none', true, { a: 1, b: undefined }, { a: 1 }],
  ['a member that is null, and none', false, { a: 1, b: null }, { a: 1 }],
  ['an empty object, and none', false, { a: 1, b: {} }, { a: 1 }],
  ['items in another order', false, { a: [1, 2] }, { a: [2, 1] }],
  ['a text and an object', false, 'a', { a: 1 }],
])('%s: %s', (_, want, a, b) => {
  expect(isSameAsSent(a, b)).toBe(want);
  expect(isSameAsSent(b, a)).toBe(want);
});
