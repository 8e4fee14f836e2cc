// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Facts B10 to B15 (docs/facts.md): the effect comes in another shape than one expects.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { apply } from '../../support/installation/installation.ts';
import { counted } from '../../support/installation/metrics.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { matchesObject, targetOf } from '../../support/side-webhook.ts';
import { fieldOf } from '../../support/traffic.ts';
import { core, deploymentAtRest, deploymentPath, hasImage, patch, pod, reviewsFromNow, setImage } from './actions.ts';
import {
  approvalInDenial,
  approvalOf,
  approvalsOn,
  byDeployer,
  codeAndMessage,
  deniedThenApproved,
  type Lab,
  observedOnce,
  outcomeOf,
  startLab,
  voteFor,
  waitForEnd,
  waitForPhase,
  whileReviewIsHeld,
} from './facts-lab.ts';
import { type Histories, startHistories, timesDeleted, timesPersisted } from './history.ts';

let lab: Lab;
let histories: Histories;

beforeAll(async () => {
  lab = await startLab();
  const tokens = [{ operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'] }];
  await addPolicy(lab.stepup, 'tokens', tokens);
  histories = await startHistories(lab.admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
});

test('B10 each item of a deleted collection is asked about without a name, and spends an approval of its own', async () => {
  for (const name of ['b10-a', 'b10-b', 'b10-c']) await lab.admin.post(core('pods'), pod(name, 'prod', { set: 'b10' }));
  const collection = () => lab.deployer.send('DELETE', `${core('pods')}?labelSelector=set%3Db10`);
  const isItem = byDeployer((review) => targetOf(review).startsWith('b10-') && review.operation === 'DELETE');
  const keys = [];
  for (const name of ['b10-a', 'b10-b']) {
    const key = await deniedThenApproved(lab, collection);
    expect((await approvalOf(lab, key)).spec.action.name).toBe(name);
    keys.push(key);
  }
  // The third one is not approved: the first two go, it stays, and the requester is told.
  const third = approvalInDenial(await collection());
  expect((await waitForPhase(lab, third, 'Pending')).spec.action.name).toBe('b10-c');
  const items = lab.side.reviews(isItem);
  expect(new Set(items.map((review) => review.name ?? ''))).toEqual(new Set(['']));
  for (const key of keys) expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  const deleted = await Promise.all(
    ['b10-a', 'b10-b', 'b10-c'].map(async (name) => timesDeleted(await histories.pods.of(name))),
  );
  expect(deleted).toEqual([1, 1, 0]);
});

/** A pod that runs, as far as the disruption controller can see, and whose budget allows no disruption. */
async function guardedPod(name: string): Promise<void> {
  const labels = { guarded: name };
  await lab.admin.post(core('pods'), pod(name, 'prod', labels));
  const running = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  await lab.admin.patch(core('pods', `${name}/status`), { status: running });
  const spec = { minAvailable: 1, selector: { matchLabels: labels } };
  const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name, namespace: 'prod' }, spec };
  await apply(lab.cluster, [budget]);
  await eventually(`the budget ${name} to be counted`, async () => {
    const { status } = await lab.admin.get<KubeObject & { status?: { currentHealthy?: number } }>(budgetPath(name));
    return status?.currentHealthy === 1;
  });
}
const budgetPath = (name: string) => `/apis/policy/v1/namespaces/prod/poddisruptionbudgets/${name}`;
const eviction = (name: string) => ({
  apiVersion: 'policy/v1',
  kind: 'Eviction',
  metadata: { name, namespace: 'prod' },
});
const evict = (name: string) => lab.deployer.send('POST', core('pods', `${name}/eviction`), { body: eviction(name) });

test('B11 an eviction is the only question before a pod is deleted, and its approval outlasts a refusal by the budget', async () => {
  await guardedPod('b11');
  const attempt = () => evict('b11');
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b11');
  for (const _ of [1, 2]) {
    expect(codeAndMessage(await attempt())).toMatch(/^429 .*disruption budget/);
    expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toMatchObject({ uses: 1, releases: 0 });
  }
  await lab.admin.delete(budgetPath('b11'));
  await eventually('the eviction to pass', async () => (await attempt()).code === 201);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(timesDeleted(await histories.pods.of('b11'))).toBe(1);
  expect(new Set(reviews().map(({ operation, subResource }) => `${operation} ${subResource}`))).toEqual(
    new Set(['CREATE eviction']),
  );
  // The next pod of that name is another one.
  await lab.admin.post(core('pods'), pod('b11'));
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
});

test('B12 a deletion only marks what has finalizers, and taking the last one away is asked about as a deletion', async () => {
  await deploymentAtRest(lab, 'b12');
  await lab.admin.patch(deploymentPath('b12'), { metadata: { finalizers: ['example.com/hold'] } });
  const remove = () => lab.deployer.send('DELETE', deploymentPath('b12'));
  const deletion = await deniedThenApproved(lab, remove);
  expect((await remove()).code).toBe(200);
  expect(await waitForEnd(lab, deletion)).toEqual(observedOnce);
  expect((await lab.admin.get(deploymentPath('b12'))).metadata.deletionTimestamp).toBeDefined();
  // It is marked already: again is nothing new.
  expect((await remove()).code).toBe(200);
  const unhold = () => patch(lab, deploymentPath('b12'), { metadata: { finalizers: null } });
  const reviews = reviewsFromNow(lab, 'b12');
  const removal = await deniedThenApproved(lab, unhold);
  expect(removal.name).not.toBe(deletion.name);
  expect((await approvalOf(lab, removal)).spec.action.operation).toBe('DELETE');
  expect((await unhold()).code).toBe(200);
  expect(new Set(reviews().map(({ operation }) => operation))).toEqual(new Set(['UPDATE']));
  expect(await waitForEnd(lab, removal)).toEqual(observedOnce);
  expect(timesDeleted(await histories.deployments.of('b12'))).toBe(1);
});

test('B12 what is marked already is not taken for gone: a finalizer whose removal lost to another writer is still removed', async () => {
  await deploymentAtRest(lab, 'b12-busy');
  await lab.admin.patch(deploymentPath('b12-busy'), { metadata: { finalizers: ['example.com/hold'] } });
  await lab.admin.delete(deploymentPath('b12-busy'));
  const attempt = () => patch(lab, deploymentPath('b12-busy'), { metadata: { finalizers: null } });
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b12-busy');
  const answer = await whileReviewIsHeld(
    lab,
    { key, matches: byDeployer(matchesObject('b12-busy')), attempt },
    async () => {
      await lab.admin.patch(deploymentPath('b12-busy'), { metadata: { labels: { touched: 'yes' } } });
      await histories.deployments.of('b12-busy');
      expect(outcomeOf(await approvalOf(lab, key))).toMatchObject({ phase: 'Reserved' });
    },
  );
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(reviews().length).toBe(2);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(timesDeleted(await histories.deployments.of('b12-busy'))).toBe(1);
});

test('B12 a pod that is going is ended at once under one approval, though its status is written meanwhile', async () => {
  // On a node, so that its deletion takes a kubelet's word; of an image that this node does not run.
  await lab.admin.post(core('pods'), { ...pod('b12-pod'), spec: { ...pod('b12-pod').spec, nodeName: 'standin' } });
  await lab.admin.delete(core('pods', 'b12-pod'));
  const attempt = () => lab.deployer.send('DELETE', `${core('pods', 'b12-pod')}?gracePeriodSeconds=0`);
  const key = await deniedThenApproved(lab, attempt);
  const answer = await whileReviewIsHeld(
    lab,
    { key, matches: byDeployer(matchesObject('b12-pod')), attempt },
    async () => {
      await lab.admin.patch(core('pods', 'b12-pod/status'), { status: { reason: 'Going' } });
      await histories.pods.of('b12-pod');
      expect(outcomeOf(await approvalOf(lab, key))).toMatchObject({ phase: 'Reserved' });
    },
  );
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(timesDeleted(await histories.pods.of('b12-pod'))).toBe(1);
});

const scaleTo = (name: string, replicas: number) => patch(lab, `${deploymentPath(name)}/scale`, { spec: { replicas } });
const hasReplicas = (replicas: number) => (object: KubeObject) =>
  fieldOf(fieldOf(object, 'spec'), 'replicas') === replicas;

test('B13 a Scale carries no generation, so after a conflict its parent is looked at, and the approval serves it once', async () => {
  await deploymentAtRest(lab, 'b13');
  const attempt = () => scaleTo('b13', 1);
  const key = await deniedThenApproved(lab, attempt);
  const reviews = reviewsFromNow(lab, 'b13', 'UPDATE');
  const answer = await whileReviewIsHeld(
    lab,
    { key, matches: byDeployer(matchesObject('b13', 'UPDATE')), attempt },
    async () => {
      await lab.admin.patch(deploymentPath('b13'), { metadata: { labels: { touched: 'yes' } } });
    },
  );
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(reviews().map(({ subResource, object }) => `${subResource} ${object?.kind}`)).toEqual([
    'scale Scale',
    'scale Scale',
  ]);
  expect(reviews()[1]?.oldObject?.metadata.resourceVersion).not.toBe(reviews()[0]?.oldObject?.metadata.resourceVersion);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(timesPersisted(await histories.deployments.of('b13'), hasReplicas(1))).toBe(1);
  expect(approvalInDenial(await scaleTo('b13', 2)).name).not.toBe(key.name);
});

test('B13 ephemeral containers come as their pod, and pass once', async () => {
  await lab.admin.post(core('pods'), pod('b13-debug'));
  const add = (name: string) =>
    patch(
      lab,
      core('pods', 'b13-debug/ephemeralcontainers'),
      { spec: { ephemeralContainers: [{ name, image: 'busybox:1' }] } },
      'strategic',
    );
  const key = await deniedThenApproved(lab, () => add('shell'));
  const reviews = reviewsFromNow(lab, 'b13-debug');
  expect((await add('shell')).code).toBe(200);
  expect(reviews().map(({ subResource, object }) => `${subResource} ${object?.kind}`)).toEqual([
    'ephemeralcontainers Pod',
  ]);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(approvalInDenial(await add('another')).name).not.toBe(key.name);
});

test('B14 a Namespace names itself as its namespace, and is judged as the cluster-scoped object that it is', async () => {
  const labels = { environment: 'production' };
  await apply(lab.cluster, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'b14', labels } }]);
  const path = '/api/v1/namespaces/b14';
  const unlabel = () => patch(lab, path, { metadata: { labels: { environment: null } } });
  const reviews = reviewsFromNow(lab, 'b14');
  const first = await unlabel();
  const key = approvalInDenial(first);
  expect(key.namespace).toBe('stepup-system');
  // The API server judges a namespaceSelector on the new labels, so the side webhook is not even asked.
  expect(reviews()).toEqual([]);
  await patch(lab, path, { metadata: { labels: { other: 'yes' } } });
  expect(reviews().map(({ namespace, name }) => `${namespace} ${name}`)).toEqual(['b14 b14']);
  await voteFor(lab, key, 'ada');
  expect(approvalInDenial(await unlabel()).name, 'one vote of two').toBe(key.name);
});

test('B15 a dry run is answered truthfully and spends nothing, except where it would really do something', async () => {
  await deploymentAtRest(lab, 'b15');
  const dry = () => patch(lab, `${deploymentPath('b15')}?dryRun=All`, imagePatchOf('nginx:2'));
  const reviews = reviewsFromNow(lab, 'b15', 'UPDATE');
  expect((await dry()).code).toBe(200);
  expect(reviews().map(({ dryRun }) => dryRun)).toEqual([true]);
  expect(await approvalsOn(lab, 'b15')).toEqual([]);
  const key = await deniedThenApproved(lab, () => setImage(lab, 'b15'));
  expect((await dry()).code).toBe(200);
  expect(outcomeOf(await approvalOf(lab, key))).toEqual({ phase: 'Approved', uses: 0, releases: 0 });
  expect((await setImage(lab, 'b15')).code).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(timesPersisted(await histories.deployments.of('b15'), hasImage('nginx:2'))).toBe(1);
  // A dry run of a token hands one out, so there the flag counts for nothing.
  const token = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 600 } };
  const asked = await lab.deployer.send('POST', `${core('serviceaccounts', 'default/token')}?dryRun=All`, {
    body: token,
  });
  expect(codeAndMessage(asked)).toContain('tokens requires approval to CREATE serviceaccounts/token prod/default');
});

const imagePatchOf = (image: string) => ({ spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });

test('B11 an eviction of a pod that is not there is answered as without stepup, and ends no namesake made meanwhile', async () => {
  const gone = await evict('b11-gone');
  expect(codeAndMessage(gone)).toMatch(/^404 .*pods prod\/b11-gone does not exist/);
  // By the API server itself, whom nobody gates.
  const ungated = await lab.admin.send('POST', core('pods', 'b11-gone/eviction'), { body: eviction('b11-gone') });
  expect(ungated.code).toBe(404);
  // Asked before it is there, and held until it is: a request that were let through would end it.
  const answered = () => counted(lab.stepup, 'stepup_decisions_total', { reason: 'TargetUnknown' });
  const before = await answered();
  const hold = lab.side.hold(byDeployer(matchesObject('b11-gone')));
  const early = evict('b11-gone');
  await hold.arrived();
  await eventually('stepup to have answered', async () => (await answered()) > before);
  await lab.admin.post(core('pods'), pod('b11-gone'));
  hold.release();
  expect((await early).code).toBe(404);
  expect(timesDeleted(await histories.pods.of('b11-gone'))).toBe(0);
  expect(approvalInDenial(await evict('b11-gone')).namespace).toBe('prod');
});
