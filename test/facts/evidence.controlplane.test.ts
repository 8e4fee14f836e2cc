// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes that land late, and an operator that comes back after an hour: what is told rests on what can still be seen.

import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Answer } from '../controlplane/admin-client.ts';
import { eventually } from '../controlplane/eventually.ts';
import { apply, policiesReady } from '../e2e/installation.ts';
import { addPolicy } from '../e2e/test-policy.ts';
import { withoutOperator } from '../e2e/without-operator.ts';
import { type ApprovalKey, deployment, deployments, imagePatch } from '../faults/traffic.ts';
import { core, deploymentPath, givenUp, hasImage, patch, pod, setImage, standing, timedOut } from './actions.ts';
import { type History, startHistory, timesDeleted, timesPersisted } from './history.ts';
import {
  approvalIn,
  approvalOf,
  approvedBefore,
  byDeployer,
  codeAndMessage,
  type Ended,
  endOf,
  type HeldLab,
  observedOnce,
  reached,
  standingOf,
  startHeldLab,
} from './lab.ts';
import { targetOf } from './side-webhook.ts';

let lab: HeldLab;
let deploymentHistory: History;
let podHistory: History;
vi.setConfig({ testTimeout: 120_000 });

beforeAll(async () => {
  lab = await startHeldLab();
  await addPolicy(lab.stepup, 'services', [{ operations: ['UPDATE'], apiGroups: [''], resources: ['services'] }]);
  deploymentHistory = await startHistory(lab.admin, '/apis/apps/v1/deployments', deployment('dev', 'marker'));
  podHistory = await startHistory(lab.admin, '/api/v1/pods', pod('marker', 'dev'));
});
afterAll(async () => {
  for (const history of [deploymentHistory, podHistory]) history?.close();
  await lab?.stop();
});

type Attempt = () => Promise<Answer>;
const timesWith = async (name: string, image: string) =>
  timesPersisted(await deploymentHistory.of(name), hasImage(image));
const impatient = (name: string, seconds = 1) =>
  givenUp(lab, seconds, 'PATCH', deploymentPath(name), imagePatch('nginx:2'));
const create = (name: string) => lab.deployer.send('POST', deployments('prod'), { body: deployment('prod', name) });
const remove = (name: string) => lab.deployer.send('DELETE', core('pods', name));
const reservedOnce = { phase: 'Reserved', uses: 1, releases: 0 };
const expired: Ended = { phase: 'Expired', uses: 1, releases: 0 };
const unconfirmed: Ended = { ...observedOnce, evidence: 'Unconfirmed' };

test('a write that lands after everybody has given up on it is seen, and nobody gets a second one', async () => {
  await standing(lab, 'late');
  const key = await approvedBefore(lab, () => setImage(lab, 'late'));
  const writes = lab.etcd.holdWrites('/deployments/prod/late');
  expect(await impatient('late')).toMatch(timedOut);
  await writes.arrived();
  expect(standingOf(await reached(lab, key, 'Reserved'))).toEqual(reservedOnce);
  expect(approvalIn(await setImage(lab, 'late', 'nginx:3')).name, 'another change').not.toBe(key.name);
  // The same change again, while the first one is still on its way: both may go, one can win.
  expect(await impatient('late')).toMatch(timedOut);
  await writes.arrived(2);
  expect(await timesWith('late', 'nginx:2')).toBe(0);
  writes.release();
  expect(await endOf(lab, key)).toEqual(observedOnce);
  expect(await timesWith('late', 'nginx:2')).toBe(1);
  expect((await setImage(lab, 'late')).code, 'nothing is left to do').toBe(200);
});

test('etcd stops after the answer and goes on after every timeout: each approved change is persisted once, by then or by the next try', async () => {
  const names = Array.from({ length: 6 }, (_, at) => `stopped-${at}`);
  for (const name of names) await standing(lab, name);
  const keys: ApprovalKey[] = [];
  for (const name of names) keys.push(await approvedBefore(lab, () => setImage(lab, name)));
  const hold = lab.side.hold(byDeployer((review) => targetOf(review).startsWith('stopped-')));
  const timed = names.map((name) => impatient(name, 3));
  await hold.arrived(names.length);
  for (const key of keys) await reached(lab, key, 'Reserved');
  lab.cluster.etcd.pause();
  hold.release();
  const answers = await Promise.all(timed);
  lab.cluster.etcd.resume();
  for (const answer of answers) expect(answer).toMatch(timedOut);
  // Whether such a write lands is etcd's secret until it is seen: the requester just tries again.
  for (const name of names) {
    await eventually(`${name} to be written`, async () => (await setImage(lab, name)).code === 200);
  }
  for (const key of keys) expect(await endOf(lab, key)).toEqual(observedOnce);
  for (const name of names) expect(await timesWith(name, 'nginx:2')).toBe(1);
});

test('a Scale that is asked about on a stale watch cache passes, once it is seen that it lost', async () => {
  await standing(lab, 'scaled');
  const attempt = () => patch(lab, `${deploymentPath('scaled')}/scale`, { spec: { replicas: 1 } });
  const key = await approvedBefore(lab, attempt);
  const release = lab.etcd.holdWatches();
  await lab.admin.patch(deploymentPath('scaled'), { metadata: { labels: { touched: 'yes' } } });
  const answer = await attempt();
  release();
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(await endOf(lab, key)).toEqual({ ...observedOnce, uses: 2, releases: 1 });
});

test('an update for which the API server allocates something is seen for what it is', async () => {
  await lab.admin.post(core('services'), { metadata: { name: 'allocated' }, spec: { ports: [{ port: 80 }] } });
  const attempt = () => patch(lab, core('services', 'allocated'), { spec: { type: 'NodePort' } });
  const key = await approvedBefore(lab, attempt);
  expect((await attempt()).code).toBe(200);
  // Taken for lost, its approval would serve a second time.
  expect(await endOf(lab, key)).toEqual(observedOnce);
  await lab.admin.patch(core('services', 'allocated'), { spec: { type: 'ClusterIP' } });
  expect(approvalIn(await attempt()).name).not.toBe(key.name);
});

interface Left {
  readonly what: string;
  /** How it was told an hour later, by an operator that saw nothing of it. */
  readonly expected: Ended;
  readonly attempt: Attempt;
  readonly prepare?: () => Promise<unknown>;
  /** What becomes of it while nobody looks. */
  readonly pass: (attempt: Attempt) => Promise<void>;
}

/** What was done and how it must be told, each with a neighbour that differs in one thing. */
function leftBehind(): readonly Left[] {
  const done = async (attempt: Attempt) => expect((await attempt()).code).toBeLessThan(202);
  const refused = async (attempt: Attempt, name: string) => {
    const allow = lab.side.deny(
      byDeployer((review) => targetOf(review) === name),
      'not today',
    );
    expect((await attempt()).code).toBe(403);
    allow();
  };
  const update = (name: string): Pick<Left, 'attempt' | 'prepare'> => ({
    prepare: () => standing(lab, name),
    attempt: () => setImage(lab, name),
  });
  const deletion = (name: string): Pick<Left, 'attempt' | 'prepare'> => ({
    prepare: () => lab.admin.post(core('pods'), pod(name)),
    attempt: () => remove(name),
  });
  const creation = (name: string): Pick<Left, 'attempt'> => ({ attempt: () => create(name) });
  return [
    { what: 'an update that happened', ...update('hour-a'), pass: done, expected: observedOnce },
    {
      what: 'an update that happened, and the spec has changed since',
      ...update('hour-b'),
      pass: async (attempt) => {
        await done(attempt);
        await lab.admin.patch(deploymentPath('hour-b'), { spec: { minReadySeconds: 1 } });
      },
      expected: unconfirmed,
    },
    {
      what: 'an update that did not happen',
      ...update('hour-c'),
      pass: (a) => refused(a, 'hour-c'),
      expected: expired,
    },
    {
      what: 'an update that did not happen, and the spec has changed since',
      ...update('hour-d'),
      pass: async (attempt) => {
        await refused(attempt, 'hour-d');
        await lab.admin.patch(deploymentPath('hour-d'), { spec: { minReadySeconds: 1 } });
      },
      expected: { ...expired, releases: 1 },
    },
    { what: 'a deletion that happened', ...deletion('hour-e'), pass: done, expected: observedOnce },
    {
      what: 'a deletion that did not happen',
      ...deletion('hour-f'),
      pass: (a) => refused(a, 'hour-f'),
      expected: expired,
    },
    { what: 'a creation that happened', ...creation('hour-g'), pass: done, expected: observedOnce },
    {
      what: 'a creation that happened, and the object is gone again',
      ...creation('hour-h'),
      pass: async (attempt) => {
        await done(attempt);
        await lab.admin.delete(deploymentPath('hour-h'));
      },
      expected: unconfirmed,
    },
    {
      what: 'a creation that happened, and the name is another object by now',
      ...creation('hour-i'),
      pass: async (attempt) => {
        await done(attempt);
        await lab.admin.delete(deploymentPath('hour-i'));
        await apply(lab.cluster, [deployment('prod', 'hour-i')]);
      },
      expected: unconfirmed,
    },
    {
      what: 'a creation that did not happen',
      ...creation('hour-j'),
      pass: (a) => refused(a, 'hour-j'),
      expected: unconfirmed,
    },
  ];
}

test('an operator that is away for an hour settles by what it still can see, and says where it cannot tell', async () => {
  const left = leftBehind();
  const keys: ApprovalKey[] = [];
  for (const { prepare, attempt } of left) {
    await prepare?.();
    keys.push(await approvedBefore(lab, attempt));
  }
  // These two land when the hour is over.
  await standing(lab, 'hour-late');
  const lateUpdate = await approvedBefore(lab, () => setImage(lab, 'hour-late'));
  const lateCreate = await approvedBefore(lab, () => create('hour-late-new'));
  const writes = lab.etcd.holdWrites('/deployments/prod/hour-late');

  await withoutOperator(lab.stepup, async () => {
    for (const { pass, attempt } of left) await pass(attempt);
    expect(await impatient('hour-late')).toMatch(timedOut);
    const body = deployment('prod', 'hour-late-new');
    expect(await givenUp(lab, 1, 'POST', deployments('prod'), body)).toMatch(timedOut);
    await writes.arrived(2);
    for (const key of [...keys, lateUpdate, lateCreate]) {
      expect(standingOf(await approvalOf(lab, key)), key.name).toEqual(reservedOnce);
    }
    await lab.stepup.upgrade(['extraArgs[0]=--clock-offset-ms=3600000']);
    // A restarted API server knows no past, so nobody can be told what happened meanwhile.
    await lab.cluster.apiServers[0]?.restart();
    await policiesReady(lab.cluster);
  });

  const told = await Promise.all(keys.map((key) => endOf(lab, key, 60_000)));
  expect(left.map(({ what }, at) => ({ what, ended: told[at] }))).toEqual(
    left.map(({ what, expected }) => ({ what, ended: expected })),
  );
  expect(await endOf(lab, lateUpdate, 60_000)).toEqual(expired);
  expect(await endOf(lab, lateCreate, 60_000)).toEqual(unconfirmed);
  // Neither says that nothing has come of it or will: it does.
  for (const key of [lateUpdate, lateCreate]) {
    const { status } = await approvalOf(lab, key);
    expect(status?.conditions?.find(({ type }) => type === 'Ready')?.message).toMatch(/not seen|never seen/);
  }
  writes.release();
  await eventually('the late write to land', async () => (await timesWith('hour-late', 'nginx:2')) === 1);
  await eventually('the late object to be made', async () => (await timesWith('hour-late-new', 'nginx:0')) === 1);
  // And it stays one: what has ended admits nothing.
  await lab.admin.patch(deploymentPath('hour-late'), deployment('prod', 'hour-late'));
  await lab.admin.delete(deploymentPath('hour-late-new'));
  expect(approvalIn(await setImage(lab, 'hour-late')).name).not.toBe(lateUpdate.name);
  expect(approvalIn(await create('hour-late-new')).name).not.toBe(lateCreate.name);
  expect(timesDeleted(await podHistory.of('hour-e'))).toBe(1);
});
