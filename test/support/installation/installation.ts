// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup as a cluster admin installs it: the chart by Helm, its pods as rendered on the stand-in node, and the people
// and machines that use it.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageEntrypoint } from '../../../scripts/image-entrypoint.ts';
import { type UsedCluster, useCluster } from '../control-plane/cluster.ts';
import type { Cluster, ControlPlaneOptions } from '../control-plane/controlplane.ts';
import { eventually } from '../eventually.ts';
import type { CommandOptions, CommandResult } from '../run-command.ts';
import type { ImageRule } from '../stand-in-node/image.ts';
import { type StandinNode, startStandinNode } from '../stand-in-node/node.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
export const systemNamespace = 'stepup-system';
/** The chart of this tree. */
export const thisChart = join(root, 'charts/stepup');

/** The actors of every story, by the name of their kubeconfig. */
export type Actor = 'admin' | 'approver' | 'approver2' | 'deployer' | 'root-bot' | 'agent' | 'outsider';

export interface Installation {
  readonly cluster: Cluster;
  /** Absent on an existing cluster: its own nodes run the pods. */
  readonly node?: StandinNode;
  readonly kubeconfigs: Readonly<Record<Actor, string>>;
  /** kubectl as one of the actors. Never throws on a non-zero exit. */
  kubectl(actor: Actor, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** Installs or upgrades the chart with these values set on top of the standing ones. */
  upgrade(values?: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface InstallationOptions extends ControlPlaneOptions {
  readonly replicas?: number;
  /** Helm values in --set form. */
  readonly values?: readonly string[];
  /** The chart's folder or archive; this tree's unless another one is given. */
  readonly chart?: string;
  /** What images run on the stand-in node; all of them this tree's program unless something else is given. */
  readonly entrypoint?: ImageRule['entrypoint'];
  /** Told what happens while it happens. */
  readonly progress?: (line: string) => void;
}

export async function installStepup(options: InstallationOptions = {}): Promise<Installation> {
  const { replicas = 2, values = [], chart = thisChart, progress = () => {}, ...controlPlane } = options;
  const { entrypoint = thisEntrypoint() } = options;
  progress('starting etcd, kube-apiserver and kube-controller-manager');
  const used = await useCluster(controlPlane);
  try {
    const node = await standinNode(used, entrypoint);
    const { cluster } = used;
    progress('creating namespaces, people and machines');
    await createNamespaces(cluster);
    const kubeconfigs = await createActors(cluster);
    progress('installing the chart with Helm');
    const given = process.env.STEPUP_E2E_VALUES?.split(',') ?? [];
    const helm = installer(used, chart, [`replicas=${replicas}`, ...given, ...values]);
    await helm([]);
    await bindRoles(cluster);
    await policiesReady(cluster);
    return {
      cluster,
      ...(node === undefined ? {} : { node }),
      kubeconfigs,
      kubectl: (actor, args, given) => cluster.kubectl(args, { kubeconfig: kubeconfigs[actor], ...given }),
      upgrade: async (more = []) => {
        await helm(more);
        await policiesReady(cluster);
      },
      stop: async () => {
        await node?.stop();
        await cluster.stop();
      },
    };
  } catch (failure) {
    await used.cluster.stop();
    throw failure;
  }
}

/** What the image of this tree runs. Throws when there is no bundle. */
export function thisEntrypoint(): readonly string[] {
  const dist = join(root, 'dist');
  if (!existsSync(join(dist, 'stepup.mjs'))) throw new Error('read dist/stepup.mjs: run npm run build first');
  return imageEntrypoint(dist);
}

async function standinNode(used: UsedCluster, entrypoint: ImageRule['entrypoint']): Promise<StandinNode | undefined> {
  if (used.kind === 'existing') return undefined;
  return startStandinNode(used.cluster, { image: /stepup/, entrypoint });
}

function installer(
  used: UsedCluster,
  chart: string,
  standing: readonly string[],
): (more: readonly string[]) => Promise<void> {
  return async (more) => {
    const sets = [...standing, ...more].flatMap((value) => ['--set', value]);
    const args = [
      'upgrade',
      '--install',
      'stepup',
      chart,
      '-n',
      systemNamespace,
      '--create-namespace',
      '--wait',
      '--timeout',
      '120s',
    ];
    const result = await used.cluster.helm([...args, ...sets], { timeoutMs: 180_000 });
    if (result.code !== 0) throw new Error(`install the chart: ${result.stderr}`);
  };
}

async function createNamespaces(cluster: Cluster): Promise<void> {
  const namespace = (name: string, labels: Record<string, string> = {}) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  await apply(cluster, [
    namespace('prod', { environment: 'production' }),
    namespace('dev'),
    namespace('ci'),
    namespace('agents'),
  ]);
}

async function createActors(cluster: Cluster): Promise<Record<Actor, string>> {
  const account = (namespace: string, name: string) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { namespace, name },
  });
  await apply(cluster, [account('ci', 'deployer'), account('ci', 'root-bot'), account('agents', 'planner')]);
  // make up is left running, and people come back to it.
  const day = { expirationSeconds: 24 * 3600 };
  return {
    admin: cluster.adminKubeconfig,
    approver: await cluster.userKubeconfig('approver', { user: 'ada', groups: ['approvers'] }),
    approver2: await cluster.userKubeconfig('approver2', { user: 'grace', groups: ['approvers'] }),
    outsider: await cluster.userKubeconfig('outsider', { user: 'mallory', groups: [] }),
    deployer: await cluster.serviceAccountKubeconfig('ci/deployer', day),
    'root-bot': await cluster.serviceAccountKubeconfig('ci/root-bot', day),
    agent: await cluster.serviceAccountKubeconfig('agents/planner', day),
  };
}

/** The roles of design section 5: what a gated account may hold so that the promise stands. */
async function bindRoles(cluster: Cluster): Promise<void> {
  const rbac = 'rbac.authorization.k8s.io';
  const bind = (name: string, role: string, subject: object, namespace?: string) => ({
    apiVersion: `${rbac}/v1`,
    kind: namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
    subjects: [subject],
  });
  const account = (namespace: string, name: string) => ({ kind: 'ServiceAccount', namespace, name });
  const group = (name: string) => ({ kind: 'Group', apiGroup: rbac, name });
  const deployer = account('ci', 'deployer');
  await apply(cluster, [
    ...['prod', 'dev', 'ci'].map((namespace) => bind('deployer', 'stepup-gated-admin', deployer, namespace)),
    bind('deployer', 'stepup-gated-admin-cluster', deployer),
    bind('root-bot', 'cluster-admin', account('ci', 'root-bot')),
    bind('planner', 'edit', account('agents', 'planner'), 'prod'),
    bind('approvers', 'stepup-approver', group('approvers')),
    bind('outsider', 'stepup-approver', { kind: 'User', apiGroup: rbac, name: 'mallory' }),
  ]);
}

/** Applies objects as the admin; throws with kubectl's own words. */
export async function apply(cluster: Pick<Cluster, 'kubectl'>, items: readonly object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items };
  const result = await cluster.kubectl(['apply', '-f', '-'], { stdin: JSON.stringify(list) });
  if (result.code !== 0) throw new Error(`apply ${items.length} objects: ${result.stderr}`);
}

interface PolicyStatus {
  readonly metadata: { readonly name: string; readonly generation: number };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly observedGeneration?: number;
    }[];
  };
}

/** Waits until every policy is Ready at its newest generation, and at least one is there. */
export async function policiesReady(cluster: Pick<Cluster, 'admin'>, least = 1): Promise<void> {
  await eventually(
    'policies to be Ready',
    async () => {
      const { items } = await cluster.admin.list<PolicyStatus & { metadata: { name: string } }>(
        '/apis/stepup.dev/v1alpha1/stepuppolicies',
      );
      const isReady = ({ metadata, status }: PolicyStatus) =>
        (status?.conditions ?? []).some(
          ({ type, status: value, observedGeneration }) =>
            type === 'Ready' && value === 'True' && observedGeneration === metadata.generation,
        );
      return items.length >= least && items.every(isReady);
    },
    // A Lease that was left behind lasts 15 s.
    { timeoutMs: 60_000 },
  );
}

/** Writes text to a file of the cluster's folder and returns its path. */
export function fileIn(cluster: Pick<Cluster, 'dir'>, name: string, text: string): string {
  const path = join(cluster.dir, name);
  writeFileSync(path, text);
  return path;
}
