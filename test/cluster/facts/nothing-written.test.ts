// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Facts B5 to B9 (docs/facts.md): stepup has said yes, and nothing is written.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AdminClient, KubeObject } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { apply } from '../../support/installation/installation.ts';
import { matchesObject } from '../../support/side-webhook.ts';
import { deployment, deployments, imagePatch } from '../../support/traffic.ts';
import {
  createDeployment,
  deploymentAtRest,
  deploymentPath,
  imageOf,
  reviewsFromNow,
  sendWithTimeout,
  setImage,
  timeoutAnswer,
} from './actions.ts';
import {
  anHourLater,
  approvalInDenial,
  approvalOf,
  approvalsOn,
  byDeployer,
  codeAndMessage,
  deniedThenApproved,
  type HeldLab,
  observedOnce,
  outcomeOf,
  reservedOnce,
  startHeldLab,
  type UnsettledReservation,
  unconfirmedOnce,
  waitForEnd,
  waitForPhase,
} from './facts-lab.ts';
import { type Histories, startHistories } from './history.ts';

let lab: HeldLab;
let rootBot: AdminClient;
let histories: Histories;
/** Reservations of which nothing will ever be seen: the last test lets their time pass. */
const unsettled: UnsettledReservation[] = [];

beforeAll(async () => {
  lab = await startHeldLab();
  rootBot = await lab.client('ci/root-bot');
  histories = await startHistories(lab.admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
});

test('B5 an update that another webhook denies has reserved its approval, and passes with it on the next try', async () => {
  await deploymentAtRest(lab, 'b5');
  const attempt = () => setImage(lab, 'b5');
  const key = await deniedThenApproved(lab, attempt);
  const allow = lab.side.deny(byDeployer(matchesObject('b5')), 'not today');
  expect(codeAndMessage(await attempt())).toMatch(/^403 .*side.*not today/);
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toEqual(reservedOnce);
  allow();
  // The reservation is for this change only.
  expect(approvalInDenial(await setImage(lab, 'b5', 'nginx:3')).name).not.toBe(key.name);
  expect((await attempt()).code).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('b5', 'nginx:2')).toBe(1);
});

test('B5 a CREATE that another webhook denies has spent its approval, for its object will never be seen again', async () => {
  const attempt = () => createDeployment(lab, 'b5-new');
  const key = await deniedThenApproved(lab, attempt);
  const allow = lab.side.deny(byDeployer(matchesObject('b5-new')), 'not today');
  expect(codeAndMessage(await attempt())).toMatch(/^403 .*side.*not today/);
  allow();
  const second = await attempt();
  expect(approvalInDenial(second).name).not.toBe(key.name);
  expect(codeAndMessage(second)).toContain('the previous approval is reserved or consumed');
  expect(await histories.deployments.of('b5-new')).toEqual([]);
  unsettled.push({ fact: 'B5', key, expected: unconfirmedOnce });
});

test('B6 a quota denies after stepup has reserved, and the approval of the CREATE is spent', async () => {
  const quota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'none', namespace: 'quota' },
    spec: { hard: { 'count/deployments.apps': '0' } },
  };
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'quota', labels: { environment: 'production' } },
  };
  await apply(lab.cluster, [namespace, quota]);
  const quotaPath = '/api/v1/namespaces/quota/resourcequotas/none';
  await eventually('the quota to be in force', async () => {
    const { status } = await lab.admin.get<KubeObject & { status?: { hard?: object } }>(quotaPath);
    return status?.hard;
  });
  const attempt = () => rootBot.send('POST', deployments('quota'), { body: deployment('quota', 'b6') });
  const key = await deniedThenApproved(lab, attempt);
  expect(codeAndMessage(await attempt())).toMatch(/^403 .*exceeded quota/);
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toEqual(reservedOnce);
  await lab.admin.delete(quotaPath);
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
  expect(await histories.deployments.of('b6', 'quota')).toEqual([]);
  unsettled.push({ fact: 'B6', key, expected: unconfirmedOnce });
});

test('B7 a CREATE of a name that is taken is approved first and fails afterwards, and its approval is spent', async () => {
  await deploymentAtRest(lab, 'b7');
  const { metadata: before } = await lab.admin.get(deploymentPath('b7'));
  const attempt = () => createDeployment(lab, 'b7');
  const key = await deniedThenApproved(lab, attempt);
  expect(codeAndMessage(await attempt())).toMatch(/^409 .*already exists/);
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toEqual(reservedOnce);
  expect((await lab.admin.get(deploymentPath('b7'))).metadata.uid).toBe(before.uid);
  unsettled.push({ fact: 'B7', key, expected: unconfirmedOnce });
});

/** A PUT of the object as it was read, with another image. */
async function replacement(name: string): Promise<object> {
  const read = await lab.admin.get(deploymentPath(name));
  return JSON.parse(JSON.stringify(read).replaceAll('nginx:0', 'nginx:2'));
}

async function putOnStaleCache(name: string, change: object) {
  await deploymentAtRest(lab, name);
  const stale = await replacement(name);
  const put = (body: object) => lab.deployer.send('PUT', deploymentPath(name), { body });
  const key = await deniedThenApproved(lab, () => put(stale));
  const release = lab.etcd.holdWatches();
  await lab.admin.patch(deploymentPath(name), change);
  const reviews = reviewsFromNow(lab, name, 'UPDATE');
  expect(codeAndMessage(await put(stale))).toMatch(/^409 .*the object has been modified/);
  expect(reviews().length, 'asked about before the conflict').toBe(1);
  release();
  return { key, put };
}

test('B8 a stale PUT is approved on a stale cache and conflicts, and the approval serves it with the new version', async () => {
  const { key, put } = await putOnStaleCache('b8', { metadata: { labels: { touched: 'yes' } } });
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toEqual(reservedOnce);
  expect((await put(await replacement('b8'))).code).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('b8', 'nginx:2')).toBe(1);
});

test('B8 where the other change was of the spec, the reserved PUT can never win, and its approval is given back', async () => {
  const { key, put } = await putOnStaleCache('b8-spec', { spec: { minReadySeconds: 1 } });
  expect(outcomeOf(await waitForPhase(lab, key, 'Approved'))).toEqual({ phase: 'Approved', uses: 1, releases: 1 });
  expect((await put(await replacement('b8-spec'))).code).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual({ ...observedOnce, uses: 2, releases: 1 });
  expect(await histories.timesWithImage('b8-spec', 'nginx:2')).toBe(1);
});

/** Until the deployer's API server has been told of the newest state. */
async function cacheCurrent(name: string): Promise<void> {
  const { metadata } = await lab.admin.get(deploymentPath(name));
  await eventually('the cache to be current', async () => {
    const cached = await lab.deployer.get(`${deploymentPath(name)}?resourceVersion=0`);
    return cached.metadata.resourceVersion === metadata.resourceVersion;
  });
}

test('B8 a stale PUT on a cache that is not stale conflicts before anybody is asked', async () => {
  await deploymentAtRest(lab, 'b8-current');
  const stale = await replacement('b8-current');
  const put = () => lab.deployer.send('PUT', deploymentPath('b8-current'), { body: stale });
  const key = await deniedThenApproved(lab, put);
  await lab.admin.patch(deploymentPath('b8-current'), { metadata: { labels: { touched: 'yes' } } });
  await cacheCurrent('b8-current');
  const reviews = reviewsFromNow(lab, 'b8-current');
  expect((await put()).code).toBe(409);
  expect(reviews()).toEqual([]);
  expect(outcomeOf(await approvalOf(lab, key))).toEqual({ phase: 'Approved', uses: 0, releases: 0 });
});

test('B9 an update that changes nothing is asked about, passes unapproved, writes nothing and spends nothing', async () => {
  await deploymentAtRest(lab, 'b9');
  const key = await deniedThenApproved(lab, () => setImage(lab, 'b9'));
  const before = (await histories.deployments.of('b9')).length;
  const reviews = reviewsFromNow(lab, 'b9', 'UPDATE');
  expect((await setImage(lab, 'b9', 'nginx:0')).code).toBe(200);
  expect(reviews().map(({ object }) => imageOf(object))).toEqual(['nginx:0']);
  expect((await histories.deployments.of('b9')).length).toBe(before);
  // What is approved has come about by somebody else: nothing is left to change.
  await lab.admin.patch(
    deploymentPath('b9'),
    JSON.parse(JSON.stringify(deployment('prod', 'b9')).replace('nginx:0', 'nginx:2')),
  );
  await cacheCurrent('b9');
  expect((await setImage(lab, 'b9')).code).toBe(200);
  expect(outcomeOf(await approvalOf(lab, key))).toEqual({ phase: 'Approved', uses: 0, releases: 0 });
  expect((await approvalsOn(lab, 'b9')).length).toBe(1);
  // Any difference in what is governed asks again.
  expect(approvalInDenial(await setImage(lab, 'b9', 'nginx:3')).name).not.toBe(key.name);
});

test('B9 an update whose request runs out of time after the allow passes on the next try with the same approval', async () => {
  await deploymentAtRest(lab, 'b9-late');
  const attempt = () => setImage(lab, 'b9-late');
  const key = await deniedThenApproved(lab, attempt);
  const hold = lab.side.hold(byDeployer(matchesObject('b9-late')));
  const answer = await sendWithTimeout(lab, 1, 'PATCH', deploymentPath('b9-late'), imagePatch('nginx:2'));
  await hold.arrived();
  hold.release();
  expect(answer).toMatch(timeoutAnswer);
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toEqual(reservedOnce);
  expect(await histories.timesWithImage('b9-late', 'nginx:2')).toBe(0);
  expect(approvalInDenial(await setImage(lab, 'b9-late', 'nginx:3')).name).not.toBe(key.name);
  expect((await attempt()).code).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('b9-late', 'nginx:2')).toBe(1);
});

test('an hour later each reservation of which nothing was seen has ended as its fact says', async () => {
  expect(unsettled.length).toBe(3);
  expect(await anHourLater(lab, unsettled)).toEqual(unsettled);
});
