// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The harness's own promises: a real API server and controllers, several at once, and nothing left behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { eventually } from '../eventually.ts';
import { createAdminClient } from './admin-client.ts';
import { chooseCluster } from './cluster.ts';
import { type ControlPlane, startControlPlane } from './controlplane.ts';
import { connectExistingCluster } from './existing-cluster.ts';
import { isAlive, processesNaming } from './processes.ts';

// Real controllers and processes take seconds, and more on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let cluster: ControlPlane;

beforeAll(async () => {
  cluster = await startControlPlane();
});

afterAll(async () => {
  await cluster.stop();
});

describe('a control plane', () => {
  test('has kubectl and helm of the pinned versions', async () => {
    const kubectl = await cluster.kubectl(['version', '--output=json']);
    const { clientVersion, serverVersion } = JSON.parse(kubectl.stdout);
    expect([clientVersion.gitVersion, serverVersion.gitVersion]).toEqual(['v1.37.2', 'v1.37.2']);
    const helm = await cluster.helm(['version', '--template={{.Version}}']);
    expect(helm).toEqual({ code: 0, stdout: 'v3.22.0', stderr: '' });
  });

  test('lets a user do what RBAC grants and nothing else', async () => {
    const kubeconfig = await cluster.userKubeconfig('ann', { user: 'ann', groups: ['readers'] });
    const list = () => cluster.kubectl(['get', 'configmaps', '--output=name'], { kubeconfig });
    expect(await list()).toMatchObject({ code: 1, stderr: expect.stringContaining('Forbidden') });
    await cluster.kubectl(['create', 'rolebinding', 'readers', '--clusterrole=view', '--group=readers']);
    await eventually('the binding to count', async () => (await list()).code === 0);
  });

  test('answers anonymous requests about its health only', async () => {
    expect(await anonymousCode(cluster, '/readyz')).toBe(200);
    expect(await anonymousCode(cluster, '/version')).toBe(401);
  });

  test('issues service account tokens by which the account acts', async () => {
    const kubeconfig = await cluster.serviceAccountKubeconfig('default/bot', { create: true, expirationSeconds: 600 });
    const { stdout } = await cluster.kubectl(['auth', 'whoami', '--output=json'], { kubeconfig });
    expect(JSON.parse(stdout).status.userInfo.username).toBe('system:serviceaccount:default:bot');
  });

  test('refuses a bound token once its pod is gone', async () => {
    const pods = '/api/v1/namespaces/default/pods';
    const pod = await cluster.admin.post(pods, {
      metadata: { name: 'holder' },
      spec: { containers: [{ name: 'main', image: 'example.test/nothing' }] },
    });
    const boundPod = { name: 'holder', uid: pod.metadata.uid ?? '' };
    const bind = (file: string) => cluster.serviceAccountKubeconfig('default/default', { boundPod, file });
    const [used, unused] = [await bind('used'), await bind('unused')];
    const whoAmI = (kubeconfig: string) => cluster.kubectl(['auth', 'whoami'], { kubeconfig });
    expect(await whoAmI(used)).toMatchObject({ code: 0, stdout: expect.stringContaining('holder') });
    await cluster.admin.delete(`${pods}/holder`, { gracePeriodSeconds: 0 });
    // The other token, because the API server remembers for ten seconds that a token was good.
    expect(await whoAmI(unused)).toMatchObject({ code: 1, stderr: expect.stringContaining('Unauthorized') });
  });

  test('empties a namespace that is deleted', async () => {
    await cluster.kubectl(['create', 'namespace', 'doomed']);
    await cluster.kubectl(['create', 'configmap', 'inside', '--namespace=doomed']);
    const { code } = await cluster.kubectl(['delete', 'namespace', 'doomed', '--timeout=20s']);
    expect(code).toBe(0);
  });

  test('collects what a deleted owner leaves', async () => {
    const configMaps = '/api/v1/namespaces/default/configmaps';
    const owner = await cluster.admin.post(configMaps, { metadata: { name: 'owner' } });
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid };
    await cluster.admin.post(configMaps, { metadata: { name: 'owned', ownerReferences: [reference] } });
    await cluster.admin.delete(`${configMaps}/owner`);
    const isGone = async () => (await cluster.admin.send('GET', `${configMaps}/owned`)).code === 404;
    await eventually('the owned object to go', isGone);
  });

  test('writes an audit log', async () => {
    await cluster.admin.post('/api/v1/namespaces/default/configmaps', { metadata: { name: 'audited' } });
    const lines = readFileSync(cluster.auditLogs[0] ?? '', 'utf8')
      .trim()
      .split('\n');
    const audited = lines.map((line) => JSON.parse(line)).find(({ objectRef }) => objectRef?.name === 'audited');
    expect(audited).toMatchObject({ verb: 'create', level: 'Metadata', user: { username: 'stepup-admin' } });
  });
});

describe('a second control plane', () => {
  test('runs beside the first, with two API servers over one etcd', async () => {
    const second = await startControlPlane({ apiServers: 2, controllerManager: false });
    const pids = pidsOf(second);
    try {
      const [first = '', other = ''] = second.servers;
      await second.adminOf(first).post('/api/v1/namespaces/default/configmaps', { metadata: { name: 'shared' } });
      const seen = await second.adminOf(other).get('/api/v1/namespaces/default/configmaps/shared');
      expect(seen.metadata.name).toBe('shared');
      expect((await cluster.admin.send('GET', '/api/v1/namespaces/default/configmaps/shared')).code).toBe(404);
      expect(pids.filter(isAlive)).toHaveLength(3);
    } finally {
      await second.stop();
    }
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(second.dir)).toBe(false);
  });

  test('survives the crash and the pause of its API server', async () => {
    const second = await startControlPlane({ controllerManager: false });
    try {
      const [apiServer] = second.apiServers;
      if (!apiServer) throw new Error('no API server');
      await second.admin.post('/api/v1/namespaces/default/configmaps', { metadata: { name: 'kept' } });
      apiServer.pause();
      const options = { timeoutMs: 500 };
      await expect(second.admin.send('GET', '/readyz', options)).rejects.toThrow('no answer within 500 ms');
      apiServer.resume();
      await apiServer.restart();
      expect((await second.admin.get('/api/v1/namespaces/default/configmaps/kept')).metadata.name).toBe('kept');
    } finally {
      await second.stop();
    }
  });

  test('that cannot start says why and leaves nothing running', async () => {
    const start = startControlPlane({ controllerManager: false, apiServerArgs: ['--no-such-flag'] });
    const failure = await start.then(
      () => new Error('it started'),
      (cause: Error) => cause,
    );
    expect(failure.message).toContain('start kube-apiserver: it ended before it was ready');
    expect(failure.message).toContain('unknown flag: --no-such-flag');
    const dir = /all of it: (.+)\/kube-apiserver\.log/.exec(failure.message)?.[1] ?? '';
    expect(existsSync(join(dir, 'etcd.log'))).toBe(true);
    expect(processesNaming(dir)).toEqual([]);
    rmSync(dir, { recursive: true });
  });
});

describe('a process that started children', () => {
  test('leaves none when it ends by Ctrl-C', async () => {
    const { child, pids } = await runFixture('start-control-plane.ts');
    expect(pids.filter(isAlive)).toHaveLength(2);
    child.kill('SIGINT');
    await eventually('every process to end', () => !pids.some(isAlive), { timeoutMs: 5_000 });
  });

  test.each(['SIGTERM', 'SIGHUP', 'SIGKILL'] as const)('leaves none when it ends by %s', async (signal) => {
    const { child, pids } = await runFixture('adopt-children.ts');
    expect(pids.filter(isAlive)).toHaveLength(2);
    child.kill(signal);
    await eventually('every process to end', () => !pids.some(isAlive), { timeoutMs: 4_000 });
  });

  test('leaves none when it ends by an uncaught error', async () => {
    const { pids } = await runFixture('adopt-children.ts', { FAIL: 'true' });
    await eventually('every process to end', () => !pids.some(isAlive), { timeoutMs: 4_000 });
  });
});

describe('an existing cluster', () => {
  test.each([
    { given: {}, want: { kind: 'own' } },
    { given: { KUBECONFIG: 'a' }, want: { kind: 'own' } },
    { given: { KUBECONFIG: 'a', USE_EXISTING_CLUSTER: 'false' }, want: { kind: 'own' } },
    { given: { KUBECONFIG: 'a', USE_EXISTING_CLUSTER: 'true' }, want: { kind: 'existing', kubeconfig: 'a' } },
  ])('is used only when told to: $given', ({ given, want }) => {
    expect(chooseCluster(given)).toEqual(want);
  });

  test.each([
    { given: { USE_EXISTING_CLUSTER: 'true' }, want: 'KUBECONFIG is not set' },
    { given: { USE_EXISTING_CLUSTER: 'yes', KUBECONFIG: 'a' }, want: 'neither "true" nor "false"' },
  ])('is not guessed: $given', ({ given, want }) => {
    expect(() => chooseCluster(given)).toThrow(want);
  });

  test('offers the same users and accounts', async () => {
    const existing = await connectExistingCluster(cluster.adminKubeconfig);
    try {
      const ann = await existing.userKubeconfig('ann', { user: 'ann', groups: ['team'] });
      const bot = await existing.serviceAccountKubeconfig('default/bot', { create: true });
      const whoIs = async (kubeconfig: string) => {
        const { stdout } = await existing.kubectl(['auth', 'whoami', '--output=json'], { kubeconfig });
        return JSON.parse(stdout).status.userInfo.username;
      };
      expect([await whoIs(ann), await whoIs(bot)]).toEqual(['ann', 'system:serviceaccount:default:bot']);
    } finally {
      await existing.stop();
    }
  });
});

function pidsOf({ etcd, apiServers, controllerManager }: ControlPlane): number[] {
  return [etcd, ...apiServers, controllerManager].flatMap((component) => component?.pid ?? []);
}

async function anonymousCode({ server, ca }: ControlPlane, path: string): Promise<number> {
  const client = createAdminClient({ server, ca });
  const { code } = await client.send('GET', path);
  client.close();
  return code;
}

/** Runs a program that prints the ids of its children as its first line. */
async function runFixture(file: string, env: Readonly<Record<string, string>> = {}) {
  const script = join(import.meta.dirname, 'fixtures', file);
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const pids: number[] = JSON.parse(String(line));
  return { child, pids };
}
