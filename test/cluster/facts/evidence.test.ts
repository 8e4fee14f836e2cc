// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes that land late, and an operator that comes back after an hour: what is told rests on what can still be seen.

import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { policiesReady } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { withoutOperator } from '../../support/installation/without-operator.ts';
import { targetOf } from '../../support/side-webhook.ts';
import { type ApprovalKey, deployment, deployments, imagePatch } from '../../support/traffic.ts';
import {
  core,
  createDeployment,
  deploymentAtRest,
  deploymentPath,
  patch,
  sendWithTimeout,
  setImage,
  timeoutAnswer,
} from './actions.ts';
import {
  approvalInDenial,
  approvalOf,
  byDeployer,
  codeAndMessage,
  deniedThenApproved,
  expiredOnce,
  type HeldLab,
  observedOnce,
  outcomeOf,
  reservedOnce,
  startHeldLab,
  unconfirmedOnce,
  waitForEnd,
  waitForPhase,
  whileReviewIsHeld,
} from './facts-lab.ts';
import { type Histories, startHistories, timesDeleted } from './history.ts';
import { leftBehind } from './left-behind.ts';

let lab: HeldLab;
let histories: Histories;
vi.setConfig({ testTimeout: 120_000 });

beforeAll(async () => {
  lab = await startHeldLab();
  await addPolicy(lab.stepup, 'services', [{ operations: ['UPDATE'], apiGroups: [''], resources: ['services'] }]);
  // By the API server that is not restarted.
  const admin = lab.cluster.adminOf(lab.cluster.servers[1] ?? '');
  histories = await startHistories(admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
});

const impatient = (name: string, seconds = 1) =>
  sendWithTimeout(lab, seconds, 'PATCH', deploymentPath(name), imagePatch('nginx:2'));

test('a write that lands after everybody has given up on it is seen, and nobody gets a second one', async () => {
  await deploymentAtRest(lab, 'late');
  const key = await deniedThenApproved(lab, () => setImage(lab, 'late'));
  const writes = lab.etcd.holdWrites('/deployments/prod/late');
  expect(await impatient('late')).toMatch(timeoutAnswer);
  await writes.arrived();
  expect(outcomeOf(await waitForPhase(lab, key, 'Reserved'))).toEqual(reservedOnce);
  expect(approvalInDenial(await setImage(lab, 'late', 'nginx:3')).name, 'another change').not.toBe(key.name);
  // The same change again, while the first one is still on its way: both may go, one can win.
  expect(await impatient('late')).toMatch(timeoutAnswer);
  await writes.arrived(2);
  expect(await histories.timesWithImage('late', 'nginx:2')).toBe(0);
  writes.release();
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('late', 'nginx:2')).toBe(1);
  expect((await setImage(lab, 'late')).code, 'nothing is left to do').toBe(200);
});

test('etcd stops after the answer and goes on after every timeout: each approved change is persisted once, by then or by the next try', async () => {
  const names = Array.from({ length: 6 }, (_, at) => `stopped-${at}`);
  for (const name of names) await deploymentAtRest(lab, name);
  const keys: ApprovalKey[] = [];
  for (const name of names) keys.push(await deniedThenApproved(lab, () => setImage(lab, name)));
  const hold = lab.side.hold(byDeployer((review) => targetOf(review).startsWith('stopped-')));
  const timed = names.map((name) => impatient(name, 3));
  await hold.arrived(names.length);
  for (const key of keys) await waitForPhase(lab, key, 'Reserved');
  lab.cluster.etcd.pause();
  hold.release();
  const answers = await Promise.all(timed);
  lab.cluster.etcd.resume();
  for (const answer of answers) expect(answer).toMatch(timeoutAnswer);
  // Whether such a write lands is etcd's secret until it is seen: the requester just tries again.
  for (const name of names) {
    await eventually(`${name} to be written`, async () => (await setImage(lab, name)).code === 200);
  }
  for (const key of keys) expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  for (const name of names) expect(await histories.timesWithImage(name, 'nginx:2')).toBe(1);
});

test('a Scale that is asked about on a stale watch cache passes, reserved on the state that its parent has moved to', async () => {
  await deploymentAtRest(lab, 'scaled');
  const attempt = () => patch(lab, `${deploymentPath('scaled')}/scale`, { spec: { replicas: 1 } });
  const key = await deniedThenApproved(lab, attempt);
  const release = lab.etcd.holdWatches();
  await lab.admin.patch(deploymentPath('scaled'), { metadata: { labels: { touched: 'yes' } } });
  const answer = await attempt();
  release();
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
});

test('while no operator leads, a call on the next generation proves by itself that the reserved write lost', async () => {
  const names = ['proven', 'unproven'];
  for (const name of names) await deploymentAtRest(lab, name);
  const [proven, unproven] = await Promise.all(names.map((name) => deniedThenApproved(lab, () => setImage(lab, name))));
  if (proven === undefined || unproven === undefined) throw new Error('approve two changes: there are fewer');
  const loseTo = (name: string, key: ApprovalKey, changes: number) => {
    const attempt = () => setImage(lab, name);
    return whileReviewIsHeld(
      lab,
      { key, matches: byDeployer((review) => targetOf(review) === name), attempt },
      async () => {
        for (let times = 1; times <= changes; times++) {
          await lab.admin.patch(deploymentPath(name), { spec: { minReadySeconds: times } });
        }
      },
    );
  };
  await withoutOperator(lab.stepup, async () => {
    const answer = await loseTo('proven', proven, 1);
    expect(answer.code, codeAndMessage(answer)).toBe(200);
    // What became of the generation in between, this call cannot know: only who follows the target can.
    expect(approvalInDenial(await loseTo('unproven', unproven, 2)).name).not.toBe(unproven.name);
  });
  expect(await waitForEnd(lab, proven)).toEqual({ ...observedOnce, uses: 2, releases: 1 });
  expect(outcomeOf(await waitForPhase(lab, unproven, 'Approved'))).toEqual({ phase: 'Approved', uses: 1, releases: 1 });
  expect((await setImage(lab, 'unproven')).code).toBe(200);
  for (const name of names) expect(await histories.timesWithImage(name, 'nginx:2')).toBe(1);
});

test('an update for which the API server allocates is another one on every try, unless it names what it wants', async () => {
  await lab.admin.post(core('services'), { metadata: { name: 'allocated' }, spec: { ports: [{ port: 80 }] } });
  const drawn = () => patch(lab, core('services', 'allocated'), { spec: { type: 'NodePort' } });
  const unnamed = await deniedThenApproved(lab, drawn);
  expect(approvalInDenial(await drawn()).name, 'another port').not.toBe(unnamed.name);
  const spec = { type: 'NodePort', ports: [{ port: 80, nodePort: 31234 }] };
  const attempt = () => patch(lab, core('services', 'allocated'), { spec });
  const key = await deniedThenApproved(lab, attempt);
  expect((await attempt()).code).toBe(200);
  // Taken for lost, its approval would serve a second time.
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  await lab.admin.patch(core('services', 'allocated'), { spec: { type: 'ClusterIP', ports: [{ port: 80 }] } });
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
});

test('a Service that becomes an ExternalName is read without all that was admitted, and known again', async () => {
  const service = core('services', 'away');
  await lab.admin.post(core('services'), { metadata: { name: 'away' }, spec: { ports: [{ port: 80 }] } });
  const attempt = () => patch(lab, service, { spec: { type: 'ExternalName', externalName: 'example.com' } });
  const key = await deniedThenApproved(lab, attempt);
  expect((await attempt()).code).toBe(200);
  // Taken for lost, its approval would serve a second time.
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  await lab.admin.patch(service, { spec: { type: 'ClusterIP', externalName: null } });
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
});

test('an operator that is away for an hour settles by what it still can see, and says where it cannot tell', async () => {
  const left = leftBehind(lab);
  const keys: ApprovalKey[] = [];
  for (const { prepare, attempt } of left) {
    await prepare?.();
    keys.push(await deniedThenApproved(lab, attempt));
  }
  // These two land when the hour is over.
  await deploymentAtRest(lab, 'hour-late');
  const lateUpdate = await deniedThenApproved(lab, () => setImage(lab, 'hour-late'));
  const lateCreate = await deniedThenApproved(lab, () => createDeployment(lab, 'hour-late-new'));
  const writes = lab.etcd.holdWrites('/deployments/prod/hour-late');

  await withoutOperator(lab.stepup, async () => {
    for (const { pass, attempt } of left) await pass(attempt);
    expect(await impatient('hour-late')).toMatch(timeoutAnswer);
    const body = deployment('prod', 'hour-late-new');
    expect(await sendWithTimeout(lab, 1, 'POST', deployments('prod'), body)).toMatch(timeoutAnswer);
    await writes.arrived(2);
    for (const key of [...keys, lateUpdate, lateCreate]) {
      expect(outcomeOf(await approvalOf(lab, key)), key.name).toEqual(reservedOnce);
    }
    await lab.stepup.upgrade(['extraArgs[0]=--clock-offset-ms=3600000']);
    // A restarted API server knows no past, so nobody can be told what happened meanwhile.
    await lab.cluster.apiServers[0]?.restart();
    await policiesReady(lab.cluster);
  });

  const told = await Promise.all(keys.map((key) => waitForEnd(lab, key, 60_000)));
  expect(left.map(({ what }, at) => ({ what, ended: told[at] }))).toEqual(
    left.map(({ what, expected }) => ({ what, ended: expected })),
  );
  expect(await waitForEnd(lab, lateUpdate, 60_000)).toEqual(expiredOnce);
  expect(await waitForEnd(lab, lateCreate, 60_000)).toEqual(unconfirmedOnce);
  // Neither says that nothing has come of it or will: it does.
  for (const key of [lateUpdate, lateCreate]) {
    const { status } = await approvalOf(lab, key);
    expect(status?.conditions?.find(({ type }) => type === 'Ready')?.message).toMatch(/did not see|never saw/);
  }
  writes.release();
  await eventually(
    'the late write to land',
    async () => (await histories.timesWithImage('hour-late', 'nginx:2')) === 1,
  );
  await eventually(
    'the late object to be made',
    async () => (await histories.timesWithImage('hour-late-new', 'nginx:0')) === 1,
  );
  // And it stays one: what has ended admits nothing.
  await lab.admin.patch(deploymentPath('hour-late'), deployment('prod', 'hour-late'));
  await lab.admin.delete(deploymentPath('hour-late-new'));
  expect(approvalInDenial(await setImage(lab, 'hour-late')).name).not.toBe(lateUpdate.name);
  expect(approvalInDenial(await createDeployment(lab, 'hour-late-new')).name).not.toBe(lateCreate.name);
  expect(timesDeleted(await histories.pods.of('hour-e'))).toBe(1);
});
