// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// From the previous release to this tree and back, under traffic: no wrong decision, nothing denied that should pass, and
// what was filed, approved or reserved before goes on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import type { Cluster, ControlPlane } from '../../support/control-plane/controlplane.ts';
import { eventually } from '../../support/eventually.ts';
import {
  apply,
  type Installation,
  installStepup,
  systemNamespace,
  thisChart,
  thisEntrypoint,
} from '../../support/installation/installation.ts';
import { root } from '../../support/repository-files.ts';
import {
  type ApprovalKey,
  approve,
  ask,
  type Clients,
  createClients,
  deniedWith,
  deployment,
  deployments,
  imagePatch,
  passes,
  startTraffic,
  type Traffic,
} from '../../support/traffic.ts';
import { previousRelease, unpack } from './previous-release.ts';
import { type Measured, type Probes, startProbes } from './probes.ts';

vi.setConfig({ testTimeout: 150_000 });
const previous = await previousRelease();
const previousTag = 'previous';
const replicas = 2;
const folder = mkdtempSync(join(tmpdir(), 'stepup-previous-'));

let stepup: Installation;
let cluster: ControlPlane;
let clients: Clients;
let traffic: Traffic;
let probes: Probes;
const figures: string[] = [];

/** Changes that wait while the release changes, by how far each has come. */
const stages = ['pending', 'approved', 'reserved'] as const;
type Stage = (typeof stages)[number];

beforeAll(async () => {
  const { chart, entrypoint } = unpack(previous, folder);
  const current = thisEntrypoint();
  stepup = await installStepup({
    replicas,
    chart,
    values: [`image.tag=${previousTag}`],
    entrypoint: (image) => (image.endsWith(`:${previousTag}`) ? entrypoint : current),
  });
  if (!isOwn(stepup.cluster)) throw new Error('upgrades need a control plane of our own');
  cluster = stepup.cluster;
  const held = ['upgrade', 'rollback'].flatMap((step) => stages.map((stage) => `${step}-${stage}`));
  await apply(cluster, [
    ...['guarded', 'worked', 'probed', ...held].map((name) => deployment('prod', name)),
    ...['free', 'probed'].map((name) => deployment('dev', name)),
    { ...(load(readFileSync(join(root, 'examples/policy-every-field.yaml'), 'utf8')) as object) },
  ]);
  clients = await createClients(cluster);
  traffic = startTraffic(clients);
  probes = startProbes(clients);
});

afterAll(async () => {
  await Promise.all([traffic?.stop(), probes?.stop()]);
  if (figures.length > 0) process.stdout.write(`\n${[...figures, ...summary()].join('\n')}\n`);
  clients?.close();
  await stepup?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function isOwn(one: Cluster): one is ControlPlane {
  return 'etcd' in one;
}

function summary(): readonly string[] {
  const { updates, creations } = traffic.ledger;
  const { ungated, unchanged, unapproved } = probes;
  return [
    `ungated: ${ungated.right} passed; unchanged: ${unchanged.right} passed; unapproved: ${unapproved.right} denied`,
    `updates: ${updates.approved} approved, ${updates.passed} passed; creations: ${creations.approved} approved, ${creations.passed} passed`,
  ];
}

afterEach(async () => {
  const { ungated, intruder, updates, creations, wrong } = traffic.ledger;
  expect(wrong).toEqual([]);
  const refusals = intruder.refusals.filter(({ message }) => !isThrottledBefore(message));
  expect([ungated.failures, intruder.passed, refusals]).toEqual([[], 0, []]);
  const unapproved = probes.unapproved.wrong.filter((message) => !isThrottledBefore(message));
  expect([probes.ungated.wrong, probes.unchanged.wrong, unapproved]).toEqual([[], [], []]);
  expect([updates.lost, creations.spent]).toEqual([[], []]);
  // Nothing unapproved, and each approval at most once.
  expect([await generationOf('guarded'), await generationOf('probed')]).toEqual([1, 1]);
  expect(await generationOf('worked')).toBeLessThanOrEqual(1 + updates.approved);
  const { items } = await cluster.admin.list('/api/v1/namespaces/prod/pods?labelSelector=turn');
  const turns = items.map(({ metadata }) => metadata.labels?.turn);
  expect(turns.length).toBe(new Set(turns).size);
});

/**
 * While Helm replaces the definition of approvals, the API server answers their lists 429 for an instant. The previous
 * release does not read them again: it denies, in words of its own.
 */
function isThrottledBefore(message: string): boolean {
  return message.includes('the decision failed. Nothing was admitted, and the log says why.');
}

async function generationOf(name: string): Promise<number> {
  return (await cluster.admin.get(`${deployments('prod')}/${name}`)).metadata.generation ?? 0;
}

/** Runs Helm under traffic, and keeps how long it took. */
async function helmUnderTraffic(what: string, args: readonly string[]): Promise<void> {
  await restartedProbes();
  const result = await cluster.helm([...args, '-n', systemNamespace, '--wait', '--timeout', '90s']);
  const seen = probes.restart();
  expect(result.code, result.stderr).toBe(0);
  await packsReady();
  figures.push(figure(what, seen));
}

/** The example that has every field needs a policy engine, which is not there. */
async function packsReady(): Promise<void> {
  const args = ['wait', 'stepuppolicies', '-l', 'stepup.dev/pack', '--for=condition=Ready', '--timeout=30s'];
  const { code, stderr } = await cluster.kubectl(args);
  expect(code, stderr).toBe(0);
}

/** Begins with a right answer of every probe, so that gaps are those of what follows. */
async function restartedProbes(): Promise<void> {
  probes.restart();
  const all = [probes.ungated, probes.unchanged, probes.unapproved];
  await eventually('an answer to every probe', () => all.every(({ longestGapMs }) => longestGapMs > 0));
  probes.restart();
}

function figure(what: string, { lastedMs, requests, longestGapMs }: Measured): string {
  const seconds = (lastedMs / 1000).toFixed(1);
  return `${what}: ${seconds} s, ${requests} requests of the probes, longest gap ${(longestGapMs / 1000).toFixed(2)} s`;
}

const attemptOn = (name: string) => () =>
  ask(clients.deployer, 'PATCH', `${deployments('prod')}/${name}`, imagePatch('nginx:1'));

interface Held {
  readonly stage: Stage;
  readonly name: string;
  readonly key: ApprovalKey;
  readonly attempt: ReturnType<typeof attemptOn>;
}

/** One change for each stage, brought as far as that. */
async function hold(step: 'upgrade' | 'rollback'): Promise<readonly Held[]> {
  const limit = AbortSignal.timeout(30_000);
  const held: Held[] = [];
  for (const stage of stages) {
    const name = `${step}-${stage}`;
    const attempt = attemptOn(name);
    const key = await deniedWith(attempt, limit);
    if (key === undefined) throw new Error(`have ${name} filed: stopped`);
    if (stage !== 'pending') expect(await approve(clients, key, limit, attempt)).toBe('Approved');
    if (stage === 'reserved') await reserve(name, attempt);
    await eventually(`${key.name} to be ${stage}`, async () => {
      const phase = await phaseOf(key);
      if (phase !== stage) throw new Error(`it is ${phase}`);
      return true;
    });
    held.push({ stage, name, key, attempt });
  }
  return held;
}

/** Has an approved change fail after the gate has let it through: webhooks are asked side by side. */
async function reserve(name: string, attempt: ReturnType<typeof attemptOn>): Promise<void> {
  // A write of the Deployment's controller would prove that the change lost, and the approval would be given back.
  await eventually(`the controller to have seen ${name}`, async () => {
    const { status } = await cluster.admin.get<KubeObject & { status?: { observedGeneration?: number } }>(
      `${deployments('prod')}/${name}`,
    );
    return status?.observedGeneration === 1;
  });
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
  const rule = { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['deployments'] };
  await cluster.admin.post(path, {
    metadata: { name: 'nobody-answers' },
    webhooks: [
      {
        name: 'nobody.example.test',
        admissionReviewVersions: ['v1'],
        // Nothing listens there.
        clientConfig: { url: 'https://127.0.0.1:9/' },
        sideEffects: 'None',
        matchConditions: [{ name: 'one', expression: `request.name == '${name}'` }],
        rules: [rule],
      },
    ],
  });
  // The API server takes a moment to ask it; until then the change itself would pass.
  await eventually('a dry run to fail', async () => {
    const body = { metadata: { labels: { tried: 'dry' } } };
    const sent = { body, contentType: 'application/merge-patch+json' };
    return (await cluster.admin.send('PATCH', `${deployments('prod')}/${name}?dryRun=All`, sent)).code === 500;
  });
  expect(await attempt()).toMatchObject({ kind: 'failed' });
  await cluster.admin.delete(`${path}/nobody-answers`);
}

async function phaseOf({ namespace, name }: ApprovalKey): Promise<string> {
  const path = `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals/${name}`;
  const { status } = await cluster.admin.get<KubeObject & { status?: { phase?: string } }>(path);
  return status?.phase?.toLowerCase() ?? '';
}

/** Every held change passes with the approval that it had; the pending one when it is approved now. */
async function expectUsable(held: readonly Held[]): Promise<void> {
  const limit = AbortSignal.timeout(60_000);
  for (const { stage, name, key, attempt } of held) {
    if (stage === 'pending') expect(await approve(clients, key, limit, attempt)).toBe('Approved');
    expect([stage, await passes(attempt, key, limit)]).toEqual([stage, 'passed']);
    // Once: another image is another change.
    const again = await ask(clients.deployer, 'PATCH', `${deployments('prod')}/${name}`, imagePatch('nginx:2'));
    expect(again).toMatchObject({ kind: 'denied' });
    expect(again).not.toMatchObject({ approval: key });
  }
}

async function flowsAgain(): Promise<void> {
  const before = traffic.ledger.updates.passed;
  await eventually('approved changes to pass', () => traffic.ledger.updates.passed >= before + 2, {
    timeoutMs: 30_000,
  });
}

test('traffic flows on the previous release', async () => {
  await flowsAgain();
  expect(previous.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(await imagesRunning()).toEqual([previousTag]);
});

test('an upgrade to this tree: no wrong decision, and what was under way goes on', async () => {
  const held = await hold('upgrade');
  await helmUnderTraffic('upgrade', [
    'upgrade',
    'stepup',
    thisChart,
    '--set',
    `replicas=${replicas},image.tag=current`,
  ]);
  await eventually('the old replicas to end', async () => (await imagesRunning()).join() === 'current');
  await expectUsable(held);
  await flowsAgain();
});

test('what was stored under the older definitions can still be written', async () => {
  let written = 0;
  for (const plural of ['stepuppolicies', 'stepupapprovals', 'stepupdecisions']) {
    const { items } = await cluster.admin.list(`/apis/stepup.dev/v1alpha1/${plural}`);
    for (const { metadata } of items.slice(0, 20)) {
      const scope = metadata.namespace === undefined ? '' : `namespaces/${metadata.namespace}/`;
      const path = `/apis/stepup.dev/v1alpha1/${scope}${plural}/${metadata.name}?dryRun=All`;
      const answer = await cluster.admin.send('PATCH', path, {
        body: { metadata: { labels: { written: 'again' } } },
        contentType: 'application/merge-patch+json',
      });
      if (answer.code === 404) continue;
      expect([plural, metadata.name, answer.code]).toEqual([plural, metadata.name, 200]);
      written += 1;
    }
  }
  expect(written).toBeGreaterThan(10);
});

// A release that gives digests another version loses on the way back what was filed since: it has to say so here.
test('back to the previous release: no wrong decision, and what was under way goes on', async () => {
  const held = await hold('rollback');
  await helmUnderTraffic('rollback', ['rollback', 'stepup', '1']);
  await eventually('the new replicas to end', async () => (await imagesRunning()).join() === previousTag);
  await expectUsable(held);
  await flowsAgain();
});

async function imagesRunning(): Promise<readonly string[]> {
  const { items } = await cluster.admin.list<KubeObject & { spec: { containers: { image: string }[] } }>(
    `/api/v1/namespaces/${systemNamespace}/pods`,
  );
  return [...new Set(items.map(({ spec }) => spec.containers[0]?.image.split(':').at(-1) ?? ''))];
}
