// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The steps of the certificates' life, each from one state, and a whole rotation in its order.
import { beforeAll, describe, expect, test } from 'vitest';
import { type CertificateState, certificatesIn, nextCertificateStep } from '../../src/operator/certificate-step.ts';
import { issueLeaf, makeAuthority, type PemPair, serviceNames } from '../../src/operator/certificates.ts';

const start = new Date('2026-01-01T00:00:00Z');
const names = serviceNames('stepup', 'stepup-system');
const inDays = (days: number) => new Date(start.getTime() + days * 24 * 3_600_000);

let first: PemPair;
let second: PemPair;
let leaf: PemPair;
let leafOfSecond: PemPair;
let leafOfOtherNames: PemPair;

beforeAll(async () => {
  first = await makeAuthority(start);
  second = await makeAuthority(inDays(250));
  leaf = await issueLeaf(first, names, start);
  leafOfSecond = await issueLeaf(second, names, inDays(250));
  leafOfOtherNames = await issueLeaf(first, ['other.stepup-system.svc'], start);
});

/** One authority, its leaf, everywhere published. */
function settled(): CertificateState['stored'] {
  return { authorities: first.cert, authorityKey: first.key, leaf: leaf.cert, leafKey: leaf.key };
}

describe('the next step', () => {
  test.each<{
    given: string;
    stored: () => Partial<CertificateState['stored']>;
    published?: boolean;
    day?: number;
    want: string;
  }>([
    {
      given: 'nothing at all',
      stored: () => ({ authorities: '', authorityKey: '', leaf: '', leafKey: '' }),
      want: 'MakeAuthority',
    },
    { given: 'everything young', stored: () => ({}), want: 'Keep' },
    { given: 'an authority without its key', stored: () => ({ authorityKey: '' }), want: 'MakeAuthority' },
    {
      given: "an authority with another one's key",
      stored: () => ({ authorityKey: second.key }),
      want: 'MakeAuthority',
    },
    { given: 'an authority that cannot be read', stored: () => ({ authorities: 'rubbish' }), want: 'MakeAuthority' },
    { given: 'no leaf', stored: () => ({ leaf: '', leafKey: '' }), want: 'IssueLeaf' },
    { given: 'a leaf that cannot be read', stored: () => ({ leaf: leaf.cert.slice(0, 200) }), want: 'IssueLeaf' },
    { given: "a leaf with another one's key", stored: () => ({ leafKey: second.key }), want: 'IssueLeaf' },
    {
      given: 'a leaf for other names',
      stored: () => ({ leaf: leafOfOtherNames.cert, leafKey: leafOfOtherNames.key }),
      want: 'IssueLeaf',
    },
    {
      given: 'a leaf by an unknown authority',
      stored: () => ({ leaf: leafOfSecond.cert, leafKey: leafOfSecond.key }),
      want: 'IssueLeaf',
    },
    { given: 'a leaf just before its last third', stored: () => ({}), day: 59, want: 'Keep' },
    { given: 'a leaf in its last third', stored: () => ({}), day: 61, want: 'IssueLeaf' },
    {
      given: 'a leaf in its last third, the bundle not everywhere',
      stored: () => ({}),
      day: 61,
      published: false,
      want: 'AwaitBundle',
    },
    {
      given: 'an expired leaf, the bundle not everywhere',
      stored: () => ({}),
      day: 91,
      published: false,
      want: 'IssueLeaf',
    },
    { given: 'an authority in its last third', stored: () => ({}), day: 250, want: 'MakeAuthority' },
  ])('$given: $want', ({ stored, published = true, day = 1, want }) => {
    const state = { stored: { ...settled(), ...stored() }, names, isBundlePublished: published };
    expect(nextCertificateStep(state, inDays(day)).kind).toBe(want);
  });

  test('a new authority goes in front of the one that still vouches for the leaf', () => {
    const state = { stored: { ...settled(), authorityKey: '' }, names, isBundlePublished: true };
    expect(nextCertificateStep(state, inDays(1))).toEqual({
      kind: 'MakeAuthority',
      keep: [certificatesIn(first.cert)[0]?.toString()],
    });
  });

  test('a whole rotation: await, issue, keep both while it spreads, drop the old one', async () => {
    const early = await makeAuthority(inDays(10));
    const both = { ...settled(), authorities: `${early.cert}\n${first.cert}\n`, authorityKey: early.key };
    const at = inDays(10);
    const step = (stored: CertificateState['stored'], isBundlePublished: boolean, now = at) =>
      nextCertificateStep({ stored, names, isBundlePublished }, now);
    expect(step(both, false)).toEqual({ kind: 'AwaitBundle' });
    expect(step(both, true)).toEqual({ kind: 'IssueLeaf' });
    const fresh = await issueLeaf(early, names, at);
    const served = { ...both, leaf: fresh.cert, leafKey: fresh.key };
    const spreadAt = new Date(at.getTime() + 10 * 60_000);
    expect(step(served, true)).toEqual({ kind: 'Keep', until: spreadAt });
    expect(step(served, true, spreadAt)).toEqual({
      kind: 'DropOldAuthorities',
      keep: [certificatesIn(early.cert)[0]?.toString()],
    });
    expect(step({ ...served, authorities: early.cert }, true, spreadAt).kind).toBe('Keep');
  });
});
