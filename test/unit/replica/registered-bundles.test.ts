// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which bundles count as registered, and since when they are what they are.
import { expect, onTestFinished, test } from 'vitest';
import { statusError } from '../../../src/kube/http/api-error.ts';
import { type CallingConfiguration, followRegisteredBundles } from '../../../src/replica/registered-bundles.ts';
import { fakeClock } from '../../support/fakes/fake-clock.ts';

let versions = 0;

function configuration(name: string, ...calls: readonly (readonly [service: string, bundle: string])[]) {
  versions += 1;
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name, uid: name, resourceVersion: `${versions}`, creationTimestamp: '' },
    webhooks: calls.map(([service, bundle]) => ({
      clientConfig: { service: { namespace: 'ours', name: service }, caBundle: bundle },
    })),
  };
}

function follow() {
  const clock = fakeClock();
  let items: readonly CallingConfiguration[] = [];
  const selectors: (string | undefined)[] = [];
  const registered = followRegisteredBundles({
    sources: [
      {
        async page({ labelSelector }) {
          selectors.push(labelSelector);
          return { metadata: { resourceVersion: '1' }, items: [...items] };
        },
        async watch() {
          // Has them listed again.
          throw statusError('watch', 410, {});
        },
      },
    ],
    service: { namespace: 'ours', name: 'stepup' },
    clock,
    onError: () => undefined,
  });
  const stop = new AbortController();
  const running = registered.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await clock.advance(10_000);
    await running;
  });
  return {
    clock,
    registered,
    selectors,
    store: async (...stored: readonly CallingConfiguration[]) => {
      items = stored;
      await clock.advance(10_000);
    },
    counts: () => registered.bundles().map(({ count }) => count),
  };
}

test('only calls to the Service count, each bundle of a configuration once', async () => {
  const { registered, store, counts, selectors } = follow();
  await store(
    configuration('stepup-a', ['stepup', 'QQ=='], ['stepup', 'QQ=='], ['other', 'Qg==']),
    configuration('stepup-b', ['stepup', 'QQ==']),
    configuration('stepup-c', ['stepup', 'Qw==']),
    configuration('stepup-d', ['other', 'RA==']),
  );
  expect(counts()).toEqual([2, 1]);
  expect(registered.hasSynced).toBe(true);
  expect(new Set(selectors)).toEqual(new Set(['stepup.dev/managed=true']));
});

test('another configuration with a bundle that is there is no change of them, another bundle is', async () => {
  const { registered, store, counts } = follow();
  await store(configuration('stepup-a', ['stepup', 'QQ==']));
  const sinceMs = registered.unchangedSinceMs;
  await store(configuration('stepup-a', ['stepup', 'QQ==']), configuration('stepup-b', ['stepup', 'QQ==']));
  expect([counts(), registered.unchangedSinceMs]).toEqual([[2], sinceMs]);
  await store(configuration('stepup-a', ['stepup', 'QQ==']), configuration('stepup-b', ['stepup', 'Qg==']));
  expect(counts()).toEqual([1, 1]);
  expect(registered.unchangedSinceMs).toBeGreaterThan(sinceMs);
});

// Else whoever may write webhook configurations could have replicas keep a certificate that ours no longer trust, never
// take the next one, or vouch for an authority of somebody else's.
test('a configuration of another name counts for nothing, whatever its label says and whom it calls', async () => {
  const { registered, store, counts } = follow();
  await store(configuration('stepup-a', ['stepup', 'QQ==']));
  const sinceMs = registered.unchangedSinceMs;
  await store(configuration('stepup-a', ['stepup', 'QQ==']), configuration('foreign', ['stepup', 'Qg==']));
  expect([counts(), registered.unchangedSinceMs]).toEqual([[1], sinceMs]);
  await store(configuration('stepup-a', ['stepup', 'QQ==']), configuration('foreign', ['stepup', 'QQ==']));
  expect(counts()).toEqual([1]);
});
