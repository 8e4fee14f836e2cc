// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Digests are stored and compared across releases: what they were is written down.
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/lib/digest.ts';
import type { Json } from '../../../src/lib/json.ts';

describe('the digest of a value', () => {
  test.each<[string, Json, string]>([
    ['null', null, '74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b'],
    [
      'an object',
      { b: [1, 'x', null], a: { d: true, c: 1.5 } },
      'f3827ad7a9f4f3dd18d55f050458842360534516b7968ae1fe9338a8f777c8e7',
    ],
    [
      'odd keys',
      { '10': 1, '9': 2, 'a/b': 3, '"': '\\' },
      '7131cff9be28291f944b93457c547e9d9082a066d00a77ac7ea52ea301f28ffe',
    ],
    [
      'big integers',
      { z: [9007199254740993n, { 'a/b~': -18446744073709551616n }], a: 9007199254740992n },
      'd32e54a06bbf45237ed494e78cc4e1be4b50694f29ccbbf0b66e6a3d18903376',
    ],
  ])('of %s stays what it was', (_, value, digest) => {
    expect(digestOf(value)).toBe(`sha256:${digest}`);
  });

  test('tell a big integer from its text, and its place from another', () => {
    const values: readonly Json[] = [
      { a: 9007199254740993n },
      { a: '9007199254740993' },
      { a: [9007199254740993n, '9007199254740993'] },
      { a: ['9007199254740993', 9007199254740993n] },
    ];
    expect(new Set(values.map(digestOf)).size).toBe(values.length);
  });
});
