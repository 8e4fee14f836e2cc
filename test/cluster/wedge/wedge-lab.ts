// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A control plane on which the chart is installed, broken, and mended, again and again.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type AdminClient, createAdminClient } from '../../support/control-plane/admin-client.ts';
import { commandEnv } from '../../support/control-plane/command-env.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { requestToken } from '../../support/control-plane/service-account-token.ts';
import { eventually } from '../../support/eventually.ts';
import {
  apply,
  policiesReady,
  systemNamespace,
  thisChart,
  thisEntrypoint,
} from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';
import { type StandinNode, startStandinNode } from '../../support/stand-in-node/node.ts';
import {
  type ApprovalKey,
  approve,
  ask,
  deniedWith,
  deployment,
  deployments,
  imagePatch,
  passes,
} from '../../support/traffic.ts';

/** An image of this tag cannot start. */
export const brokenTag = 'broken';
const packs = 3;
const waiting = ['--wait', '--timeout', '60s'];
const replicas = 1;

export interface Lab {
  readonly cluster: ControlPlane;
  readonly node: () => StandinNode;
  /** Installs or upgrades with Helm and waits; values in --set form. Throws with Helm's words. */
  upgrade(values?: readonly string[], flags?: readonly string[]): Promise<void>;
  /** Helm with these arguments on the release. Never throws on a non-zero exit. */
  helm(...args: string[]): Promise<CommandResult>;
  /** Starts Helm and kills it as soon as that holds. */
  killHelm(args: readonly string[], when: () => Promise<boolean>): Promise<void>;
  /** Ends every replica at once, and has none come back. */
  down(): Promise<void>;
  /**
   * The gate stands, lets approved changes through once, and everything else works. With 'new' it may take the API server a
   * moment to ask; otherwise the gate stood all the time, and nothing may have passed.
   */
  works(gate?: 'new'): Promise<void>;
  /** Nobody answers for the gate, and only what is governed is refused. */
  refuses(): Promise<void>;
  /** Neither is anything refused. */
  isOpen(): Promise<void>;
  /** Kills the whole cluster and starts it again, without its node. */
  restart(): Promise<void>;
  startNode(): Promise<void>;
  stop(): Promise<void>;
}

export async function startLab(): Promise<Lab> {
  const cluster = await startControlPlane();
  const { admin } = cluster;
  const program = thisEntrypoint();
  // Node reads what follows the script's first word as the script's own.
  const broken = [process.execPath, '--eval', 'process.exit(1)'];
  const entrypoint = (image: string) => (image.endsWith(`:${brokenTag}`) ? broken : program);
  const newNode = () => startStandinNode(cluster, { image: /stepup/, entrypoint });
  let node = await newNode();
  await prepare(cluster);
  const token = await requestToken(admin, 'ci/deployer', { expirationSeconds: 3600 });
  const deployer = createAdminClient({ server: cluster.server, ca: cluster.ca, token });
  let turn = 0;

  const release = ['-n', systemNamespace];
  const standing = ['--set', `replicas=${replicas}`];
  const helm = (...args: string[]) => cluster.helm([...args, ...release]);
  const scale = `/apis/apps/v1/namespaces/${systemNamespace}/deployments/stepup`;
  const pods = () => node.pods().filter(({ namespace }) => namespace === systemNamespace);
  const patch = (namespace: string, name: string, image: string) =>
    ask(deployer, 'PATCH', `${deployments(namespace)}/${name}`, imagePatch(image));
  const passesUngated = async () => {
    const told = await patch('dev', 'free', `nginx:${turn++}`);
    if (told.kind !== 'passed') throw new Error(`ungated: ${told.message}`);
  };

  return {
    cluster,
    node: () => node,
    helm,
    upgrade: async (values = [], flags = waiting) => {
      const sets = values.flatMap((value) => ['--set', value]);
      const { code, stderr } = await helm('upgrade', '--install', 'stepup', thisChart, ...standing, ...sets, ...flags);
      if (code !== 0) throw new Error(`helm upgrade: ${stderr}`);
    },
    killHelm: (args, when) => killOnce(cluster, [...args, ...standing, ...release], when),
    down: async () => {
      await admin.patch(scale, { spec: { replicas: 0 } });
      const kill = ['delete', 'pods', '-n', systemNamespace, '--all', '--force', '--grace-period=0'];
      await cluster.kubectl(kill);
      await eventually('the replicas to end', () => pods().length === 0);
      await freeLease(admin);
    },
    works: async (gate) => {
      await policiesReady(cluster, packs);
      if (gate === 'new') {
        const isAsked = async () => (await patch('prod', 'worked', `nginx:${turn++}`)).kind === 'denied';
        await eventually('the API server to ask', isAsked);
      }
      const limit = AbortSignal.timeout(40_000);
      const image = `nginx:${turn++}`;
      const attempt = () => patch('prod', 'worked', image);
      const key: ApprovalKey | undefined = await deniedWith(attempt, limit);
      const headers = { 'impersonate-user': 'ada', 'impersonate-group': 'approvers' };
      const clients = {
        deployer,
        approve: (method: string, path: string, body?: unknown) => admin.send(method, path, { body, headers }),
        close: () => {},
      };
      const phase = key && (await approve(clients, key, limit, attempt));
      const end = key && (await passes(attempt, key, limit));
      if (phase !== 'Approved' || end !== 'passed')
        throw new Error(`approve a change: ${phase}, ${JSON.stringify(end)}`);
      await passesUngated();
    },
    refuses: async () => {
      await eventually('governed changes to be refused', async () => {
        const told = await patch('prod', 'worked', `nginx:${turn++}`);
        if (told.kind === 'passed') throw new Error('a change passed that nobody has approved');
        return told.message.includes('failed calling webhook');
      });
      await passesUngated();
    },
    isOpen: async () => {
      await eventually('governed changes to pass', async () => {
        const told = await patch('prod', 'worked', `nginx:${turn++}`);
        if (told.kind !== 'passed') throw new Error(told.message);
        return true;
      });
      await passesUngated();
    },
    restart: async () => {
      const { etcd, apiServers, controllerManager } = cluster;
      await node.stop();
      for (const one of [controllerManager, ...apiServers, etcd]) await one?.kill();
      for (const one of [etcd, ...apiServers, controllerManager]) await one?.restart();
    },
    startNode: async () => {
      node = await newNode();
    },
    stop: async () => {
      deployer.close();
      await node.stop();
      await cluster.stop();
    },
  };
}

/** The gated account has its rights from others than the chart, so that it has them when the chart is gone. */
async function prepare(cluster: ControlPlane): Promise<void> {
  const rbac = 'rbac.authorization.k8s.io';
  const namespace = (name: string, labels: Record<string, string> = {}) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  await apply(cluster, [
    namespace('prod', { environment: 'production' }),
    ...['dev', 'ci', systemNamespace].map((name) => namespace(name)),
  ]);
  const bind = (name: string, role: string, subject: object) => ({
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
    subjects: [subject],
  });
  await apply(cluster, [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'ci', name: 'deployer' } },
    bind('deployer', 'edit', { kind: 'ServiceAccount', namespace: 'ci', name: 'deployer' }),
    bind('approvers', 'stepup-approver', { kind: 'Group', apiGroup: rbac, name: 'approvers' }),
    deployment('prod', 'worked'),
    deployment('dev', 'free'),
    withReplica(deployment('prod', 'other')),
  ]);
}

/** Pods of others, which no node here runs: that they are made is what counts. */
function withReplica(one: ReturnType<typeof deployment>): object {
  return { ...one, spec: { ...one.spec, replicas: 1 } };
}

/** A leader that is killed keeps its Lease for 15 s; this takes it away, where that is not what is to be seen. */
async function freeLease(admin: AdminClient): Promise<void> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/stepup`;
  await admin.send('PATCH', path, {
    body: { spec: { holderIdentity: '', leaseDurationSeconds: 1 } },
    contentType: 'application/merge-patch+json',
  });
}

async function killOnce(
  { binaries, dir, adminKubeconfig }: ControlPlane,
  args: readonly string[],
  when: () => Promise<boolean>,
): Promise<void> {
  const helm = spawn(binaries.helm, args, { env: commandEnv(join(dir, 'home'), adminKubeconfig), stdio: 'ignore' });
  const ended = new Promise((resolve) => helm.once('exit', resolve));
  try {
    await eventually('Helm to be halfway', when, { intervalMs: 5 });
  } finally {
    helm.kill('SIGKILL');
    await ended;
  }
}
