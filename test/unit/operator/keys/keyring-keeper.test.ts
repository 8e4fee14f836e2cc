// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The keyring: made once, given a new key in time, put back whatever somebody else makes of it.

import { expect, test } from 'vitest';
import type { Secret } from '../../../../src/kube/objects/objects.ts';
import type { ObjectChange } from '../../../../src/kube/watch/reflector.ts';
import { KeyringKeeper } from '../../../../src/operator/keys/keyring-keeper.ts';
import { readKeyring, writeKeyring } from '../../../../src/replica/keyring-secret.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';
import { keptKey } from '../../../support/seals.ts';

const id = { namespace: 'stepup-system', name: 'stepup-keys' };
const dayMs = 86_400_000;

/** The Secret in memory, whose changes the keeper hears of. */
function kept(first?: Secret['data']) {
  const clock = fakeClock();
  const handlers: ((change: ObjectChange<Secret>) => void)[] = [];
  const told: string[] = [];
  let secret: Secret | undefined;
  const put = (data: NonNullable<Secret['data']>) => {
    const metadata = { ...id, uid: 'u', resourceVersion: `${told.length}`, creationTimestamp: '' };
    secret = { apiVersion: 'v1', kind: 'Secret', metadata, data };
    for (const handler of handlers) handler({ type: 'set', object: secret, previous: undefined } as never);
    return secret;
  };
  const remove = () => {
    const gone = secret;
    secret = undefined;
    for (const handler of handlers) handler({ type: 'delete', object: gone } as never);
  };
  if (first !== undefined) put(first);
  const write = (verb: string) => async (object: { readonly data?: Secret['data'] }) => {
    told.push(verb);
    return put(object.data ?? {});
  };
  const note = (level: string) => (_: object, message: string) => told.push(`${level}: ${message}`);
  const keeper = new KeyringKeeper({
    client: { create: write('create'), replace: write('replace') } as never,
    secrets: {
      objects: { get: () => secret, values: () => [secret].filter((one) => one !== undefined).values(), size: 1 },
      synced: Promise.resolve(),
      onChange: (handler) => handlers.push(handler),
    },
    secret: id,
    onRestored: () => told.push('restored'),
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    clock,
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  const keys = () => (secret === undefined ? 'none' : readKeyring(secret));
  const end = () => {
    stop.abort();
    return running;
  };
  return { clock, told, put, remove, keys, stop: end };
}

test('it is made once, and found again by the next leader', async () => {
  const first = kept();
  await first.clock.advance(0);
  expect(first.keys()).toHaveLength(1);
  expect(first.told).toContain('create');
  const next = kept(writeKeyring(first.keys() as never));
  await next.clock.advance(1_000);
  expect(next.keys()).toEqual(first.keys());
  expect(next.told).toEqual([]);
  await Promise.all([first.stop(), next.stop()]);
});

test('after ninety days it has another key, and three at most', async () => {
  const one = kept();
  await one.clock.advance(0);
  const seen = [one.keys() as readonly object[]];
  for (let round = 0; round < 4; round++) {
    // It looks every hour, which is thousands of times.
    await one.clock.leap(90 * dayMs + 3_600_000);
    seen.push(one.keys() as readonly object[]);
  }
  expect(seen.map(({ length }) => length)).toEqual([1, 2, 3, 3, 3]);
  expect(seen[4]?.slice(0, 2)).toEqual(seen[3]?.slice(1));
  expect(one.told).not.toContain('restored');
  await one.stop();
});

test('it is put back when it is deleted, emptied or given other keys', async () => {
  const one = kept();
  await one.clock.advance(0);
  const keys = one.keys();
  const breaks = [
    () => one.remove(),
    () => one.put({}),
    () => one.put(writeKeyring([keptKey()])),
    () => one.put(writeKeyring([...(keys as never[]), keptKey()])),
  ];
  for (const [index, spoil] of breaks.entries()) {
    spoil();
    await one.clock.advance(100);
    expect(one.keys()).toEqual(keys);
    expect(one.told.filter((word) => word === 'restored')).toHaveLength(index + 1);
  }
  await one.stop();
});

test('what cannot be read and was never known is left to people', async () => {
  const one = kept({ 'keyring.json': Buffer.from('?').toString('base64') });
  await one.clock.advance(1_000);
  expect(one.keys()).toBe('keyring.json is not JSON');
  expect(one.told.filter((word) => word !== 'warn: keeping the keyring failed')).toEqual([]);
  expect(one.told.length).toBeGreaterThan(0);
  await one.stop();
});
