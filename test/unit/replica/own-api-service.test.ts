// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who answers for our kinds.
import { expect, test } from 'vitest';
import type { KubeObject } from '../../../src/kube/objects/objects.ts';
import { systemClock } from '../../../src/kube/time/clock.ts';
import type { ListWatch } from '../../../src/kube/watch/reflector.ts';
import { followOwnApiService } from '../../../src/replica/own-api-service.ts';

async function problemWith(items: readonly object[]): Promise<string | undefined> {
  const stop = new AbortController();
  const source = {
    page: async () => ({ metadata: { resourceVersion: '1' }, items }),
    watch: async () =>
      (async function* () {
        await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
      })(),
  } as unknown as ListWatch<KubeObject>;
  const group = followOwnApiService({ source, clock: systemClock, onError: () => undefined });
  expect(group.problem()).toBe('APIService v1alpha1.stepup.dev has not been read yet');
  const running = group.run(stop.signal);
  await expect.poll(() => group.problem() ?? '').not.toContain('has not been read yet');
  const problem = group.problem();
  stop.abort();
  await running;
  return problem;
}

const registered = (spec?: object) => ({
  metadata: { name: 'v1alpha1.stepup.dev', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
  ...(spec === undefined ? {} : { spec }),
});

test.each<[string, readonly object[], string | undefined]>([
  ['the API server itself', [registered({ service: null })], undefined],
  ['the API server itself, unsaid', [registered({})], undefined],
  ['nobody', [], 'APIService v1alpha1.stepup.dev does not exist: are the CRDs installed?'],
  [
    'somebody else',
    [registered({ service: { namespace: 'ci', name: 'liar' } })],
    'the API group stepup.dev is served by service ci/liar: delete APIService v1alpha1.stepup.dev',
  ],
])('%s answers', async (_, items, problem) => {
  expect((await problemWith(items)) ?? 'none').toBe(problem ?? 'none');
});
