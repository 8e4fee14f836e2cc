// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which certificate a replica serves, when it takes the next one, and what readiness says of it.

import { Registry } from 'prom-client';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { statusError } from '../../../src/kube/http/api-error.ts';
import type { Secret } from '../../../src/kube/objects/objects.ts';
import { certificatesIn } from '../../../src/lib/certificate-chain.ts';
import { issueLeaf, makeAuthority, type PemPair } from '../../../src/operator/keys/issue.ts';
import { certificateMetrics } from '../../../src/replica/certificate-metrics.ts';
import { loadPair } from '../../../src/replica/key-pair.ts';
import type { RegisteredBundle } from '../../../src/replica/registered-bundles.ts';
import { ServingCertificate } from '../../../src/replica/serving-certificate.ts';
import { fakeClock } from '../../support/fakes/fake-clock.ts';

const start = new Date('2026-01-01T00:00:00Z');
const dayMs = 86_400_000;
const serverName = 'stepup.ours.svc';
const settleMs = 60_000;
/** Of the certificate that most tests begin with. */
const oldMs = 10 * 60_000;

let first: PemPair;
let second: PemPair;
let old: PemPair;
let next: PemPair;
let elsewhere: PemPair;

beforeAll(async () => {
  first = await makeAuthority(start, 365 * dayMs);
  second = await makeAuthority(new Date(start.getTime() + 1000), 365 * dayMs);
  old = await issueLeaf(first, [serverName], start, oldMs);
  next = await issueLeaf(second, [serverName], start, 2 * dayMs);
  elsewhere = await issueLeaf(first, ['other.ours.svc'], start, 2 * dayMs);
});

let writes = 0;

function secret(data: Readonly<Record<string, string>>): Secret {
  writes += 1;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'tls', namespace: 'ours', uid: 'u', resourceVersion: `${writes}`, creationTimestamp: '' },
    type: 'kubernetes.io/tls',
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  };
}

const holding = ({ cert, key }: PemPair, authority = first) =>
  secret({ 'tls.crt': cert, 'tls.key': key, 'ca.crt': authority.cert });

test('a pair is read from a Secret, or what is wrong with it is said', () => {
  expect(loadPair(holding(old))).toMatchObject({ pair: { cert: old.cert, key: old.key } });
  expect(loadPair(undefined)).toBe('it does not exist');
  expect(loadPair(secret({ 'tls.key': old.key }))).toBe('tls.crt is missing');
  expect(loadPair(secret({ 'tls.crt': old.cert }))).toBe('tls.key is missing');
  expect(loadPair(secret({ 'tls.crt': old.cert, 'tls.key': next.key }))).toBe('tls.key does not belong to tls.crt');
  expect(loadPair(secret({ 'tls.crt': 'x', 'tls.key': 'y' }))).toBe('tls.crt or tls.key is not PEM');
  expect(loadPair(secret({ 'tls.crt': old.cert, 'tls.key': 'y' }))).toBe('tls.crt or tls.key is not PEM');
});

/** A replica whose Secret and registered bundles the test writes. */
function replica() {
  const clock = fakeClock(start);
  const used: string[] = [];
  const handlers: (() => void)[] = [];
  let items: readonly Secret[] = [];
  let selector: string | undefined;
  const registered = { hasSynced: true, known: [] as readonly RegisteredBundle[], unchangedSinceMs: 0 };
  const certificate = new ServingCertificate({
    secrets: {
      async page({ fieldSelector }) {
        selector = fieldSelector;
        return { metadata: { resourceVersion: '1' }, items: [...items] };
      },
      async watch() {
        // Has the Secret listed again.
        throw statusError('watch', 410, {});
      },
    },
    namespace: 'ours',
    name: 'tls',
    serverName,
    registered: {
      get hasSynced() {
        return registered.hasSynced;
      },
      bundles: () => registered.known,
      get unchangedSinceMs() {
        return registered.unchangedSinceMs;
      },
      onChange: (handler) => handlers.push(handler),
    },
    settleMs,
    onCertificate: ({ cert }) => used.push(cert),
    clock,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const stop = new AbortController();
  const running = certificate.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await clock.advance(10_000);
    await running;
  });
  return {
    clock,
    certificate,
    used,
    registered,
    selector: () => selector,
    /** What the Secret holds from now on; a list is tried again within 10 s. */
    write: async (...secrets: readonly Secret[]) => {
      items = secrets;
      await clock.advance(10_000);
    },
    register: (...bundles: readonly string[]) => {
      registered.known = bundles.map((pem) => ({ authorities: certificatesIn(pem), count: 1 }));
      registered.unchangedSinceMs = clock.monotonicMs();
      for (const handler of handlers) handler();
    },
  };
}

test('the first one is served at once, and an unusable one leaves it in place', async () => {
  const { certificate, used, write, clock, selector } = replica();
  expect(certificate.problems()).toEqual(['secret ours/tls has not been read yet']);
  expect(certificate.inUse()).toBeUndefined();
  await write(holding(old));
  expect([selector(), used, certificate.problems()]).toEqual(['metadata.name=tls', [old.cert], []]);
  await write(secret({}));
  await write();
  expect([used, certificate.problems()]).toEqual([[old.cert], []]);
  await clock.advance(oldMs);
  expect(certificate.problems()).toEqual(['the serving certificate expired at 2026-01-01T00:10:00.000Z']);
});

test('one by an authority that is not registered waits until it is, and until API servers have heard of it', async () => {
  const { certificate, used, write, register, clock } = replica();
  register(first.cert, first.cert);
  await write(holding(old));
  await write(holding(next, second));
  expect(used).toEqual([old.cert]);
  register(`${second.cert}\n${first.cert}`, first.cert);
  await clock.advance(2 * settleMs);
  expect(used).toEqual([old.cert]);
  register(`${second.cert}\n${first.cert}`, `${second.cert}\n${first.cert}`);
  await clock.advance(settleMs - 1_000);
  expect(used).toEqual([old.cert]);
  await clock.advance(1_000);
  expect([used, certificate.problems()]).toEqual([[old.cert, next.cert], []]);
});

test('it waits no longer than what is served is believed', async () => {
  const { used, write, register } = replica();
  register(first.cert, first.cert);
  await write(holding(old));
  await write(holding(next, second));
  register(second.cert, first.cert);
  expect(used).toEqual([old.cert]);
  register(second.cert, second.cert);
  expect(used).toEqual([old.cert, next.cert]);
});

test('it waits no longer than what is served is valid', async () => {
  const { used, write, register, clock } = replica();
  register(first.cert);
  await write(holding(old));
  await write(holding(next, second));
  await clock.advance(oldMs - 60_000);
  expect(used).toEqual([old.cert]);
  await clock.advance(60_000);
  expect(used).toEqual([old.cert, next.cert]);
});

test('one for another name, or one that has ended, does not replace a good one', async () => {
  const { used, write, clock } = replica();
  const young = await issueLeaf(first, [serverName], start, 3 * dayMs);
  await write(holding(young));
  await write(holding(elsewhere));
  await clock.advance(oldMs);
  await write(holding(old));
  expect(used).toEqual([young.cert]);
});

test('is not ready with a certificate for another name', async () => {
  const { certificate, write } = replica();
  await write(holding(elsewhere));
  expect(certificate.problems()).toEqual([`the serving certificate is not for ${serverName}`]);
});

test('is ready where nothing is registered yet, and not before that is known', async () => {
  const { certificate, write, registered } = replica();
  await write(holding(old));
  expect(certificate.problems()).toEqual([]);
  registered.hasSynced = false;
  expect(certificate.problems()).toEqual(['the webhook configurations have not been read yet']);
});

test('is not ready when no configuration believes it; one alone that does not is counted', async () => {
  const { certificate, write, register } = replica();
  const registry = new Registry();
  certificateMetrics(registry, certificate);
  const gauges = async () =>
    (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(await gauges()).toEqual(['stepup_distrusting_configurations 0']);
  await write(holding(old));
  register(first.cert, second.cert);
  expect(certificate.problems()).toEqual([]);
  expect((await gauges()).sort()).toEqual([
    `stepup_certificate_authority_expiry_timestamp_seconds ${(start.getTime() + 365 * dayMs) / 1000}`,
    'stepup_distrusting_configurations 1',
  ]);
  register(second.cert, '');
  expect(certificate.problems()).toEqual([
    "the serving certificate is not from an authority that stepup's webhook configurations name",
  ]);
  expect(await gauges()).toContain('stepup_distrusting_configurations 2');
});

test('tells what it serves and for whom it is believed, so that a lost Secret can be made again', async () => {
  const { certificate, write, register } = replica();
  register(`${second.cert}\n${first.cert}`, first.cert);
  await write(holding(old));
  expect(certificate.inUse()).toEqual({
    leaf: old.cert,
    leafKey: old.key,
    authorities: [second, first].map(({ cert }) => String(certificatesIn(cert)[0])).join(''),
  });
});
