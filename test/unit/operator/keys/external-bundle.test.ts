// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which authorities are trusted, and how long, where somebody else issues the certificates.
import { beforeAll, expect, test } from 'vitest';
import { certificatesIn } from '../../../../src/lib/certificate-chain.ts';
import { nextExternalBundle } from '../../../../src/operator/keys/external-bundle.ts';
import { makeAuthority } from '../../../../src/operator/keys/issue.ts';

const now = new Date('2026-01-01T00:00:00Z');
const spreadMs = 120_000;
let authorities: readonly string[];

beforeAll(async () => {
  const made = await Promise.all(
    [0, 1, 2, 3, 4].map((n) => makeAuthority(new Date(now.getTime() - n * 1000), 3_600_000)),
  );
  authorities = made.map(({ cert }) => cert.trim());
});

function step(given: readonly number[], known: readonly number[], publishedForMs?: number, at = now) {
  const text = (numbers: readonly number[]) => numbers.map((n) => authorities[n]).join('\n');
  const next = nextExternalBundle({ given: text(given), known: text(known), publishedForMs, spreadMs }, at);
  const names = authorities.map((pem) => String(certificatesIn(pem)[0]));
  return { bundle: certificatesIn(next.authorities).map((one) => names.indexOf(String(one))), again: next.againInMs };
}

test('the first one is taken as it is given', () => {
  expect(step([0], [])).toEqual({ bundle: [0], again: undefined });
  expect(step([0], [0])).toEqual({ bundle: [0], again: undefined });
});

test('a new one comes before the one that was told so far, which stays until it has been registered long enough', () => {
  expect(step([1], [0], 1_000_000)).toEqual({ bundle: [1, 0], again: 1_000 });
  expect(step([1], [1, 0])).toEqual({ bundle: [1, 0], again: 1_000 });
  expect(step([1], [1, 0], 2 * spreadMs - 5)).toEqual({ bundle: [1, 0], again: 5 });
  expect(step([1], [1, 0], 2 * spreadMs)).toEqual({ bundle: [1], again: undefined });
});

test('where none is given, what was told stays', () => {
  expect(step([], [1, 0])).toEqual({ bundle: [1, 0], again: undefined });
  expect(step([], [])).toEqual({ bundle: [], again: undefined });
});

test('ones that have ended go, and of many only three stay', () => {
  expect(step([4], [0, 1, 2, 3, 0]).bundle).toEqual([4, 0, 1, 2]);
  expect(step([], [0, 1], undefined, new Date(now.getTime() + 3_599_500)).bundle).toEqual([0]);
});
