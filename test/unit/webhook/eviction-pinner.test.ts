// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Over real HTTPS: an eviction is made to name the pod that bears its name, and nothing else is changed or refused.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { review } from '../../support/builders/reviews.ts';
import { status, uncertain } from '../../support/fakes/fake-kinds.ts';
import { type Harness, startWebhook } from '../../support/fakes/webhook-harness.ts';

const path = '/api/v1/namespaces/prod/pods/web-1';
let webhook: Harness;
beforeAll(async () => {
  webhook = await startWebhook();
});
beforeEach(() => {
  webhook.api.targets.clear();
  webhook.api.targets.set(path, { metadata: { uid: 'pod-uid', resourceVersion: '5', name: 'web-1' } });
});
afterAll(() => webhook.stop());

const eviction = (deleteOptions: object | null | undefined, over: object = {}) =>
  review({
    kind: { group: 'policy', version: 'v1', kind: 'Eviction' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    subResource: 'eviction',
    name: 'web-1',
    object: { kind: 'Eviction', ...(deleteOptions === undefined ? {} : { deleteOptions }) },
    ...over,
  });

async function patchOf(asked: object): Promise<unknown> {
  const { allowed, patch } = await webhook.pin(asked);
  expect(allowed).toBe(true);
  return patch === undefined ? undefined : JSON.parse(Buffer.from(patch, 'base64').toString());
}

test.each<[string, object | null | undefined, object]>([
  ['no options', undefined, { path: '/deleteOptions', value: { preconditions: { uid: 'pod-uid' } } }],
  ['null for options', null, { path: '/deleteOptions', value: { preconditions: { uid: 'pod-uid' } } }],
  ['options', { gracePeriodSeconds: 0 }, { path: '/deleteOptions/preconditions', value: { uid: 'pod-uid' } }],
  [
    'a resourceVersion',
    { preconditions: { resourceVersion: '5' } },
    { path: '/deleteOptions/preconditions/uid', value: 'pod-uid' },
  ],
])('an eviction with %s is made to name its pod', async (_what, deleteOptions, patch) => {
  expect(await patchOf(eviction(deleteOptions))).toEqual([{ op: 'add', ...patch }]);
});

test('one that names a pod keeps its word', async () => {
  expect(await patchOf(eviction({ preconditions: { uid: 'pod-uid-before' } }))).toBeUndefined();
});

test.each<[string, Error | undefined]>([
  ['is not there', undefined],
  ['may not be read', status(403, 'Forbidden')],
  ['cannot be read', uncertain()],
])('one whose pod %s is left to the gate', async (_what, error) => {
  webhook.api.targets.clear();
  if (error !== undefined) webhook.api.targets.set(path, error);
  expect(await patchOf(eviction({}))).toBeUndefined();
});

test('nothing but an eviction is changed', async () => {
  expect(await patchOf(eviction({}, { subResource: 'binding' }))).toBeUndefined();
  expect(await patchOf(review())).toBeUndefined();
});

test('a review that cannot be read is an error, which the entry has the API server ignore', async () => {
  const headers = { 'content-type': 'application/json' };
  expect((await webhook.post('/pin', JSON.stringify({ ...eviction({}), request: { uid: 'u' } }), headers)).status).toBe(
    400,
  );
});
