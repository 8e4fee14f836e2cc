// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Facts B1 to B4 (docs/facts.md): the API server asks several times about one request.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { type Matches, matchesObject, targetOf } from '../../support/side-webhook.ts';
import { deployment, deployments, imagePatch } from '../../support/traffic.ts';
import {
  applyDeployment,
  configMap,
  core,
  deploymentAtRest,
  deploymentPath,
  hasImage,
  imageOf,
  patch,
  pod,
  reviewsFromNow,
  setImage,
} from './actions.ts';
import {
  anHourLater,
  approvalInDenial,
  approvalsOn,
  byDeployer,
  codeAndMessage,
  deniedThenApproved,
  type HeldLab,
  observedOnce,
  outcomeOf,
  startHeldLab,
  type UnsettledReservation,
  unconfirmedOnce,
  waitForEnd,
  waitForPhase,
  whileReviewIsHeld,
} from './facts-lab.ts';
import { type Histories, startHistories, timesDeleted } from './history.ts';

let lab: HeldLab;
let histories: Histories;
/** Reservations of which nothing will ever be seen: the last test lets their time pass. */
const unsettled: UnsettledReservation[] = [];

beforeAll(async () => {
  lab = await startHeldLab();
  await addPolicy(lab.stepup, 'config', [
    { operations: ['CREATE', 'UPDATE'], apiGroups: [''], resources: ['configmaps'], fields: ['/data'] },
    { operations: ['UPDATE'], apiGroups: [''], resources: ['services'], fields: ['/spec/ports'] },
  ]);
  histories = await startHistories(lab.admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
});

const updatesOf = (name: string) => byDeployer(matchesObject(name, 'UPDATE'));
const versionOf = (
  review: { readonly oldObject: { readonly metadata: { resourceVersion?: string } } | null } | undefined,
) => review?.oldObject?.metadata.resourceVersion;

test('B1 a write that loses its compare-and-put is asked about again, and the approval still serves it once', async () => {
  await deploymentAtRest(lab, 'b1');
  const attempt = () => setImage(lab, 'b1');
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b1', 'UPDATE');
  const answer = await whileReviewIsHeld(lab, { key, matches: updatesOf('b1'), attempt }, async () => {
    await lab.admin.patch(deploymentPath('b1'), { metadata: { labels: { touched: 'yes' } } });
  });
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  const [first, second, ...more] = reviews();
  expect(more).toEqual([]);
  expect(second?.uid).not.toBe(first?.uid);
  expect(versionOf(second)).not.toBe(versionOf(first));
  expect(second?.oldObject?.metadata.generation).toBe(first?.oldObject?.metadata.generation);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('b1', 'nginx:2')).toBe(1);
  // Put back by somebody else, the same change is another effect.
  await lab.admin.patch(deploymentPath('b1'), deployment('prod', 'b1'));
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
});

test('B1 when it has lost to another change of the spec, the approval is given back and serves the second call', async () => {
  await deploymentAtRest(lab, 'b1-spec');
  const attempt = () => setImage(lab, 'b1-spec');
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b1-spec', 'UPDATE');
  const matches: Matches = (review) => updatesOf('b1-spec')(review) && imageOf(review.object) === 'nginx:2';
  const answer = await whileReviewIsHeld(lab, { key, matches, attempt }, async () => {
    await lab.admin.patch(deploymentPath('b1-spec'), { spec: { minReadySeconds: 1 } });
    // Another content is not covered, however the reservation ends.
    expect(approvalInDenial(await setImage(lab, 'b1-spec', 'nginx:3')).name).not.toBe(key.name);
  });
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(reviews().filter(matches).length).toBeGreaterThanOrEqual(2);
  expect(await waitForEnd(lab, key)).toEqual({ ...observedOnce, uses: 2, releases: 1 });
  expect(await histories.timesWithImage('b1-spec', 'nginx:2')).toBe(1);
  expect(await histories.timesWithImage('b1-spec', 'nginx:3')).toBe(0);
});

/** A change of a kind whose generation never moves, which loses to a label that somebody else puts on it. */
async function loseToLabel(path: string, name: string, change: object) {
  const attempt = () => patch(lab, path, change);
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, name, 'UPDATE');
  const answer = await whileReviewIsHeld(lab, { key, matches: updatesOf(name), attempt }, async () => {
    await lab.admin.patch(path, { metadata: { labels: { touched: 'yes' } } });
  });
  expect(reviews().length).toBe(2);
  return { key, answer };
}

test('B1 a kind without generations that has lost to a label waits until that is seen, and passes', async () => {
  const body = { metadata: { name: 'b1-service' }, spec: { ports: [{ port: 80 }] } };
  await lab.admin.post(core('services'), body);
  const change = { spec: { ports: [{ port: 81 }] } };
  const { key, answer } = await loseToLabel(core('services', 'b1-service'), 'b1-service', change);
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual({ ...observedOnce, uses: 2, releases: 1 });
});

test('B1 a kind without generations that stepup may not read is refused then, and its approval is spent', async () => {
  await lab.admin.post(core('configmaps'), configMap('b1-config', { key: '1' }));
  const change = { data: { key: '2' } };
  const { key, answer } = await loseToLabel(core('configmaps', 'b1-config'), 'b1-config', change);
  expect(approvalInDenial(answer).name).not.toBe(key.name);
  expect(codeAndMessage(answer)).toContain('the previous approval is reserved or consumed');
  unsettled.push({ fact: 'B1 not read', key, expected: unconfirmedOnce });
});

test('B2 a stale watch cache is asked about first, and a denial on it files one approval, not two', async () => {
  await deploymentAtRest(lab, 'b2');
  const { metadata: before } = await lab.admin.get(deploymentPath('b2'));
  const release = lab.etcd.holdWatches();
  const reviews = reviewsFromNow(lab, 'b2', 'UPDATE');
  const { metadata: after } = await lab.admin.patch(deploymentPath('b2'), { metadata: { labels: { touched: 'yes' } } });
  const denied = await setImage(lab, 'b2');
  release();
  const { name } = approvalInDenial(denied);
  expect(reviews().map(versionOf)).toEqual([before.resourceVersion, after.resourceVersion]);
  // It is filed after the answer has gone out.
  await eventually('the approval to be filed', async () => (await approvalsOn(lab, 'b2')).length > 0);
  expect(approvalInDenial(await setImage(lab, 'b2')).name, 'asked again').toBe(name);
  const filed = await approvalsOn(lab, 'b2');
  expect(filed.map(({ metadata }) => metadata.name)).toEqual([name]);
  expect(await histories.timesWithImage('b2', 'nginx:2')).toBe(0);
});

test('B2 an approved change that is asked about on a stale watch cache passes, though another writer changed the spec', async () => {
  await deploymentAtRest(lab, 'b2-spec');
  const attempt = () => setImage(lab, 'b2-spec');
  const key = await deniedThenApproved(lab, attempt);
  const { metadata: before } = await lab.admin.get(deploymentPath('b2-spec'));
  const release = lab.etcd.holdWatches();
  const reviews = reviewsFromNow(lab, 'b2-spec', 'UPDATE');
  await lab.admin.patch(deploymentPath('b2-spec'), { spec: { minReadySeconds: 1 } });
  const answer = await attempt();
  release();
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  // More often where the controller's word about the new spec comes in between as well.
  const [first, second, ...more] = reviews();
  expect(versionOf(first)).toBe(before.resourceVersion);
  for (const review of [second, ...more]) {
    expect(review?.oldObject?.metadata.generation).toBe((before.generation ?? 0) + 1);
  }
  expect(await waitForEnd(lab, key)).toEqual({ ...observedOnce, uses: 2, releases: 1 });
  expect(await histories.timesWithImage('b2-spec', 'nginx:2')).toBe(1);
});

test('B2 a change that looks like none on a stale watch cache is asked about again, and refused', async () => {
  await deploymentAtRest(lab, 'b2-none');
  await lab.admin.patch(deploymentPath('b2-none'), imagePatch('nginx:2'));
  await eventually('the cache to have it', async () => {
    return hasImage('nginx:2')(await lab.deployer.get(`${deploymentPath('b2-none')}?resourceVersion=0`));
  });
  const release = lab.etcd.holdWatches();
  await lab.admin.patch(deploymentPath('b2-none'), imagePatch('nginx:0'));
  const reviews = reviewsFromNow(lab, 'b2-none', 'UPDATE');
  const answer = await setImage(lab, 'b2-none');
  release();
  expect(approvalInDenial(answer).namespace).toBe('prod');
  const [first, second] = reviews().map(({ oldObject }) => imageOf(oldObject));
  expect([first, second]).toEqual(['nginx:2', 'nginx:0']);
  expect(await histories.timesWithImage('b2-none', 'nginx:2'), "the admin's").toBe(1);
});

test('B3 an immediate deletion is asked about twice and spends one approval', async () => {
  await lab.admin.post(core('pods'), pod('b3'));
  const attempt = () => lab.deployer.send('DELETE', `${core('pods', 'b3')}?gracePeriodSeconds=0`);
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b3', 'DELETE');
  expect((await attempt()).code).toBe(200);
  // More often where the pod is written to meanwhile.
  const asked = reviews();
  expect(asked.length).toBeGreaterThanOrEqual(2);
  expect(new Set(asked.map(({ uid }) => uid)).size).toBe(asked.length);
  expect(new Set(asked.map(({ oldObject }) => oldObject?.metadata.uid)).size).toBe(1);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(timesDeleted(await histories.pods.of('b3'))).toBe(1);
  // The next one of that name is another object.
  await lab.admin.post(core('pods'), pod('b3'));
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
});

test('B4 a server-side apply that turns from CREATE into UPDATE meanwhile is another action, and is refused as such', async () => {
  const attempt = () => applyDeployment(lab, 'b4');
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b4');
  const matches = byDeployer(matchesObject('b4', 'CREATE'));
  const answer = await whileReviewIsHeld(lab, { key, matches, attempt }, async () => {
    const other = JSON.stringify(deployment('prod', 'b4')).replace('nginx:0', 'nginx:other');
    await lab.admin.post(deployments('prod'), JSON.parse(other));
  });
  expect(reviews().map(({ operation }) => operation)).toEqual(['CREATE', 'UPDATE']);
  expect(codeAndMessage(answer)).toContain('production-deploys requires approval to UPDATE deployments prod/b4');
  expect(approvalInDenial(answer).name).not.toBe(key.name);
  expect(await histories.timesWithImage('b4', 'nginx:0')).toBe(0);
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toMatchObject({ uses: 1, releases: 0 });
  unsettled.push({ fact: 'B4 apply', key, expected: unconfirmedOnce });
});

test('B4 a server-side apply that stays a CREATE passes', async () => {
  const attempt = () => applyDeployment(lab, 'b4-alone');
  const key = await deniedThenApproved(lab, attempt);
  expect((await attempt()).code).toBe(201);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('b4-alone', 'nginx:0')).toBe(1);
});

/** Small enough for etcd by itself, too large with the record of who owns each key. */
function nearlyTooLarge(name: string) {
  const keys = Array.from({ length: 3_300 }, (_, at) => `${String(at).padStart(4, '0')}${'k'.repeat(246)}`);
  return configMap(name, Object.fromEntries(keys.map((key) => [key, ''])));
}

test('B4 a CREATE that is too large with its managedFields is asked about twice, as two objects, and the second is refused', async () => {
  const attempt = () => lab.deployer.send('POST', core('configmaps'), { body: nearlyTooLarge('b4-large') });
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b4-large', 'CREATE');
  const answer = await attempt();
  const [first, second, ...more] = reviews();
  expect(more).toEqual([]);
  expect(second?.object?.metadata.uid).not.toBe(first?.object?.metadata.uid);
  expect(approvalInDenial(answer).name).not.toBe(key.name);
  expect(codeAndMessage(answer)).toContain('the previous approval is reserved or consumed');
  expect(await histories.configMaps.of('b4-large')).toEqual([]);
  unsettled.push({ fact: 'B4 too large', key, expected: unconfirmedOnce });
});

test('B4 a generated name that is taken is drawn again, as another object, and the second is refused', async () => {
  const body = { ...configMap(''), metadata: { generateName: 'b4-drawn-' } };
  const attempt = () => lab.deployer.send('POST', core('configmaps'), { body });
  const key = await deniedThenApproved(lab, attempt);
  const matches = byDeployer((review) => targetOf(review).startsWith('b4-drawn-'));
  const before = lab.side.reviews(matches).length;
  const answer = await whileReviewIsHeld(lab, { key, matches, attempt }, async () => {
    const drawn = lab.side.reviews(matches).slice(before).map(targetOf);
    for (const name of drawn) await lab.admin.post(core('configmaps'), configMap(name));
  });
  const names = lab.side.reviews(matches).slice(before).map(targetOf);
  expect(names.length).toBe(2);
  expect(new Set(names).size).toBe(2);
  expect(approvalInDenial(answer).name).not.toBe(key.name);
  unsettled.push({ fact: 'B4 drawn name', key, expected: unconfirmedOnce });
});

test('an hour later each reservation of which nothing was seen has ended as its fact says', async () => {
  expect(unsettled.length).toBe(4);
  expect(await anHourLater(lab, unsettled)).toEqual(unsettled);
});
