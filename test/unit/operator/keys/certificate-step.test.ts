// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The steps of the certificates' life, each from one state, and a whole rotation in its order.
import { beforeAll, describe, expect, test } from 'vitest';
import { certificatesIn } from '../../../../src/lib/certificate-chain.ts';
import { type CertificateState, nextCertificateStep } from '../../../../src/operator/keys/certificate-step.ts';
import { issueLeaf, makeAuthority, type PemPair, serviceNames } from '../../../../src/operator/keys/issue.ts';

const start = new Date('2026-01-01T00:00:00Z');
const names = serviceNames('stepup', 'stepup-system');
const dayMs = 24 * 3_600_000;
const inDays = (days: number) => new Date(start.getTime() + days * dayMs);
const [yearMs, quarterMs, spreadMs] = [365 * dayMs, 90 * dayMs, 120_000];

let first: PemPair;
let second: PemPair;
let leaf: PemPair;
let leafOfSecond: PemPair;
let leafOfOtherNames: PemPair;

beforeAll(async () => {
  first = await makeAuthority(start, yearMs);
  second = await makeAuthority(inDays(250), yearMs);
  leaf = await issueLeaf(first, names, start, quarterMs);
  leafOfSecond = await issueLeaf(second, names, inDays(250), quarterMs);
  leafOfOtherNames = await issueLeaf(first, ['other.stepup-system.svc'], start, quarterMs);
});

/** One authority, its leaf, everywhere published. */
function settled(): CertificateState['stored'] {
  return { authorities: first.cert, authorityKey: first.key, leaf: leaf.cert, leafKey: leaf.key };
}

describe('the next step', () => {
  test.each<{
    given: string;
    stored: () => Partial<CertificateState['stored']>;
    published?: number | undefined;
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
      published: undefined,
      want: 'AwaitBundle',
    },
    {
      given: 'a leaf in its last third, the bundle everywhere since a moment',
      stored: () => ({}),
      day: 61,
      published: spreadMs - 1,
      want: 'AwaitBundle',
    },
    {
      given: 'a leaf in its last sixth, the bundle not everywhere',
      stored: () => ({}),
      day: 76,
      published: undefined,
      want: 'IssueLeaf',
    },
    {
      given: 'an expired leaf, the bundle not everywhere',
      stored: () => ({}),
      day: 91,
      published: undefined,
      want: 'IssueLeaf',
    },
    { given: 'an authority in its last third', stored: () => ({}), day: 250, want: 'MakeAuthority' },
  ])('$given: $want', ({ stored, day = 1, want, ...given }) => {
    const publishedForMs = 'published' in given ? given.published : spreadMs;
    const state = { stored: { ...settled(), ...stored() }, names, publishedForMs, spreadMs };
    expect(nextCertificateStep(state, inDays(day)).kind).toBe(want);
  });

  test('a new authority goes in front of the one that still vouches for the leaf', () => {
    const state = { stored: { ...settled(), authorityKey: '' }, names, publishedForMs: spreadMs, spreadMs };
    expect(nextCertificateStep(state, inDays(1))).toEqual({ kind: 'MakeAuthority', keep: pems(first) });
  });

  test('a new authority goes in front of the others by which a replica may still serve, of which no more than three are kept', async () => {
    const others = await Promise.all([3, 2, 1].map((day) => makeAuthority(inDays(day), yearMs)));
    const authorities = [...others, first].map(({ cert }) => cert).join('\n');
    const state = {
      stored: { ...settled(), authorities, authorityKey: '' },
      names,
      publishedForMs: spreadMs,
      spreadMs,
    };
    expect(nextCertificateStep(state, inDays(4))).toEqual({
      kind: 'MakeAuthority',
      keep: pems(first, ...others.slice(0, 2)),
    });
    const unusable = { ...state, stored: { ...state.stored, leafKey: '' } };
    expect(nextCertificateStep(unusable, inDays(4))).toEqual({ kind: 'MakeAuthority', keep: [] });
  });

  test('a whole rotation: await, issue, keep both while it spreads, drop the old one', async () => {
    const early = await makeAuthority(inDays(10), yearMs);
    const both = { ...settled(), authorities: `${early.cert}\n${first.cert}\n`, authorityKey: early.key };
    const at = inDays(10);
    const step = (stored: CertificateState['stored'], publishedForMs: number | undefined, now = at) =>
      nextCertificateStep({ stored, names, publishedForMs, spreadMs }, now);
    expect(step(both, undefined)).toMatchObject({ kind: 'AwaitBundle' });
    expect(step(both, 100_000)).toEqual({ kind: 'AwaitBundle', forMs: 20_000 });
    expect(step(both, spreadMs)).toEqual({ kind: 'IssueLeaf' });
    const fresh = await issueLeaf(early, names, at, quarterMs);
    const served = { ...both, leaf: fresh.cert, leafKey: fresh.key };
    const spreadAt = new Date(at.getTime() + spreadMs);
    expect(step(served, spreadMs)).toEqual({ kind: 'Keep', until: spreadAt });
    expect(step(served, spreadMs, spreadAt)).toEqual({ kind: 'DropOldAuthorities', keep: pems(early) });
    expect(step({ ...served, authorities: early.cert }, spreadMs, spreadAt).kind).toBe('Keep');
  });

  test('lives of a minute are renewed in their last third too, whatever they are backdated by', async () => {
    const minute = 60_000;
    const authority = await makeAuthority(start, minute);
    const pair = await issueLeaf(authority, names, start, minute / 2);
    const stored = { authorities: authority.cert, authorityKey: authority.key, leaf: pair.cert, leafKey: pair.key };
    const at = (seconds: number) =>
      nextCertificateStep(
        { stored, names, publishedForMs: 5_000, spreadMs: 5_000 },
        new Date(start.getTime() + seconds * 1000),
      );
    expect(at(19)).toEqual({ kind: 'Keep', until: new Date(start.getTime() + 20_000) });
    expect(at(20).kind).toBe('IssueLeaf');
    expect(at(40).kind).toBe('MakeAuthority');
  });

  test('no leaf outlives its authority', async () => {
    const late = await issueLeaf(first, names, inDays(300), quarterMs);
    expect(certificatesIn(late.cert)[0]?.validToDate).toEqual(inDays(365));
  });
});

function pems(...pairs: readonly PemPair[]) {
  return pairs.map(({ cert }) => certificatesIn(cert)[0]?.toString());
}
