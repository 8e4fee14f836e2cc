// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which bundles believe which certificates.
import { beforeAll, expect, test } from 'vitest';
import { authorityOf, certificatesIn, serves } from '../../../src/lib/certificate-chain.ts';
import { issueLeaf, makeAuthority, type PemPair } from '../../../src/operator/keys/issue.ts';

const start = new Date('2026-01-01T00:00:00Z');
const hourMs = 3_600_000;
const at = (hours: number) => new Date(start.getTime() + hours * hourMs);

let first: PemPair;
let second: PemPair;
let leaf: PemPair;

beforeAll(async () => {
  first = await makeAuthority(start, 10 * hourMs);
  second = await makeAuthority(at(0.1), 10 * hourMs);
  leaf = await issueLeaf(first, ['stepup.ours.svc'], start, 5 * hourMs);
});

function believed(cert: string, bundle: string, now = at(1)): boolean {
  return authorityOf(certificatesIn(cert), certificatesIn(bundle), now) !== undefined;
}

test('a leaf is believed for the authority that signed it, wherever in the bundle that is', () => {
  expect(believed(leaf.cert, first.cert)).toBe(true);
  expect(believed(leaf.cert, `${second.cert}\n${first.cert}`)).toBe(true);
});

test('a leaf is believed for no other authority, for none, and for none that cannot be read', () => {
  expect(believed(leaf.cert, second.cert)).toBe(false);
  expect(believed(leaf.cert, '')).toBe(false);
  expect(believed(leaf.cert, 'rubbish')).toBe(false);
  expect(believed('', first.cert)).toBe(false);
});

test('another authority of the same name and another key did not sign it', async () => {
  const twin = await makeAuthority(start, 10 * hourMs);
  expect(certificatesIn(twin.cert)[0]?.subject).toBe(certificatesIn(first.cert)[0]?.subject);
  expect(believed(leaf.cert, twin.cert)).toBe(false);
});

test('neither a leaf nor an authority counts outside its time', () => {
  expect(believed(leaf.cert, first.cert, at(4.9))).toBe(true);
  expect(believed(leaf.cert, first.cert, at(5))).toBe(false);
  expect(believed(leaf.cert, first.cert, at(-2))).toBe(false);
  expect(believed(first.cert, first.cert, at(9.9))).toBe(true);
  expect(believed(first.cert, first.cert, at(10))).toBe(false);
});

test('a certificate that the bundle names itself needs no authority', () => {
  expect(believed(leaf.cert, leaf.cert)).toBe(true);
  // What is no authority vouches for nobody else.
  expect(believed(second.cert, leaf.cert)).toBe(false);
});

test('names are looked for among the alternative ones', () => {
  const [certificate] = certificatesIn(leaf.cert);
  expect(certificate && serves(certificate, 'stepup.ours.svc')).toBe(true);
  expect(certificate && serves(certificate, 'stepup.theirs.svc')).toBe(false);
});
