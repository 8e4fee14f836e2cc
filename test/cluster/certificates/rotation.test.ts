// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Certificates that live for less than a minute, under load: every rotation, loss and handover without one failed request.

import { basename } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { issueLeaf, makeAuthority, serviceNames } from '../../../src/operator/keys/issue.ts';
import type { Cluster, ControlPlane } from '../../support/control-plane/controlplane.ts';
import { foreignCrds } from '../../support/control-plane/foreign-crds.ts';
import { eventually } from '../../support/eventually.ts';
import { apply, type Installation, installStepup, systemNamespace } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { leaderOf, readyzOf } from '../../support/recovery.ts';
import type { StandinNode } from '../../support/stand-in-node/node.ts';
import { ask, type Clients, createClients, deployment, deployments, imagePatch } from '../../support/traffic.ts';
import {
  type Reign,
  registerEverywhere,
  secretData,
  secretPath,
  secretTexts,
  startWitness,
  type Witness,
} from './witness.ts';
import { freeDeployments, startWaves, type Waves } from './writers.ts';

const lives = { authoritySeconds: 33, leafSeconds: 24, spreadSeconds: 3 };
const names = serviceNames('stepup', systemNamespace);
const dayMs = 86_400_000;

let stepup: Installation;
let cluster: ControlPlane;
let node: StandinNode;
let clients: Clients;
let waves: Waves;
let witness: Witness;
const figures: string[] = [];
vi.setConfig({ testTimeout: 120_000 });

beforeAll(async () => {
  stepup = await installStepup({
    values: Object.entries(lives).map(([name, value]) => `certificates.${name}=${value}`),
  });
  if (!isOwn(stepup.cluster) || stepup.node === undefined) throw new Error('this needs a control plane of our own');
  cluster = stepup.cluster;
  node = stepup.node;
  await apply(cluster, [deployment('prod', 'guarded'), ...freeDeployments.map((name) => deployment('dev', name))]);
  clients = await createClients(cluster);
  waves = startWaves(clients.deployer);
  witness = startWitness(cluster.admin, node);
});

afterAll(async () => {
  await Promise.all([waves?.stop(), witness?.stop()]);
  if (waves !== undefined) {
    figures.push(
      `| all of it | ${waves.denied()} denied, ${waves.passed()} passed | ${waves.failures.length} failed |`,
    );
    process.stdout.write(`\n| what | seconds | failed requests |\n| --- | --- | --- |\n${figures.join('\n')}\n`);
  }
  clients?.close();
  await stepup?.stop();
});

function isOwn(one: Cluster): one is ControlPlane {
  return 'etcd' in one;
}

let [failuresBefore, wrongBefore] = [0, 0];

/** Whatever was rotated: no request failed, and no replica ever served what a configuration does not trust. */
afterEach(() => {
  expect(waves.failures.slice(failuresBefore)).toEqual([]);
  expect(witness.wrong.slice(wrongBefore)).toEqual([]);
});

/** Waits until an authority that is not among these is registered and served everywhere, alone. */
async function newReign(what: string, known: readonly Reign[], seconds = 60): Promise<Reign> {
  const names = new Set(known.map(({ name }) => name));
  return eventually(what, () => witness.reigns.find(({ name, aloneAtMs }) => aloneAtMs && !names.has(name)), {
    timeoutMs: seconds * 1_000,
    intervalMs: 100,
  });
}

function note(what: string, startedAtMs: number, reign?: Reign): void {
  const since = (atMs = performance.now()) => ((atMs - startedAtMs) / 1_000).toFixed(1);
  const told = reign
    ? `trusted after ${since(reign.registeredAtMs)}, served after ${since(reign.servedAtMs)}, alone after ${since(reign.aloneAtMs)}`
    : since();
  figures.push(`| ${what} | ${told} | ${waves.failures.length - failuresBefore} |`);
}

describe('certificates that stepup makes', () => {
  test('rotate twice, authority and all, in their order, and gates made meanwhile are trusted too', async () => {
    await eventually('the first authority to be seen', () => witness.reigns[0]?.aloneAtMs);
    const [first] = witness.reigns;
    if (first === undefined) throw new Error('see an authority: there is none');
    const begin = witness.reigns.length;
    await eventually('the second authority to be registered', () => witness.reigns[begin], { timeoutMs: 40_000 });
    await addPolicy(stepup, 'made-meanwhile', [
      { operations: ['DELETE'], apiGroups: ['apps'], resources: ['deployments'] },
    ]);
    const second = await newReign('the second authority to be the only one', [first]);
    const third = await newReign('the third authority to be the only one', [first, second]);
    for (const { registeredAtMs = 0, servedAtMs = 0, aloneAtMs = 0 } of [second, third]) {
      // The witness looks every tenth of a second, and the end of a wait is counted from the whole second of the issue.
      expect(servedAtMs - registeredAtMs).toBeGreaterThan(lives.spreadSeconds * 1_000 - 500);
      expect(aloneAtMs).toBeGreaterThanOrEqual(servedAtMs);
    }
    note('rotation', second.registeredAtMs ?? 0, second);
    note('rotation', third.registeredAtMs ?? 0, third);
    expect(waves.denied()).toBeGreaterThan(1_000);
  });

  test('are made anew when the key of their authority is lost', async () => {
    const startedAtMs = performance.now();
    const known = [...witness.reigns];
    await cluster.admin.patch(secretPath, { data: secretData({ 'ca.key': null }) });
    note('lost key', startedAtMs, await newReign('another authority', known));
  });

  test('are made anew when their Secret is deleted', async () => {
    const startedAtMs = performance.now();
    const known = [...witness.reigns];
    await cluster.admin.delete(secretPath);
    note('deleted Secret', startedAtMs, await newReign('another authority', known));
  });

  test('that have ended are not taken up, and replaced', async () => {
    const startedAtMs = performance.now();
    const stored = await secretTexts(cluster.admin);
    const authority = { cert: stored['ca.crt'] ?? '', key: stored['ca.key'] ?? '' };
    const ended = await issueLeaf(authority, names, new Date(Date.now() - dayMs), 1_000);
    await cluster.admin.patch(secretPath, { data: secretData({ 'tls.crt': ended.cert, 'tls.key': ended.key }) });
    await eventually('another leaf', async () => (await secretTexts(cluster.admin))['tls.crt'] !== ended.cert);
    note('ended certificate in the Secret', startedAtMs);
  });
});

/** Writes the Secret as an account of cert-manager's namespace. */
function write(account: string, texts: Readonly<Record<string, string>>) {
  return cluster.admin.send('PATCH', secretPath, {
    body: { data: secretData(texts) },
    contentType: 'application/merge-patch+json',
    headers: { 'impersonate-user': `system:serviceaccount:cert-manager:${account}` },
  });
}

/** Nobody renews what stepup made once cert-manager is to: for that time the Secret gets, from an admin, what lives longer. */
async function giveLongLives(): Promise<void> {
  const [startedAtMs, now] = [performance.now(), new Date()];
  const stored = await secretTexts(cluster.admin);
  const authority = await makeAuthority(now, dayMs);
  const leaf = await issueLeaf(authority, names, now, dayMs);
  const texts = {
    'ca.crt': `${authority.cert}\n${stored['ca.crt']}`,
    'ca.key': authority.key,
    'tls.crt': leaf.cert,
    'tls.key': leaf.key,
  };
  const known = [...witness.reigns];
  await cluster.admin.patch(secretPath, { data: secretData(texts) });
  note('Secret filled by an admin', startedAtMs, await newReign('its authority to be the only one', known));
}

async function installCertManager(): Promise<void> {
  const files = (await foreignCrds()).filter((path) => basename(path).startsWith('cert-manager.io_'));
  const made = await cluster.kubectl(['create', ...files.flatMap((path) => ['-f', path])]);
  expect(made).toMatchObject({ code: 0 });
  await cluster.kubectl([
    'wait',
    '--for=condition=Established',
    'crd/issuers.cert-manager.io',
    'crd/certificates.cert-manager.io',
  ]);
  const rbac = 'rbac.authorization.k8s.io';
  const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'patch', 'update'] }];
  const subjects = ['cert-manager', 'other'].map((name) => ({
    kind: 'ServiceAccount',
    namespace: 'cert-manager',
    name,
  }));
  await apply(cluster, [
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: 'writes-secrets' }, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'writes-secrets' },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'writes-secrets' },
      subjects,
    },
  ]);
}

describe('certificates that cert-manager makes', () => {
  test('are taken over from those that stepup made, and rotate with their authority', async () => {
    await installCertManager();
    await giveLongLives();
    const handedOverAtMs = performance.now();
    await stepup.upgrade([
      'certManager.enabled=true',
      'certificates.authoritySeconds=86400',
      'certificates.leafSeconds=3600',
    ]);
    const made = await cluster.kubectl(['get', 'certificates,issuers', '-n', systemNamespace, '-o', 'name']);
    expect(made.stdout.trim().split('\n').sort()).toEqual([
      'certificate.cert-manager.io/stepup-authority',
      'certificate.cert-manager.io/stepup-tls',
      'issuer.cert-manager.io/stepup-authority',
      'issuer.cert-manager.io/stepup-selfsigned',
    ]);
    note('upgrade to cert-manager, rollout and all', handedOverAtMs);
    for (const what of ['first certificate of cert-manager', 'its next one, with another authority']) {
      const now = new Date();
      const authority = await makeAuthority(now, dayMs);
      const leaf = await issueLeaf(authority, names, now, dayMs);
      const texts = { 'ca.crt': authority.cert, 'tls.crt': leaf.cert, 'tls.key': leaf.key };
      // The guard lets this one account through, because the chart names it; the new leader says so a moment after the upgrade.
      const known = [...witness.reigns];
      await eventually('cert-manager to be let through', async () => (await write('cert-manager', texts)).code === 200);
      const startedAtMs = performance.now();
      expect(await write('other', { 'ca.crt': '' })).toMatchObject({ code: 403 });
      note(what, startedAtMs, await newReign('its authority to be the only one', known));
      expect((await secretTexts(cluster.admin))['tls.crt']).toBe(leaf.cert);
    }
  });
});

/** Waits until no request fails any more; those that did failed because nobody could be asked. */
async function failuresEnd(): Promise<void> {
  const isQuiet = () => performance.now() - (waves.failures.at(-1)?.atMs ?? 0) > 3_000;
  await eventually('no more failures', isQuiet, { timeoutMs: 60_000 });
  const others = waves.failures.slice(failuresBefore).filter(({ message }) => !/failed calling webhook/.test(message));
  expect(others).toEqual([]);
  [failuresBefore, wrongBefore] = [waves.failures.length, witness.wrong.length];
}

async function isDenied(): Promise<boolean> {
  const told = await ask(clients.deployer, 'PATCH', `${deployments('prod')}/guarded`, imagePatch('evil:1'));
  return told.kind === 'denied';
}

describe('certificates that nobody trusts', () => {
  test('because the bundles were changed: replicas are not ready, and their leader puts them back all the same', async () => {
    const leader = await leaderOf(node);
    const other = node.pods().find(({ name }) => name !== leader);
    if (other === undefined) throw new Error('find a replica that does not lead: there is none');
    const { cert } = await makeAuthority(new Date(), dayMs);
    // Or it would be put back before anybody can look.
    node.kill(leader, 'SIGSTOP');
    await registerEverywhere(cluster.admin, cert);
    await eventually('the other replica to say so', async () =>
      (await readyzOf(other))?.includes('is not from an authority'),
    );
    node.kill(leader, 'SIGCONT');
    const startedAtMs = performance.now();
    await eventually('both to be ready', async () => {
      const words = await Promise.all(node.pods().map(readyzOf));
      return words.every((word) => word === '');
    });
    await eventually('a denial', isDenied);
    note('foreign authority in all bundles, from the end of the leader being frozen', startedAtMs);
    await failuresEnd();
  });

  test('because all ended while no replica ran, are made anew', async () => {
    await stepup.upgrade(['certManager.enabled=false', 'replicas=0']);
    await eventually('the replicas to go', () => node.pods().length === 0);
    const then = new Date(Date.now() - dayMs);
    const authority = await makeAuthority(then, 1_000);
    const leaf = await issueLeaf(authority, names, then, 1_000);
    const texts = { 'ca.crt': authority.cert, 'ca.key': authority.key, 'tls.crt': leaf.cert, 'tls.key': leaf.key };
    await cluster.admin.patch(secretPath, { data: secretData(texts) });
    const startedAtMs = performance.now();
    await cluster.kubectl(['scale', 'deployment/stepup', '-n', systemNamespace, '--replicas=2']);
    await eventually('a denial', isDenied, { timeoutMs: 60_000 });
    note('everything ended, no replica: from the scaling up to the first denial', startedAtMs);
    await failuresEnd();
  });
});
