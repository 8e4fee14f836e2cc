// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reservations are settled by evidence, whoever leads and however often the process is another one.

import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type ApiProxy, startApiProxy, throughProxy } from '../../support/api-proxy.ts';
import type { Answer } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { freeLease, withoutOperator } from '../../support/installation/without-operator.ts';
import { leaderOf } from '../../support/recovery.ts';
import { type Matches, matchesObject, targetOf } from '../../support/side-webhook.ts';
import type { ApprovalKey } from '../../support/traffic.ts';
import {
  core,
  createDeployment,
  deletePod,
  deploymentAtRest,
  deploymentPath,
  imageOf,
  pod,
  setImage,
} from './actions.ts';
import {
  anHourLater,
  approvalInDenial,
  byDeployer,
  codeAndMessage,
  deniedThenApproved,
  expiredOnce,
  type Lab,
  observedOnce,
  outcomeOf,
  phasesFromNow,
  startLab,
  type UnsettledReservation,
  unconfirmedOnce,
  waitForEnd,
  waitForPhase,
  whileReviewIsHeld,
} from './facts-lab.ts';
import { type Histories, startHistories, timesDeleted } from './history.ts';

let lab: Lab;
let proxy: ApiProxy;
let histories: Histories;
vi.setConfig({ testTimeout: 120_000 });
/** Reservations that nobody has come back for: the last test lets their time pass. */
const unsettled: UnsettledReservation[] = [];

beforeAll(async () => {
  lab = await startLab();
  proxy = await startApiProxy(new URL(lab.cluster.server));
  await lab.stepup.upgrade(throughProxy(proxy));
  await eventually('the rollout to be over', () => lab.node.pods().length === 2);
  histories = await startHistories(lab.admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
  proxy?.close();
});

/** Ends these replicas as a crash would, and waits until as many are Ready again. */
async function crash(names: readonly string[]): Promise<void> {
  const pids = () => lab.node.pods().map(({ pid }) => pid);
  const before = new Set(pids());
  for (const name of names) lab.node.kill(name);
  await eventually('other processes to be Ready', () => {
    const changed = pids().filter((pid) => pid !== undefined && !before.has(pid)).length;
    return changed === names.length && lab.node.pods().every(({ isReady }) => isReady);
  });
}

test('a replica dies between reserving and answering: the same UPDATE and DELETE pass at once, a CREATE is told, others do not', async () => {
  await deploymentAtRest(lab, 'killed');
  await deploymentAtRest(lab, 'abandoned');
  await lab.admin.post(core('pods'), pod('killed'));
  const attempts = {
    update: () => setImage(lab, 'killed'),
    abandoned: () => setImage(lab, 'abandoned'),
    delete: () => deletePod(lab, 'killed'),
    create: () => createDeployment(lab, 'killed-new'),
  };
  const keys = await mapped(attempts, (attempt) => deniedThenApproved(lab, attempt));
  // A reservation without a read needs what every replica has been told by now.
  await new Promise((resolve) => setTimeout(resolve, 500));
  proxy.deafen();
  const answers = mapped(attempts, (attempt) => attempt());
  await mapped(keys, (key) => waitForPhase(lab, key, 'Reserved'));
  const crashed = crash(lab.node.pods().map(({ name }) => name));
  proxy.admit();
  for (const answer of Object.values(await answers))
    expect(codeAndMessage(answer)).toMatch(/^500 .*failed calling webhook/);
  await crashed;
  expect(await histories.timesWithImage('killed', 'nginx:2')).toBe(0);

  expect(approvalInDenial(await setImage(lab, 'killed', 'nginx:3')).name, 'another change').not.toBe(keys.update.name);
  expect((await attempts.update()).code).toBe(200);
  expect((await attempts.delete()).code).toBe(200);
  const told = await attempts.create();
  expect(codeAndMessage(told)).toContain('the previous approval is reserved or consumed');
  expect((await approvedAndDone(told, attempts.create)).code).toBe(201);

  expect(await waitForEnd(lab, keys.update)).toEqual(observedOnce);
  expect(await waitForEnd(lab, keys.delete)).toEqual(observedOnce);
  expect(await histories.timesWithImage('killed', 'nginx:2')).toBe(1);
  expect(timesDeleted(await histories.pods.of('killed'))).toBe(1);
  expect(await histories.timesWithImage('killed-new', 'nginx:0')).toBe(1);
  unsettled.push({ fact: 'a CREATE whose replica died', key: keys.create, expected: unconfirmedOnce });
  unsettled.push({ fact: 'an UPDATE whose replica died', key: keys.abandoned, expected: expiredOnce });
});

async function mapped<Key extends string, From, To>(
  from: Readonly<Record<Key, From>>,
  work: (one: From) => Promise<To>,
): Promise<Record<Key, To>> {
  const entries = Object.entries(from) as [Key, From][];
  return Object.fromEntries(await Promise.all(entries.map(async ([key, one]) => [key, await work(one)]))) as Record<
    Key,
    To
  >;
}

/** Has the approval approved that a refusal names, and tries again. */
async function approvedAndDone(refused: Answer, attempt: () => Promise<Answer>): Promise<Answer> {
  await deniedThenApproved(lab, async () => refused);
  return attempt();
}

test('the operator is restarted between the answer and the write, and its successor sees the change', async () => {
  await deploymentAtRest(lab, 'restarted');
  const attempt = () => setImage(lab, 'restarted');
  const key = await deniedThenApproved(lab, attempt);
  const answer = await whileReviewIsHeld(
    lab,
    { key, matches: byDeployer(matchesObject('restarted')), attempt },
    async () => {
      await crash([await leaderOf(lab.node)]);
      await freeLease(lab.stepup);
      await leaderOf(lab.node);
    },
  );
  expect(answer.code, codeAndMessage(answer)).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect(await histories.timesWithImage('restarted', 'nginx:2')).toBe(1);
});

test('an object that is created, deleted and created again has spent its approval on the first one, seen or not', async () => {
  const attempt = () => createDeployment(lab, 'again');
  const key = await deniedThenApproved(lab, attempt);
  expect((await attempt()).code).toBe(201);
  await lab.admin.delete(deploymentPath('again'));
  expect(approvalInDenial(await attempt()).name).not.toBe(key.name);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);

  const unseen = () => createDeployment(lab, 'again-unseen');
  const unseenKey = await deniedThenApproved(lab, unseen);
  await withoutOperator(lab.stepup, async () => {
    expect((await unseen()).code).toBe(201);
    await lab.admin.delete(deploymentPath('again-unseen'));
    const second = await unseen();
    expect(approvalInDenial(second).name).not.toBe(unseenKey.name);
    expect(codeAndMessage(second)).toContain('the previous approval is reserved or consumed');
  });
  expect(outcomeOf(await waitForPhase(lab, unseenKey, 'Reserved'))).toMatchObject({ uses: 1, releases: 0 });
  expect(await histories.timesWithImage('again-unseen', 'nginx:0')).toBe(1);
  unsettled.push({ fact: 'created and deleted unseen', key: unseenKey, expected: unconfirmedOnce });
});

test('two replicas lead for a moment: each approval is settled once, whatever both of them saw', async () => {
  const names = Array.from({ length: 6 }, (_, at) => `twice-${at}`);
  const loses = (name: string) => Number(name.at(-1)) % 2 === 1;
  for (const name of names) await deploymentAtRest(lab, name);
  const keys: ApprovalKey[] = [];
  for (const name of names) keys.push(await deniedThenApproved(lab, () => setImage(lab, name)));
  const phases = await phasesFromNow(lab);
  const held = (which: (name: string) => boolean): Matches =>
    byDeployer((review) => {
      const name = targetOf(review);
      return name.startsWith('twice-') && which(name) && imageOf(review.object) === 'nginx:2';
    });
  const winning = lab.side.hold(held((name) => !loses(name)));
  const losing = lab.side.hold(held(loses));
  const answers = names.map((name) => setImage(lab, name));
  await winning.arrived(names.length / 2);
  await losing.arrived(names.length / 2);
  for (const key of keys) await waitForPhase(lab, key, 'Reserved');

  const first = await leaderOf(lab.node);
  lab.node.kill(first, 'SIGSTOP');
  await freeLease(lab.stepup);
  await eventually('the other one to lead', () => leadsInsteadOf(first));
  // These are settled by the new leader; the old one has yet to be told that they happened, and that they are settled.
  winning.release();
  for (const [at, key] of keys.entries()) if (!loses(names[at] ?? '')) await waitForEnd(lab, key);
  // From here on both believe that they lead.
  lab.node.kill(first, 'SIGCONT');
  await Promise.all(
    names.filter(loses).map((name) => lab.admin.patch(deploymentPath(name), { spec: { minReadySeconds: 1 } })),
  );
  losing.release();

  for (const answer of await Promise.all(answers)) expect(answer.code, codeAndMessage(answer)).toBe(200);
  for (const [at, key] of keys.entries()) {
    const lost = loses(names[at] ?? '') ? 1 : 0;
    expect(await waitForEnd(lab, key)).toEqual({ ...observedOnce, uses: 1 + lost, releases: lost });
    expect(await histories.timesWithImage(names[at] ?? '', 'nginx:2')).toBe(1);
    const seen = await phases.of(key);
    expect(
      seen.filter((phase) => phase === 'Consumed'),
      'written once',
    ).toHaveLength(1);
    expect(seen.at(-1)).toBe('Consumed');
  }
  phases.close();
});

/** Does another replica than this one lead, by its own word? */
async function leadsInsteadOf(name: string): Promise<boolean> {
  const others = lab.node.pods().filter((one) => one.name !== name && one.isReady);
  const texts = await Promise.all(others.map(async ({ ip }) => (await fetch(`http://${ip}:8080/metrics`)).text()));
  return texts.some((text) => /^stepup_leader 1$/m.test(text));
}

test('an hour later what nobody has come back for is settled, though every process is another one', async () => {
  expect(unsettled.length).toBe(3);
  expect(await anHourLater(lab, unsettled)).toEqual(unsettled);
});
