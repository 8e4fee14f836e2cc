// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Boots the components in order on free ports, and takes everything down again when one of them fails.

import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AdminClient, createAdminClient } from './admin-client.ts';
import type { Binaries } from './binaries.ts';
import type { ClusterFiles } from './cluster-files.ts';
import { type Component, ComponentFailure, startComponent } from './component.ts';
import { apiServerSpec, controllerManagerSpec, etcdSpec } from './component-specs.ts';
import { freePorts } from './free-ports.ts';
import { writeKubeconfig } from './kubeconfig.ts';

/** How etcd is reached by those who may. */
export interface EtcdEndpoint {
  readonly port: number;
  /** Path of a file of the control plane, such as `etcd-client.crt`. */
  file(name: string): string;
}

/** The port by which an API server (0 is the first) reaches etcd. */
export type EtcdPortFor = (etcd: EtcdEndpoint, apiServer: number) => Promise<number>;

export interface BootOptions {
  readonly apiServers: 1 | 2;
  readonly controllerManager: boolean;
  readonly compaction: 'off' | '5m';
  readonly apiServerArgs: readonly string[];
  readonly etcdPortFor: EtcdPortFor;
}

export interface Booted {
  readonly servers: readonly string[];
  readonly adminKubeconfig: string;
  readonly admin: AdminClient;
  readonly auditLogs: readonly string[];
  readonly etcd: Component;
  readonly etcdUrl: string;
  readonly apiServers: readonly Component[];
  readonly controllerManager: Component | undefined;
}

export async function boot(binaries: Binaries, files: ClusterFiles, options: BootOptions): Promise<Booted> {
  const started: Component[] = [];
  const start = async (spec: Parameters<typeof startComponent>[0]) => {
    const component = await startComponent(spec);
    started.push(component);
    return component;
  };
  try {
    const [etcdPort = 0, peerPort = 0, controllerManagerPort = 0, ...apiPorts] = await freePorts(
      3 + options.apiServers,
    );
    const etcd = await start(etcdSpec(binaries, files, { client: etcdPort, peer: peerPort }, options.compaction));
    const etcdUrl = `https://127.0.0.1:${etcdPort}`;
    const apiServers: Component[] = [];
    const auditLogs: string[] = [];
    for (const [index, port] of apiPorts.entries()) {
      const suffix = index === 0 ? '' : `-${index + 1}`;
      const name = `kube-apiserver${suffix}`;
      const auditLog = files.path(`audit${suffix}.log`);
      const extraArgs = options.apiServerArgs;
      const reached = await options.etcdPortFor({ port: etcdPort, file: files.path }, index);
      const parts = { name, port, etcdPort: reached, auditLog, extraArgs };
      apiServers.push(await start(apiServerSpec(binaries, files, parts)));
      auditLogs.push(auditLog);
    }

    const servers = apiPorts.map((port) => `https://127.0.0.1:${port}`);
    const server = servers[0] ?? '';
    const kubeconfig = (name: string, { cert, key }: { cert: string; key: string }) =>
      writeKubeconfig(files.path(`kubeconfigs/${name}`), {
        server,
        ca: files.ca.cert,
        user: { kind: 'certificate', cert, key },
      });
    const admin = createAdminClient({ server, ca: files.ca.cert, ...files.admin });
    let controllerManager: Component | undefined;
    if (options.controllerManager) {
      const managerKubeconfig = kubeconfig('kube-controller-manager', files.controllerManager);
      controllerManager = await start(controllerManagerSpec(binaries, files, controllerManagerPort, managerKubeconfig));
      await waitForDefaultAccount(admin);
    }
    const adminKubeconfig = kubeconfig('admin', files.admin);
    return { servers, adminKubeconfig, admin, auditLogs, etcd, etcdUrl, apiServers, controllerManager };
  } catch (cause) {
    await Promise.all(started.map((component) => component.kill()));
    rmSync(files.path('etcd'), { recursive: true, force: true }); // another attempt starts afresh; the logs stay
    throw cause;
  }
}

/** Boots again, up to three times, when somebody else took one of the ports between finding and using it. */
export async function bootRetryingPorts(attempt: () => Promise<Booted>, retries = 2): Promise<Booted> {
  try {
    return await attempt();
  } catch (cause) {
    if (retries === 0 || !(cause instanceof ComponentFailure && cause.portTaken)) throw cause;
    return bootRetryingPorts(attempt, retries - 1);
  }
}

/** ServiceAccount admission refuses pods until the controller manager has made the namespace's default account. */
async function waitForDefaultAccount(admin: AdminClient): Promise<void> {
  const deadline = performance.now() + 30_000;
  while ((await admin.send('GET', '/api/v1/namespaces/default/serviceaccounts/default')).code !== 200) {
    if (performance.now() > deadline) throw new Error('wait for service account default/default: not there after 30 s');
    await sleep(25);
  }
}
