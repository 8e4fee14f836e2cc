// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A real control plane on loopback for tests, demo and benchmarks: etcd, kube-apiserver, kube-controller-manager.

import { readFileSync, rmSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';
import { type CommandOptions, type CommandResult, runCommand } from '../run-command.ts';
import { type AdminClient, createAdminClient } from './admin-client.ts';
import { type Binaries, ensureBinaries } from './binaries.ts';
import { type Booted, boot, bootRetryingPorts, type EtcdPortFor } from './boot.ts';
import { type ClusterFiles, writeClusterFiles } from './cluster-files.ts';
import { commandEnv } from './command-env.ts';
import type { Component } from './component.ts';
import type { EtcdAccess } from './etcd-history.ts';
import { type KubeconfigUser, writeKubeconfig } from './kubeconfig.ts';
import { adoptFolder, releaseFolder } from './reaper.ts';
import { requestToken, type TokenOptions } from './service-account-token.ts';

export interface ControlPlaneOptions {
  /** Two API servers over one etcd, to test what only their separate caches bring about. Default 1. */
  readonly apiServers?: 1 | 2;
  /** Off makes the boot faster; then nothing collects garbage, empties namespaces or makes default accounts. Default on. */
  readonly controllerManager?: boolean;
  /** Off (the default) keeps etcd's whole history, which tests count. */
  readonly etcd?: { readonly compaction: 'off' | '5m' };
  readonly apiServerArgs?: readonly string[];
  /** For tests that stand between an API server and etcd. Default: each reaches it directly. */
  readonly etcdPortFor?: EtcdPortFor;
}

/** What any cluster offers to a test, be it ours or an existing one. */
export interface Cluster {
  readonly server: string;
  readonly adminKubeconfig: string;
  readonly admin: AdminClient;
  /** Folder for files of this run; removed by `stop`. */
  readonly dir: string;
  readonly binaries: Pick<Binaries, 'kubectl' | 'helm'>;
  /** Path of a kubeconfig by which one acts as this user; `name` is the file's. */
  userKubeconfig(name: string, user: UserOptions): Promise<string>;
  /** Path of a kubeconfig with a fresh token of the account "namespace/name". */
  serviceAccountKubeconfig(account: string, options?: ServiceAccountOptions): Promise<string>;
  /** As the admin unless another kubeconfig is given. Never throws on a non-zero exit. */
  kubectl(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  helm(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  stop(): Promise<void>;
}

interface UserOptions {
  readonly user: string;
  readonly groups?: readonly string[];
  /** URL of another API server than the first. */
  readonly server?: string;
}

interface ServiceAccountOptions extends TokenOptions {
  /** Name (in the cluster's folder) or absolute path; default made from the account's. */
  readonly file?: string;
  readonly server?: string;
}

export interface ControlPlane extends Cluster {
  readonly binaries: Binaries;
  /** URLs of all API servers; `server` is the first. */
  readonly servers: readonly string[];
  /** PEM of the authority that signed the API servers' certificates. */
  readonly ca: string;
  /** One audit log (JSON lines) per API server. */
  readonly auditLogs: readonly string[];
  /** The admin's client of one API server, when it matters which. */
  adminOf(server: string): AdminClient;
  readonly etcd: Component;
  /** With which etcd's own history can be read, past every API server. */
  readonly etcdAccess: EtcdAccess;
  readonly apiServers: readonly Component[];
  /** Undefined when started without. */
  readonly controllerManager: Component | undefined;
}

/** Boots in 2 to 4 seconds once the binaries are there. Whoever starts one stops it; a forgotten one dies with the process. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binaries = await ensureBinaries();
  const files = await writeClusterFiles();
  const booted = await bootIn(files, binaries, options);
  const { servers, admin, auditLogs, etcd, etcdUrl, apiServers, controllerManager, adminKubeconfig } = booted;
  const server = servers[0] ?? '';
  const admins = new Map([[server, admin]]);
  const adminOf = (url: string) => {
    const client = admins.get(url) ?? createAdminClient({ server: url, ca: files.ca.cert, ...files.admin });
    admins.set(url, client);
    return client;
  };
  const run = (binary: string, args: readonly string[], commandOptions: CommandOptions = {}) =>
    runCommand(binary, args, {
      ...commandOptions,
      env: commandEnv(files.path('home'), commandOptions.kubeconfig ?? adminKubeconfig, commandOptions.env),
    });

  return {
    dir: files.dir,
    server,
    servers,
    ca: files.ca.cert,
    adminKubeconfig,
    binaries,
    admin,
    adminOf,
    auditLogs,
    etcd,
    etcdAccess: {
      url: etcdUrl,
      ca: files.ca.cert,
      cert: readFileSync(files.path('etcd-client.crt'), 'utf8'),
      key: readFileSync(files.path('etcd-client.key'), 'utf8'),
    },
    apiServers,
    controllerManager,
    userKubeconfig: async (name, user) => {
      const pair = await files.ca.issueClient({ commonName: user.user, organizations: user.groups ?? [] });
      return kubeconfigFile(files, name, user.server ?? server, { kind: 'certificate', ...pair });
    },
    serviceAccountKubeconfig: async (account, accountOptions = {}) => {
      const token = await requestToken(admin, account, accountOptions);
      const file = accountOptions.file ?? account.replace('/', '-');
      return kubeconfigFile(files, file, accountOptions.server ?? server, { kind: 'token', token });
    },
    kubectl: (args, commandOptions) => run(binaries.kubectl, args, commandOptions),
    helm: (args, commandOptions) => run(binaries.helm, args, commandOptions),
    stop: async () => {
      for (const client of admins.values()) client.close();
      // By force: nothing of it is used again, and an API server asked nicely first waits for its watchers.
      const components = [controllerManager, ...apiServers, etcd];
      await Promise.all(components.map((component) => component?.kill()));
      rmSync(files.dir, { recursive: true, force: true });
      releaseFolder(files.dir);
    },
  };
}

async function bootIn(files: ClusterFiles, binaries: Binaries, options: ControlPlaneOptions): Promise<Booted> {
  adoptFolder(files.dir);
  try {
    return await bootRetryingPorts(() =>
      boot(binaries, files, {
        apiServers: options.apiServers ?? 1,
        controllerManager: options.controllerManager ?? true,
        compaction: options.etcd?.compaction ?? 'off',
        apiServerArgs: options.apiServerArgs ?? [],
        etcdPortFor: options.etcdPortFor ?? (async ({ port }) => port),
      }),
    );
  } catch (cause) {
    releaseFolder(files.dir); // the error names a log in it
    throw cause;
  }
}

function kubeconfigFile(files: ClusterFiles, file: string, server: string, user: KubeconfigUser): string {
  const path = isAbsolute(file) ? file : files.path(`kubeconfigs/${basename(file)}`);
  return writeKubeconfig(path, { server, ca: files.ca.cert, user });
}
