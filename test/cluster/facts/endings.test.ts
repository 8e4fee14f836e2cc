// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Facts B11 and B12 (docs/facts.md): what more than one deletion an approved deletion lets through, and what it does not.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { matchesObject, type SideReview } from '../../support/side-webhook.ts';
import { core, patch, pod, secret } from './actions.ts';
import {
  approvalOf,
  byDeployer,
  codeAndMessage,
  deniedThenApproved,
  type Lab,
  observedOnce,
  outcomeOf,
  startLab,
  waitForEnd,
  waitForPhase,
} from './facts-lab.ts';
import { type Histories, startHistories, timesDeleted } from './history.ts';

let lab: Lab;
let histories: Histories;

beforeAll(async () => {
  lab = await startLab();
  histories = await startHistories(lab.admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
});

/** Tells two evictions apart on their way; what is approved is the same. */
type Which = 'first' | 'second';

function evict(name: string, which: Which, deleteOptions: object) {
  const metadata = { name, namespace: 'prod', labels: { which } };
  const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata, deleteOptions };
  return lab.deployer.send('POST', core('pods', `${name}/eviction`), { body });
}

const isEviction = (name: string, which: Which) =>
  byDeployer(
    (review: SideReview) => matchesObject(name, 'CREATE')(review) && review.object?.metadata.labels?.which === which,
  );

/** Admits two evictions of one pod under one approval, and carries out the second when a namesake has come. */
async function evictTwice(name: string, optionsFor: (pod: KubeObject) => object) {
  const options = optionsFor(await lab.admin.post<KubeObject>(core('pods'), pod(name)));
  const key = await deniedThenApproved(lab, () => evict(name, 'first', options));
  const late = lab.side.hold(isEviction(name, 'second'));
  const second = evict(name, 'second', options);
  try {
    await late.arrived();
    await waitForPhase(lab, key, 'Reserved');
    expect((await evict(name, 'first', options)).code).toBe(201);
    expect(await waitForEnd(lab, key)).toEqual(observedOnce);
    await lab.admin.post(core('pods'), pod(name));
  } finally {
    late.release();
  }
  return { answer: await second, deleted: timesDeleted(await histories.pods.of(name)) };
}

test('B11 an eviction that is held up ends no namesake made meanwhile, though it names no UID', async () => {
  const { answer, deleted } = await evictTwice('b11-late', () => ({}));
  expect(codeAndMessage(answer)).toMatch(/^409 .*UID in the precondition/);
  expect(deleted).toBe(1);
});

test('B11 an eviction that names the UID of its pod ends no namesake either', async () => {
  const { answer, deleted } = await evictTwice('b11-uid', ({ metadata: { uid } }) => ({ preconditions: { uid } }));
  expect(codeAndMessage(answer)).toMatch(/^409 .*UID in the precondition/);
  expect(deleted).toBe(1);
});

test('B11 an eviction that nobody made name its pod is refused', async () => {
  await lab.admin.post<KubeObject>(core('pods'), pod('b11-unnamed'));
  const pins = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  // Somebody takes the entry away again and again; the operator puts it back at once.
  await eventually('an eviction to arrive as it was sent', async () => {
    const { items } = await lab.admin.list(pins);
    const names = items.map(({ metadata }) => metadata.name).filter((name) => name.startsWith('stepup-pin-'));
    await Promise.all(names.map((name) => lab.admin.send('DELETE', `${pins}/${name}`)));
    const answers = await Promise.all(Array.from({ length: 8 }, () => evict('b11-unnamed', 'first', {})));
    return answers.some((answer) => /^403 .*does not name the UID/.test(codeAndMessage(answer)));
  });
  await eventually('the entry to be back', async () => {
    const answer = codeAndMessage(await evict('b11-unnamed', 'first', {}));
    return /requires approval/.test(answer);
  });
  const key = await deniedThenApproved(lab, () => evict('b11-unnamed', 'first', {}));
  expect((await evict('b11-unnamed', 'first', {})).code).toBe(201);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
});

test('B12 while the approval of a deletion is reserved, it takes the finalizers away too', async () => {
  // Secrets are nothing that stepup may read, so its approval stays reserved.
  const path = core('secrets', 'b12-held');
  await lab.admin.post(core('secrets'), secret('b12-held', { finalizers: ['example.com/hold'] }));
  const remove = () => lab.deployer.send('DELETE', path);
  const key = await deniedThenApproved(lab, remove);
  expect((await remove()).code).toBe(200);
  expect((await patch(lab, path, { metadata: { finalizers: null } })).code).toBe(200);
  expect((await lab.admin.send('GET', path)).code).toBe(404);
  expect(outcomeOf(await approvalOf(lab, key))).toEqual({ phase: 'Reserved', uses: 1, releases: 0 });
});

test('B12 while the approval of a deletion is reserved, it gives the object one owner after another', async () => {
  const path = core('secrets', 'b12-owned');
  await lab.admin.post(core('secrets'), secret('b12-owned'));
  const key = await deniedThenApproved(lab, () => lab.deployer.send('DELETE', path));
  const owners = [];
  for (const name of ['b12-owner-a', 'b12-owner-b']) {
    const { metadata } = await lab.admin.post<KubeObject>(core('configmaps'), { metadata: { name } });
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name, uid: metadata.uid }];
    expect((await patch(lab, path, { metadata: { ownerReferences } })).code).toBe(200);
    owners.push((await lab.admin.get<KubeObject>(path)).metadata.ownerReferences?.map(({ uid }) => uid));
  }
  expect(new Set(owners.flat()).size).toBe(2);
  expect(outcomeOf(await approvalOf(lab, key))).toEqual({ phase: 'Reserved', uses: 1, releases: 0 });
});
