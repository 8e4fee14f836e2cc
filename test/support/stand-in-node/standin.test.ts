// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The stand-in node against a real control plane, with a tiny Node program as "the image".

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { KubeObject } from '../control-plane/admin-client.ts';
import { type ControlPlane, startControlPlane } from '../control-plane/controlplane.ts';
import { isAlive } from '../control-plane/processes.ts';
import { eventually } from '../eventually.ts';
import { type StandinNode, startStandinNode } from './node.ts';
import type { Pod, Service } from './pod.ts';

const image = 'example.test/tiny';
const entrypoint = ['node', join(import.meta.dirname, '../node-app/app.mjs')];
const chart = join(import.meta.dirname, 'fixtures/chart');
const services = '/api/v1/namespaces/default/services';
const pods = '/api/v1/namespaces/default/pods';

// Real controllers and processes take seconds, and more on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let cluster: ControlPlane;
let node: StandinNode;

beforeAll(async () => {
  cluster = await startControlPlane();
  node = await startStandinNode(cluster, { image, entrypoint });
});

afterAll(async () => {
  const pids = node.pods().flatMap(({ pid }) => (pid ? [pid] : []));
  await node.stop();
  await cluster.stop();
  expect(pids.filter(isAlive)).toEqual([]);
});

describe('a chart', () => {
  test('is installed by helm --wait, its init containers and hook Jobs included', async () => {
    const result = await cluster.helm(['install', 'tiny', chart, '--wait', '--timeout', '40s']);
    expect(result).toMatchObject({ code: 0 });
    expect(
      node
        .pods()
        .filter(isTiny)
        .map((pod) => pod.isReady),
    ).toEqual([true, true]);
    const deployment = await cluster.admin.get('/apis/apps/v1/namespaces/default/deployments/tiny');
    expect(deployment.status).toMatchObject({ availableReplicas: 2, readyReplicas: 2 });
  });

  test('reaches its pods through an ExternalName Service, in turn', async () => {
    const { spec } = await cluster.admin.get<Service>(`${services}/tiny`);
    expect(spec).toMatchObject({ type: 'ExternalName', selector: { app: 'tiny' } });
    expect(spec).not.toHaveProperty('clusterIP');
    const answers = [await ask(), await ask(), await ask(), await ask()];
    const names = node
      .pods()
      .filter(isTiny)
      .map(({ name }) => name);
    expect(new Set(answers.map(({ pod }) => pod))).toEqual(new Set(names));
    expect(answers[0]).toMatchObject({ version: 'one', file: 'hello', initial: 'written by init' });
  });

  test('is what the API server calls for a webhook that names the Service', async () => {
    const webhook = {
      name: 'tiny.example.test',
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      clientConfig: { service: { namespace: 'default', name: 'tiny', port: 8443 } },
      rules: [
        { operations: ['CREATE'], apiGroups: ['coordination.k8s.io'], apiVersions: ['v1'], resources: ['leases'] },
      ],
    };
    const configurations = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
    await cluster.admin.post(configurations, { metadata: { name: 'tiny' }, webhooks: [webhook] });
    // The program speaks no TLS, and that the API server says so proves that it has reached it.
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { generateName: 'any-' } };
    const create = () => cluster.kubectl(['create', '--filename=-'], { stdin: JSON.stringify(lease) });
    await eventually('the call', async () =>
      (await create()).stderr.includes('server gave HTTP response to HTTPS client'),
    );
    await cluster.admin.delete(`${configurations}/tiny`);
  });

  test('gives each pod its own address to bind, and reports one that EndpointSlices take', async () => {
    const answer = await ask();
    const local = node.pods().find(({ name }) => name === answer.pod);
    expect(answer.ip).toBe(local?.ip);
    const pod = await cluster.admin.get(`${pods}/${answer.pod}`);
    expect(pod.status).toMatchObject({ podIP: `10.88.0.${local?.ip.split('.')[3]}` });
  });

  test('gives each pod a token that names it', async () => {
    const { pod, token } = await ask();
    expect(token).toMatchObject({
      sub: 'system:serviceaccount:default:default',
      'kubernetes.io': { pod: { name: pod } },
    });
  });

  test('is reached only where it is ready', async () => {
    const [unready, other] = node.pods().filter(isTiny);
    const readyFile = join(dirname(unready?.log ?? ''), 'volumes/work/ready');
    writeFileSync(readyFile, 'no');
    await eventually('one pod to be not ready', () => node.pods().filter(isTiny).filter(isReady).length === 1);
    const answers = [await ask(), await ask(), await ask(), await ask()];
    expect(new Set(answers.map(({ pod }) => pod))).toEqual(new Set([other?.name]));
    rmSync(readyFile);
    await eventually('both pods to be ready', () => node.pods().filter(isTiny).every(isReady));
  });

  test('sees a changed Secret in its file', async () => {
    await cluster.admin.patch('/api/v1/namespaces/default/secrets/tiny', { stringData: { greeting: 'good day' } });
    await eventually('the new greeting', async () => (await ask()).file === 'good day');
  });

  test('has a killed container started again', async () => {
    const name = node.pods().find(isTiny)?.name ?? '';
    node.kill(name);
    const isRestarted = async () => {
      const { status } = await cluster.admin.get(`${pods}/${name}`);
      return isMatch(status, {
        containerStatuses: [{ restartCount: 1, ready: true, lastState: { terminated: { exitCode: 137 } } }],
      });
    };
    await eventually('the restart', isRestarted);
  });

  test('rolls out a new version without refusing a request', async () => {
    let isDone = false;
    const versions = new Set<string>();
    const asking = (async () => {
      while (!isDone) versions.add((await ask()).version);
    })();
    const result = await cluster.helm(['upgrade', 'tiny', chart, '--wait', '--timeout', '40s', '--set', 'version=two']);
    isDone = true;
    await asking;
    expect(result).toMatchObject({ code: 0 });
    expect((await ask()).version).toBe('two');
    expect([...versions].sort()).toEqual(['one', 'two']);
  });

  test('is redirected again when somebody changes the Service back', async () => {
    await cluster.admin.patch(`${services}/tiny`, { spec: { type: 'ClusterIP', externalName: null } });
    await eventually(
      'the redirection',
      async () => (await cluster.admin.get<Service>(`${services}/tiny`)).spec.externalName,
    );
    expect((await ask()).version).toBe('two');
  });

  test('refuses connections once scaled to nothing', async () => {
    await cluster.kubectl(['scale', 'deployment/tiny', '--replicas=0']);
    await eventually('the pods to go', () => node.pods().filter(isTiny).length === 0);
    await expect(ask()).rejects.toThrow();
  });

  test('is uninstalled and leaves no process', async () => {
    const pids = node
      .pods()
      .filter(isTiny)
      .flatMap(({ pid }) => (pid ? [pid] : []));
    expect(await cluster.helm(['uninstall', 'tiny', '--wait'])).toMatchObject({ code: 0 });
    await eventually('the processes to end', () => !pids.some(isAlive));
  });
});

describe('a pod', () => {
  test('of another image stays Pending', async () => {
    await cluster.admin.post(pods, podOf('foreign', { image: 'example.test/other:1' }));
    await cluster.admin.post(pods, podOf('ended', { args: ['exit', '0'] }, { restartPolicy: 'Never' }));
    await phaseOf('ended', 'Succeeded');
    const foreign = await cluster.admin.get<Pod>(`${pods}/foreign`);
    expect([foreign.spec.nodeName, foreign.status?.phase]).toEqual([undefined, 'Pending']);
  });

  test('that exits with a failure and never restarts is Failed', async () => {
    await cluster.admin.post(pods, podOf('failing', { args: ['exit', '3'] }, { restartPolicy: 'Never' }));
    await phaseOf('failing', 'Failed');
  });

  test('waits for a Secret that does not exist yet', async () => {
    const volumes = [{ name: 'late', secret: { secretName: 'late' } }];
    const container = { args: ['exit', '0'], volumeMounts: [{ name: 'late', mountPath: '/late' }] };
    await cluster.admin.post(pods, podOf('early', container, { restartPolicy: 'Never', volumes }));
    await eventually('the reason it waits', async () => {
      const { status } = await cluster.admin.get(`${pods}/early`);
      return JSON.stringify(status).includes('mount secrets/late: not found');
    });
    await cluster.admin.post('/api/v1/namespaces/default/secrets', { metadata: { name: 'late' } });
    await phaseOf('early', 'Succeeded');
  });

  test('that fails its liveness probe is started again', async () => {
    const livenessProbe = { tcpSocket: { port: 9 }, periodSeconds: 1, failureThreshold: 1 };
    const args = ['serve', '--port=8080', '--host=$(POD_IP)'];
    await cluster.admin.post(pods, podOf('unwell', { args, env: podIpEnv, livenessProbe }));
    await eventually('a restart', async () => {
      const { status } = await cluster.admin.get(`${pods}/unwell`);
      return isMatch(status, { containerStatuses: [{ restartCount: 1 }] });
    });
    await cluster.kubectl(['delete', 'pod', 'unwell', '--now']);
  });

  test('is told to end after its preStop sleep, and its object then goes away', async () => {
    const farewell = join(cluster.dir, 'farewell');
    const args = ['serve', '--port=8080', '--host=$(POD_IP)', `--farewell=${farewell}`];
    const container = { args, env: podIpEnv, lifecycle: { preStop: { sleep: { seconds: 1 } } } };
    await cluster.admin.post(pods, podOf('polite', container));
    await eventually('the server', () => node.log('polite').includes('listening'));
    const startedAt = Date.now();
    await cluster.kubectl(['delete', 'pod', 'polite', '--wait=false']);
    expect(existsSync(farewell)).toBe(false);
    await eventually('the object to go', async () => (await cluster.admin.send('GET', `${pods}/polite`)).code === 404);
    expect(Number(readFileSync(farewell, 'utf8')) - startedAt).toBeGreaterThanOrEqual(1_000);
  });

  test('of a Job completes it', async () => {
    const template = { spec: podOf('', { args: ['exit', '0'] }, { restartPolicy: 'Never' }).spec };
    await cluster.admin.post('/apis/batch/v1/namespaces/default/jobs', {
      metadata: { name: 'once' },
      spec: { template },
    });
    await eventually('the Job', async () => {
      const { status } = await cluster.admin.get('/apis/batch/v1/namespaces/default/jobs/once');
      return isMatch(status, { succeeded: 1 });
    });
  });
});

const podIpEnv = [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }];

function podOf(name: string, container: object, spec: object = {}) {
  return {
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 5,
      ...spec,
      containers: [{ name: 'main', image: `${image}:1`, ...container }],
    },
  };
}

async function phaseOf(name: string, phase: string): Promise<void> {
  const is = async () => (await cluster.admin.get<Pod>(`${pods}/${name}`)).status?.phase === phase;
  await eventually(`pod ${name} to be ${phase}`, is);
}

function isTiny({ name }: { readonly name: string }): boolean {
  return /^tiny-[0-9a-f]+-/.test(name);
}

function isReady(pod: { readonly isReady: boolean }): boolean {
  return pod.isReady;
}

interface Answer {
  readonly pod: string;
  readonly ip: string;
  readonly version: string;
  readonly file: string;
  readonly initial: string;
  readonly token: KubeObject;
}

/** One request through the Service, as the API server would make it: to its external name. */
async function ask(): Promise<Answer> {
  const { spec } = await cluster.admin.get<Service>(`${services}/tiny`);
  const body = await new Promise<string>((resolve, reject) => {
    const request = get({ host: spec.externalName, port: 8443, agent: false }, async (response) => {
      resolve(Buffer.concat(await response.toArray()).toString());
    });
    request.on('error', reject);
  });
  return JSON.parse(body);
}

function isMatch(value: unknown, pattern: object): boolean {
  try {
    expect(value).toMatchObject(pattern);
    return true;
  } catch {
    return false;
  }
}
