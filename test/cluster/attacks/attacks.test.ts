// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Plays the attack list against the installed chart, and prints what came of each.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type Installation, installStepup } from '../../support/installation/installation.ts';
import { Attacker, type Said } from './attacker.ts';
import {
  apiService,
  binding,
  byDeployer,
  byRootBot,
  crd,
  gate,
  inLoop,
  policy,
  type Row,
  type Scene,
  stamp,
  webhook,
} from './attacks.ts';
import { documentedTable, tableOf } from './attacks-document.ts';
import { isGated, isGuarded, refuserOf, type Stage, setStage } from './stage.ts';

let stepup: Installation;
let deployer: Attacker;
let rootBot: Attacker;
let scene: Scene;
let stage: Stage;
let guardProbe: Stage['guardProbe'];
let gateProbe: Stage['gateProbe'];

beforeAll(async () => {
  stepup = await installStepup();
  stage = await setStage(stepup);
  ({ deployer, rootBot, scene, guardProbe, gateProbe } = stage);
}, 300_000);

afterAll(async () => {
  stage?.close();
  await stepup?.stop();
});

interface Result {
  readonly outcome: string;
  readonly note: string;
}

async function play([, attack, expected]: Row, as: Attacker): Promise<Result> {
  if (expected === 'undone') return undone(() => attack(as, scene));
  const said = await attack(as, scene);
  if (expected === 'out of reach') {
    return said.code === 403
      ? { outcome: refuserOf(said) ?? '?', note: said.message }
      : { outcome: 'out of reach', note: `answered ${said.code}` };
  }
  return { outcome: refuserOf(said) ?? `answered ${said.code}`, note: said.message };
}

/** Plays an attack and waits until all is as it was, and said so: how often it got through, and for how long. */
async function undone(attack: () => Promise<Said>): Promise<Result> {
  const before = await standing();
  const said = await attack();
  const began = performance.now();
  let checks = 0;
  await eventually(
    'all to be as it was',
    async () => {
      checks += 1;
      expect(isGuarded(await guardProbe())).toBe(true);
      expect(isGated(await gateProbe())).toBe(true);
      expect(await standing()).toEqual(before);
      return true;
    },
    { intervalMs: 1 },
  );
  const ms = Math.round(performance.now() - began);
  await eventually('a policy to say Tampered', async () => (await tampered()) === 'True');
  const cleared = new Date().toISOString();
  const annotate = ['annotate', 'stepuppolicies', '--all', '--overwrite', `stepup.dev/tampered-cleared=${cleared}`];
  expect(await stepup.kubectl('admin', annotate)).toMatchObject({ code: 0 });
  await eventually('it to be cleared', async () => (await tampered()) === 'False');
  const got = said.code < 300 ? 'got through' : 'never got through';
  return { outcome: 'undone', note: `${got}; ${ms} ms until all was as before (${checks} looks)` };
}

async function tampered(): Promise<string | undefined> {
  const { status } = await stepup.cluster.admin.get<{
    metadata: { name: string };
    status: { conditions: { type: string; status: string }[] };
  }>(policy);
  return status.conditions.find(({ type }) => type === 'Tampered')?.status;
}

/** What must be as it was, without what every write changes. */
async function standing(): Promise<object> {
  const { admin } = stepup.cluster;
  const paths = [gate, stamp, binding('stepup-guard'), policy, apiService, crd];
  return Promise.all(
    paths.map(async (path) => {
      const { spec, webhooks } = (await admin.get(path)) as { spec?: object; webhooks?: object };
      return { spec, webhooks };
    }),
  );
}

function show(who: string, rows: readonly Row[], results: readonly Result[]): void {
  const lines = rows.map(([what], index) => {
    const { outcome, note } = results[index] ?? { outcome: '?', note: '' };
    return [what, outcome, note.replace(/\s+/g, ' ').slice(0, 160)];
  });
  process.stdout.write(`\n${tableOf([[who, 'outcome', 'said'], ...lines])}\n`);
}

async function playAll(who: string, rows: readonly Row[], as: Attacker): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const row of rows) results.push(await play(row, as));
  show(who, rows, results);
  return results;
}

const outcomes = (rows: readonly Row[], results: readonly Result[]) =>
  Object.fromEntries(rows.map(([what], index) => [what, results[index]?.outcome]));
const expected = (rows: readonly Row[]) => Object.fromEntries(rows.map(([what, , outcome]) => [what, outcome]));

describe('the attack list', () => {
  test('of an account with the roles for gated accounts: all of it is refused', async () => {
    expect(byDeployer.length).toBeGreaterThanOrEqual(20);
    const results = await playAll('ci/deployer', byDeployer, deployer);
    expect(outcomes(byDeployer, results)).toEqual(expected(byDeployer));
    expect(byDeployer.map(([, , outcome]) => outcome)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/undone|out of reach/)]),
    );
    expect(isGated(await scene.retry()), 'and the change still waits').toBe(true);
    documentedTable('deployer', [['it', 'refused by'], ...byDeployer.map(([what, , outcome]) => [what, outcome])]);
  }, 120_000);

  test('of a cluster-admin that is gated: refused, undone and reported, or named', async () => {
    expect(byRootBot.length).toBeGreaterThanOrEqual(15);
    const results = await playAll('ci/root-bot', byRootBot, rootBot);
    expect(outcomes(byRootBot, results)).toEqual(expected(byRootBot));
    expect(isGated(await scene.retry()), 'and the change still waits').toBe(true);
    documentedTable('root-bot', [['it', 'what comes of it'], ...byRootBot.map(([what, , outcome]) => [what, outcome])]);
  }, 300_000);

  test('of that cluster-admin is refused to the last line where it holds the roles for gated accounts instead', async () => {
    const results: (readonly [string, number])[] = [];
    for (const [what, attack] of byRootBot) results.push([what, (await attack(deployer, scene)).code]);
    expect(Object.fromEntries(results)).toEqual(Object.fromEntries(byRootBot.map(([what]) => [what, 403])));
  }, 120_000);

  test('has neighbours that pass: the same by a person, and others’ objects by the account', async () => {
    const admin = new Attacker('admin', stepup.kubeconfigs.admin);
    const passes = {
      gateByAdmin: (await admin.delete(`${gate}?dryRun=All`)).code,
      otherWebhook: (
        await rootBot.post(
          '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?dryRun=All',
          webhook('other', 'example.test'),
        )
      ).code,
      otherScale: (await rootBot.post('/api/v1/namespaces/dev/configmaps?dryRun=All', { metadata: { name: 'a' } }))
        .code,
    };
    admin.close();
    expect(passes).toEqual({ gateByAdmin: 200, otherWebhook: 201, otherScale: 201 });
  });
});

describe('the gap', () => {
  test('after one deletion by a person is measured', async () => {
    const gaps: number[] = [];
    let admitted = 0;
    for (let round = 0; round < 20; round++) {
      await stepup.cluster.admin.delete(gate);
      const began = performance.now();
      const open: number[] = [];
      await eventually(
        'the gate to be back',
        async () => {
          if (isGated(await gateProbe())) return true;
          open.push(performance.now() - began);
          return false;
        },
        { intervalMs: 0 },
      );
      admitted += open.length;
      gaps.push(Math.round(performance.now() - began));
      // The API server may refuse by what it still remembers: the next round deletes what is there.
      await eventually('the configuration to be stored again', () => stepup.cluster.admin.get(gate));
      // A second deletion at once would be another attack.
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    gaps.sort((a, b) => a - b);
    process.stdout.write(
      `\none deletion, 20 rounds: first refusal after ${gaps[10]} ms (median), ${gaps.at(-1)} ms (longest); ${admitted} writes admitted in all\n`,
    );
    expect(gaps.at(-1)).toBeLessThan(20_000);
  }, 120_000);

  test('of a loop that deletes guard and gate is measured, and ends with it', async () => {
    let isOver = false;
    let writes = 0;
    let admitted = 0;
    const deleting = (async () => {
      const until = performance.now() + 4_000;
      while (performance.now() < until) await inLoop(rootBot, 'stepup-guard', () => rootBot.delete(gate));
      isOver = true;
    })();
    while (!isOver) {
      writes += 1;
      if (!isGated(await gateProbe())) admitted += 1;
    }
    await deleting;
    const began = performance.now();
    await eventually('the gate to be back', async () => isGated(await gateProbe()), { intervalMs: 0 });
    await eventually('the guard to be back', async () => isGuarded(await guardProbe()), { intervalMs: 0 });
    const ms = Math.round(performance.now() - began);
    const share = Math.round((100 * admitted) / writes);
    process.stdout.write(
      `\na loop of 4 s: ${admitted} of ${writes} writes admitted (${share} %); all refused again ${ms} ms after it\n`,
    );
    expect(admitted, 'not every write').toBeLessThan(writes);
    await eventually('a policy to say Tampered', async () => (await tampered()) === 'True');
  }, 60_000);
});
