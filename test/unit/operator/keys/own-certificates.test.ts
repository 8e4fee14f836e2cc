// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the keeper writes when the Secret is gone and a new leader has never seen it.

import { expect, test } from 'vitest';
import type { Secret } from '../../../../src/kube/objects/objects.ts';
import { certificatesIn } from '../../../../src/lib/certificate-chain.ts';
import { issueLeaf, makeAuthority } from '../../../../src/operator/keys/issue.ts';
import { OwnCertificates, type OwnCertificatesOptions } from '../../../../src/operator/keys/own-certificates.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

const start = new Date('2026-01-01T00:00:00Z');
const dayMs = 86_400_000;
const names = ['stepup.ours.svc'];

/** What a new leader first writes where there is no Secret, given what its replica serves. */
async function firstWrite(inUse: OwnCertificatesOptions['inUse']): Promise<Readonly<Record<string, string>>> {
  const clock = fakeClock(start);
  const written = Promise.withResolvers<Secret['data']>();
  const keeper = new OwnCertificates({
    client: {
      create: async ({ data }: { readonly data?: Secret['data'] }) => written.resolve(data),
      replace: async () => written.reject(new Error('there is nothing to replace')),
    } as never,
    secrets: {
      objects: { get: () => undefined, values: () => [].values(), size: 0 },
      synced: Promise.resolve(),
      onChange: () => undefined,
    },
    secret: { namespace: 'ours', name: 'tls' },
    names,
    lives: { authorityMs: 365 * dayMs, leafMs: 90 * dayMs, spreadMs: 120_000 },
    inUse,
    isPublished: () => true,
    onBundle: () => undefined,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    clock,
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  const data = await written.promise;
  stop.abort();
  await running;
  return Object.fromEntries(
    Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
  );
}

test('what this replica serves goes on to be served and trusted, beside a new authority', async () => {
  const authority = await makeAuthority(start, 365 * dayMs);
  const leaf = await issueLeaf(authority, names, start, 90 * dayMs);
  const written = await firstWrite(() => ({ authorities: authority.cert, leaf: leaf.cert, leafKey: leaf.key }));
  expect(written['tls.crt']).toBe(leaf.cert);
  const [newest, ...others] = certificatesIn(written['ca.crt'] ?? '').map(String);
  expect(others).toEqual(certificatesIn(authority.cert).map(String));
  expect(newest).not.toBe(others[0]);
});

test.each([
  ['nothing is served', async () => undefined],
  [
    'nobody trusts what is served',
    async () => {
      const leaf = await issueLeaf(await makeAuthority(start, dayMs), names, start, dayMs);
      return { authorities: '', leaf: leaf.cert, leafKey: leaf.key };
    },
  ],
])('where %s, all is made anew at once', async (_, served) => {
  const inUse = await served();
  const written = await firstWrite(() => inUse);
  const authorities = certificatesIn(written['ca.crt'] ?? '');
  const [leaf] = certificatesIn(written['tls.crt'] ?? '');
  expect(authorities).toHaveLength(1);
  expect(leaf && authorities[0] && leaf.checkIssued(authorities[0])).toBe(true);
  expect(written['tls.crt']).not.toBe(inUse?.leaf);
});
