// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The installed product under traffic while things around it and in it break: nothing is wrongly allowed, no approval is
// lost or used twice, it recovers by itself, and readiness tells the truth.

import { createPrivateKey, sign } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type ApiProxy, startApiProxy, throughProxy } from '../../support/api-proxy.ts';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import type { Cluster, ControlPlane } from '../../support/control-plane/controlplane.ts';
import { requestToken } from '../../support/control-plane/service-account-token.ts';
import { eventually } from '../../support/eventually.ts';
import { apply, type Installation, installStepup, systemNamespace } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { forSeconds, leaderOf, type Recovery, readyzOf, recoverFrom, tableOf } from '../../support/recovery.ts';
import type { StandinNode, StandinPod } from '../../support/stand-in-node/node.ts';
import {
  approve,
  ask,
  type Clients,
  createClients,
  deniedWith,
  deployment,
  startTraffic,
  type Traffic,
} from '../../support/traffic.ts';

let stepup: Installation;
let cluster: ControlPlane;
let node: StandinNode;
let proxy: ApiProxy;
let clients: Clients;
let traffic: Traffic;
const recoveries: Recovery[] = [];
/** What the API server says where nobody can be asked. */
const refusedAs: string[] = [];
const replicas = 2;
vi.setConfig({ testTimeout: 150_000 });

beforeAll(async () => {
  stepup = await installStepup({ replicas });
  if (!isOwn(stepup.cluster) || stepup.node === undefined) throw new Error('faults need a control plane of our own');
  cluster = stepup.cluster;
  node = stepup.node;
  proxy = await startApiProxy(new URL(cluster.server));
  await stepup.upgrade(throughProxy(proxy));
  await eventually('the rollout to be over', () => node.pods().length === replicas);
  await apply(cluster, [
    ...['guarded', 'worked', 'held'].map((name) => deployment('prod', name)),
    deployment('dev', 'free'),
  ]);
  clients = await createClients(cluster);
  traffic = startTraffic(clients);
});

afterAll(async () => {
  await traffic?.stop();
  // Without traffic nothing was installed, and that failure is the one to read.
  if (traffic !== undefined) process.stdout.write(`\n${tableOf(recoveries)}${summary()}\n`);
  clients?.close();
  await stepup?.stop();
  proxy?.close();
});

function isOwn(one: Cluster): one is ControlPlane {
  return 'etcd' in one;
}

function summary(): string {
  const { ungated, intruder, updates, creations } = traffic.ledger;
  return [
    `ungated: ${ungated.passed} passed, ${ungated.failures.length} failed`,
    `unapproved: ${intruder.denied} denied, ${intruder.refusals.length} refused, ${intruder.passed} passed`,
    `updates: ${updates.approved} approved, ${updates.passed} passed, ${updates.lost.length} lost`,
    `creations: ${creations.approved} approved, ${creations.passed} passed, ${creations.spent.length} spent without effect`,
    ...refusedAs.map((message) => `refused while no replica ran: ${message}`),
    '',
  ].join('\n');
}

async function generationOf(name: string): Promise<number> {
  const { metadata } = await cluster.admin.get(`/apis/apps/v1/namespaces/prod/deployments/${name}`);
  return metadata.generation ?? 0;
}

/** Whatever happened: nothing unapproved, and each approval at most once. */
afterEach(async () => {
  const { intruder, updates, wrong } = traffic.ledger;
  expect(wrong).toEqual([]);
  expect(intruder.passed).toBe(0);
  expect(await generationOf('guarded')).toBe(1);
  expect(updates.lost).toEqual([]);
  expect(await generationOf('worked')).toBeLessThanOrEqual(1 + updates.approved);
  const { items } = await cluster.admin.list('/api/v1/namespaces/prod/pods?labelSelector=turn');
  const turns = items.map(({ metadata }) => metadata.labels?.turn);
  expect(
    turns.filter((turn, at) => turns.indexOf(turn) !== at),
    'Pods of one approval',
  ).toEqual([]);
});

/** A crashed leader keeps the Lease for 15 s; a machine that is busy with other tests needs as much again. */
const longestMs = 30_000;

async function survives(fault: string, disturb: () => Promise<void>): Promise<Recovery> {
  const recovery = await recoverFrom(fault, { clients, node, ledger: traffic.ledger, replicas }, disturb);
  recoveries.push(recovery);
  expect(recovery.held).toBe('passed');
  const { ungatedMs, denialMs, heldMs, approvedMs, readyMs } = recovery;
  expect(Math.max(ungatedMs, denialMs, heldMs, approvedMs, readyMs)).toBeLessThan(longestMs);
  // Ungated traffic never meets the gate, so no failure of it can come from there.
  expect(recovery.ungatedFailures.filter(({ message }) => /webhook/.test(message))).toEqual([]);
  // One that tried while its API server was still away may have said no in between.
  await eventually('every replica to say that it is ready', async () => {
    const words = await Promise.all(node.pods().map(readyzOf));
    if (words.some((word) => word !== '')) throw new Error(words.join('; '));
    return true;
  });
  return recovery;
}

/** For faults in which the API server answers all the time. */
async function survivesAlone(fault: string, disturb: () => Promise<void>): Promise<Recovery> {
  const recovery = await survives(fault, disturb);
  expect(recovery.ungatedFailures).toEqual([]);
  return recovery;
}

const apiServer = () => {
  const [first] = cluster.apiServers;
  if (first === undefined) throw new Error('find the API server: there is none');
  return first;
};

describe('the control plane', () => {
  test('has its API server killed and started again', async () => {
    await survives('API server restarted', () => apiServer().restart());
  });

  test('has its etcd killed and started again', async () => {
    await survives('etcd restarted', () => cluster.etcd.restart());
  });

  test('has its API server frozen, with every connection left open', async () => {
    await survives('API server frozen', async () => {
      apiServer().pause();
      await forSeconds(6);
      apiServer().resume();
    });
  });

  test('has etcd frozen for less than the time of a decision', async () => {
    const { refusals } = await survives('etcd frozen, short', async () => {
      cluster.etcd.pause();
      await forSeconds(1.5);
      cluster.etcd.resume();
    });
    expect(refusals).toEqual([]);
  });

  test('has etcd frozen for longer than a decision may take', async () => {
    await survives('etcd frozen, long', async () => {
      cluster.etcd.pause();
      await forSeconds(7);
      cluster.etcd.resume();
    });
  });

  test('answers the replicas with 429', async () => {
    await survivesAlone('429 to all calls', async () => {
      await apply(cluster, throttle);
      await eventually('calls to be refused', () => throttled());
      await forSeconds(6);
      await cluster.kubectl(['delete', 'flowschema,prioritylevelconfiguration', 'throttle-stepup']);
      await eventually('calls to be let in', async () => !(await throttled()));
    });
  });
});

const flowControl = 'flowcontrol.apiserver.k8s.io/v1';
const account = { kind: 'ServiceAccount', serviceAccount: { namespace: systemNamespace, name: 'stepup' } };
const throttle = [
  {
    apiVersion: flowControl,
    kind: 'PriorityLevelConfiguration',
    metadata: { name: 'throttle-stepup' },
    spec: {
      type: 'Limited',
      limited: { nominalConcurrencyShares: 0, borrowingLimitPercent: 0, limitResponse: { type: 'Reject' } },
    },
  },
  {
    apiVersion: flowControl,
    kind: 'FlowSchema',
    metadata: { name: 'throttle-stepup' },
    spec: {
      matchingPrecedence: 2,
      priorityLevelConfiguration: { name: 'throttle-stepup' },
      rules: [
        {
          subjects: [account],
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true }],
        },
      ],
    },
  },
];

/** Does the API server refuse stepup's account by now? */
async function throttled(): Promise<boolean> {
  const user = `system:serviceaccount:${systemNamespace}:stepup`;
  const headers = { 'impersonate-user': user };
  // Flow control looks at who asks before impersonation, so it is asked with a token.
  const token = await requestToken(cluster.admin, `${systemNamespace}/stepup`);
  const { code } = await cluster.admin.send('GET', '/apis/stepup.dev/v1alpha1/stepuppolicies?limit=1', {
    headers: { ...headers, authorization: `Bearer ${token}` },
  });
  return code === 429;
}

describe('the way to the API server', () => {
  test('is cut three times', async () => {
    await survivesAlone('watches cut', async () => {
      for (let times = 0; times < 3; times++) {
        proxy.cut();
        await forSeconds(0.7);
      }
    });
  });

  test('is forgotten: old connections are half open for ever', async () => {
    const { ledger } = traffic;
    const before = ledger.intruder.refusals.length;
    await survivesAlone('connections half open', async () => {
      proxy.silence();
      await eventually('every replica to say that it is not ready', async () => {
        const states = await Promise.all(node.pods().map(readyzOf));
        return states.every((state) => state !== '');
      });
      proxy.speak();
    });
    expect(ledger.intruder.refusals.length).toBeGreaterThan(before);
  });

  test('is away until the past is gone: watches end with 410', async () => {
    const gone = () =>
      node.pods().reduce((sum, pod) => sum + (node.log(pod.name).match(/"410 |: 410 /g) ?? []).length, 0);
    const before = gone();
    await survives('410 Gone', async () => {
      proxy.refuse();
      await forSeconds(1);
      // A restarted API server knows no past: what happened until then cannot be watched any more.
      await apiServer().restart();
      await forSeconds(1);
      proxy.admit();
    });
    // Traffic flows before each watch has been tried again, up to 5 s apart.
    await eventually('a watch to be told that its past is gone', () => gone() > before);
  });
});

describe('a replica', () => {
  test('whose token has expired says so, and goes on with the next one', async () => {
    const leader = await leaderOf(node);
    const [other] = node.pods().filter(({ name }) => name !== leader);
    if (other === undefined) throw new Error('find a replica that does not lead: there is none');
    await survivesAlone('token of one replica expired', async () => {
      const files = tokenFilesOf(other);
      expect(files.length).toBe(1);
      for (const file of files) replace(file, expired(readFileSync(file, 'utf8')));
      await eventually('the replica to say that it is not ready', async () => (await readyzOf(other)) !== '');
      expect(await Promise.all(node.pods().map(readyzOf)), 'the other one is ready').toContain('');
      const boundPod = { name: other.name, uid: other.uid };
      const token = await requestToken(cluster.admin, `${systemNamespace}/stepup`, { boundPod });
      for (const file of files) replace(file, token);
    });
  });

  test('that does not lead is killed', async () => {
    const leader = await leaderOf(node);
    const other = node.pods().find(({ name }) => name !== leader);
    await survivesAlone('replica killed', () => kill(other?.name ?? ''));
  });

  test('that leads is killed', async () => {
    await survivesAlone('leader killed', async () => kill(await leaderOf(node)));
  });

  test('that leads is frozen', async () => {
    const leader = await leaderOf(node);
    await survivesAlone('leader frozen', async () => {
      node.kill(leader, 'SIGSTOP');
      await forSeconds(6);
      node.kill(leader, 'SIGCONT');
    });
  });

  test('like all others is killed: governed requests fail closed, the rest goes on', async () => {
    const { ledger } = traffic;
    const before = ledger.intruder.refusals.length;
    await survivesAlone('all replicas killed', async () => {
      await Promise.all(node.pods().map(({ name }) => kill(name)));
    });
    expect(ledger.intruder.refusals.length).toBeGreaterThan(before);
    expect(ledger.intruder.refusals.at(-1)?.message).toMatch(/failed calling webhook/);
  });
});

describe('the replicas', () => {
  const kubectl = async (...args: readonly string[]) => {
    const result = await cluster.kubectl(['-n', systemNamespace, ...args], { timeoutMs: 120_000 });
    if (result.code !== 0) throw new Error(`kubectl ${args[0]}: ${result.stderr}`);
  };

  test('are restarted one after the other, and nobody is refused for it', async () => {
    const before = node.pods().map(({ name }) => name);
    const { refusals } = await survivesAlone('rolling restart', async () => {
      await kubectl('rollout', 'restart', 'deployment/stepup');
      await kubectl('rollout', 'status', 'deployment/stepup', '--timeout=90s');
      await eventually('the old ones to be gone', () => node.pods().every(({ name }) => !before.includes(name)));
    });
    expect(refusals).toEqual([]);
  });

  test('are scaled to zero and back: governed requests are told why, the rest goes on', async () => {
    const { refusals } = await survivesAlone('scaled to zero', async () => {
      await kubectl('scale', 'deployment/stepup', '--replicas=0');
      await eventually('all to be gone', () => node.pods().length === 0);
      await forSeconds(5);
      await kubectl('scale', 'deployment/stepup', `--replicas=${replicas}`);
    });
    expect(refusals.length).toBeGreaterThan(0);
    for (const { message } of refusals) {
      expect(message).toMatch(
        /^500 Internal error occurred: failed calling webhook "[^"]+": failed to call webhook: Post /,
      );
    }
    refusedAs.push(refusals[0]?.message ?? '');
  });
});

/** Ends the process as a crash would, and waits until it is gone. */
async function kill(name: string): Promise<void> {
  const pid = () => node.pods().find((pod) => pod.name === name)?.pid;
  const before = pid();
  node.kill(name);
  await eventually(`${name} to end`, () => pid() !== before, { intervalMs: 5 });
}

describe('replicas whose clocks are a minute apart', () => {
  beforeAll(async () => {
    const ahead = '--clock-offset-ms=30000';
    await stepup.upgrade(['replicas=1', `extraArgs[0]=${ahead}`]);
    const { spec } = await cluster.admin.get<DeploymentObject>(
      `/apis/apps/v1/namespaces/${systemNamespace}/deployments/stepup`,
    );
    // A second Deployment would do as well; the Service selects this Pod like any replica.
    const text = JSON.stringify({ ...spec.template, apiVersion: 'v1', kind: 'Pod' }).replaceAll(
      ahead,
      '--clock-offset-ms=-30000',
    );
    const behind: { readonly metadata: object } = JSON.parse(text);
    await apply(cluster, [{ ...behind, metadata: { ...behind.metadata, name: 'behind', namespace: systemNamespace } }]);
    await eventually('both to serve', () => node.pods().length === 2 && node.pods().every(({ isReady }) => isReady));
    const services = [{ operations: ['CREATE'], apiGroups: [''], resources: ['services'] }];
    await addPolicy(stepup, 'short', services, { grant: { ttlSeconds: shortSeconds } });
  });

  test('serve as before, and allow nothing later than its end and their difference', async () => {
    const signal = AbortSignal.timeout(90_000);
    const service = { metadata: { name: 'late', namespace: 'prod' }, spec: { ports: [{ port: 80 }] } };
    const attempt = () => ask(clients.deployer, 'POST', '/api/v1/namespaces/prod/services', service);
    const key = await deniedWith(attempt, signal);
    if (key === undefined) throw new Error('ask for a service: stopped');
    // The operator may find at once that it is over: its clock is one of the two.
    expect(['Approved', 'Expired']).toContain(await approve(clients, key, signal, attempt));
    const over = forSeconds(shortSeconds + 60 + 1);
    await survivesAlone('clocks a minute apart', () => over);
    const late = await Promise.all(Array.from({ length: 8 }, attempt));
    expect(late.map(({ kind }) => kind)).toEqual(late.map(() => 'denied'));
    const { items } = await cluster.admin.list<DecisionObject>('/apis/stepup.dev/v1alpha1/stepupdecisions');
    const ahead = items.map(
      ({ metadata, spec }) => Date.parse(spec.decidedAt) - Date.parse(metadata.creationTimestamp ?? ''),
    );
    // The API server keeps to one connection for the stamps of one client, so one of the two may have made them all.
    expect(Math.max(...ahead.map(Math.abs)), 'stamped by a wrong clock').toBeGreaterThan(25_000);
    for (const { name, ip } of node.pods()) {
      const text = await (await fetch(`http://${ip}:8080/metrics`)).text();
      expect(text, `${name} has served`).toMatch(/^stepup_reviews_total\{path="(gate|stamp)"\} [1-9]/m);
    }
  });
});

const shortSeconds = 5;

interface DecisionObject extends KubeObject {
  readonly spec: { readonly decidedAt: string };
}

interface DeploymentObject extends KubeObject {
  readonly spec: { readonly template: object };
}

function tokenFilesOf(pod: StandinPod): readonly string[] {
  const folder = join(cluster.dir, 'standin', `${pod.namespace}_${pod.name}_${pod.uid}`, 'volumes');
  return readdirSync(folder)
    .map((volume) => join(folder, volume, '..data', 'token'))
    .filter((file) => readdirSync(join(file, '..')).includes('token'));
}

/** At one instant, as the kubelet does it. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/** The same token, rightly signed, whose time was over a minute ago. */
function expired(token: string): string {
  const [header = '', payload = ''] = token.trim().split('.');
  const claims: object = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  const now = Math.floor(Date.now() / 1_000);
  const past = { ...claims, iat: now - 3_660, nbf: now - 3_660, exp: now - 60 };
  const text = `${header}.${Buffer.from(JSON.stringify(past)).toString('base64url')}`;
  const key = createPrivateKey(readFileSync(join(cluster.dir, 'service-accounts.key')));
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}
