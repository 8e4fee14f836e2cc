// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a storm rages in: two API servers over one etcd whose history is kept, three replicas, and policies of its own.

import { type ApiProxy, startApiProxy } from '../../support/api-proxy.ts';
import type { AdminClient } from '../../support/control-plane/admin-client.ts';
import type { Cluster, ControlPlane } from '../../support/control-plane/controlplane.ts';
import { type EtcdHistory, followHistory } from '../../support/control-plane/etcd-history.ts';
import { eventually } from '../../support/eventually.ts';
import { apply, installStepup, systemNamespace } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { readyzOf } from '../../support/recovery.ts';
import type { StandinNode } from '../../support/stand-in-node/node.ts';
import { namespaces } from './kinds.ts';
import { Ledger } from './ledger.ts';
import { type Clients, createClients } from './requests.ts';

export interface Lab {
  readonly cluster: ControlPlane;
  readonly node: StandinNode;
  /** Between the replicas and both API servers. */
  readonly proxy: ApiProxy;
  /** Between the second API server and etcd. */
  readonly etcdProxy: ApiProxy;
  readonly clients: Clients;
  readonly ledger: Ledger;
  readonly history: EtcdHistory;
  /** The admin's client of the API server of that number, counted round. */
  admin(server: number): AdminClient;
  /** Waits until every replica serves. */
  calm(): Promise<void>;
  /** How many reviews each replica has answered since it started, by pod. */
  reviews(): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}

const replicas = 3;
const selector = 'storm';

export async function startLab(progress: (line: string) => void = () => {}): Promise<Lab> {
  let etcdProxy: ApiProxy | undefined;
  const stepup = await installStepup({
    replicas,
    apiServers: 2,
    // Of built-in kinds etcd holds protobuf otherwise, which nothing here can read.
    // Audit logs of all that the replicas read would cost more than the storm itself.
    apiServerArgs: ['--storage-media-type=application/json', '--audit-log-path='],
    etcdPortFor: async ({ port }, apiServer) => {
      if (apiServer === 0) return port;
      etcdProxy?.close(); // of a boot that did not succeed
      etcdProxy = await startApiProxy(new URL(`https://127.0.0.1:${port}`));
      return etcdProxy.port;
    },
    // Ended approvals would only pile up.
    values: ['retentionSeconds=180'],
    progress,
  });
  const { cluster, node } = stepup;
  if (!isOwn(cluster) || node === undefined) throw new Error('a storm needs a control plane of our own');
  if (etcdProxy === undefined) throw new Error('a storm needs a second API server');
  const toEtcd: ApiProxy = etcdProxy;
  const ledger = new Ledger();
  const proxy = await startApiProxy(...cluster.servers.map((server) => new URL(server)));
  const stop = async () => {
    await stepup.stop();
    proxy.close();
    toEtcd.close();
  };
  try {
    progress('putting both API servers behind one address for the replicas');
    await stepup.upgrade([
      'extraEnv[0].name=KUBERNETES_SERVICE_HOST',
      'extraEnv[0].value=127.0.0.1',
      'extraEnv[1].name=KUBERNETES_SERVICE_PORT',
      // Helm takes digits for a number, unless they start with 0.
      `extraEnv[1].value=0${proxy.port}`,
    ]);
    const calm = () => areServing(node);
    await calm();
    await createNamespaces(cluster);
    const clients = await createClients(cluster);
    await addPolicies(stepup);
    const history = await followHistory(cluster.etcdAccess, (revision) => ledger.tell(revision));
    await history.caughtUp();
    return {
      ...{ cluster, node, proxy, etcdProxy: toEtcd, clients, ledger, history, calm },
      admin: (server) => cluster.adminOf(cluster.servers[server % cluster.servers.length] ?? ''),
      reviews: () => reviewsOf(node),
      stop: async () => {
        history.close();
        clients.close();
        await stop();
      },
    };
  } catch (failure) {
    await stop();
    throw failure;
  }
}

function isOwn(one: Cluster): one is ControlPlane {
  return 'etcdAccess' in one;
}

async function createNamespaces(cluster: ControlPlane): Promise<void> {
  const rbac = 'rbac.authorization.k8s.io';
  const accounts = ['deployer', 'stranger'].map((name) => ({ kind: 'ServiceAccount', namespace: 'ci', name }));
  await apply(
    cluster,
    Object.entries(namespaces).flatMap(([binding, name]) => [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { [selector]: binding } } },
      {
        ...{ apiVersion: `${rbac}/v1`, kind: 'RoleBinding', metadata: { namespace: name, name: 'storm' } },
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'stepup-gated-admin' },
        subjects: accounts,
      },
    ]),
  );
}

async function addPolicies(stepup: Parameters<typeof addPolicy>[0]): Promise<void> {
  const operations = ['CREATE', 'UPDATE', 'DELETE'];
  const actions = [
    { operations, apiGroups: ['apps'], resources: ['deployments'], fields: ['/spec/template', '/spec/replicas'] },
    { operations, apiGroups: [''], resources: ['services'], fields: ['/spec/selector'] },
  ];
  for (const [binding, grant] of [
    ['content', 'Content'],
    ['target', 'Target'],
  ] as const) {
    await addPolicy(stepup, `storm-${binding}`, actions, {
      namespaceSelector: { matchLabels: { [selector]: binding } },
      grant: { binding: grant },
      // What nobody approves is soon over, and never too much to ask for more.
      request: { pendingTTLSeconds: 120, maxPendingPerRequester: 10_000 },
    });
  }
}

async function areServing(node: StandinNode): Promise<void> {
  await eventually(
    'all replicas to serve',
    async () => {
      const pods = node.pods();
      const words = await Promise.all(pods.map(readyzOf));
      return pods.length === replicas && pods.every(({ isReady }) => isReady) && words.every((word) => word === '');
    },
    { timeoutMs: 60_000 },
  );
}

async function reviewsOf(node: StandinNode): Promise<Readonly<Record<string, number>>> {
  const counts = node.pods().map(async ({ name, ip }) => {
    const limit = { signal: AbortSignal.timeout(2_000) };
    // One that is just being started answers nothing.
    const text = await fetch(`http://${ip}:8080/metrics`, limit).then(
      (answer) => answer.text(),
      () => '',
    );
    const gate = /^stepup_reviews_total\{[^}]*"gate"[^}]*\} (\d+)$/m.exec(text);
    return [name, Number(gate?.[1] ?? 0)] as const;
  });
  return Object.fromEntries(await Promise.all(counts));
}

/** The Lease by which the replicas settle who leads. */
export const leasePath = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/stepup`;
