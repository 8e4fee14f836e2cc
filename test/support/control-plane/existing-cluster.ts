// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The cluster of KUBECONFIG behind the same interface as our own control plane: users by impersonation.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { type CommandOptions, runCommand } from '../run-command.ts';
import { createAdminClient } from './admin-client.ts';
import { ensureBinary } from './binaries.ts';
import { commandEnv } from './command-env.ts';
import type { Cluster } from './controlplane.ts';
import { type Credentials, type KubeconfigUser, writeKubeconfig } from './kubeconfig.ts';
import { requestToken } from './service-account-token.ts';

/** The parts of a flattened kubeconfig that are read; `kubectl config view` has resolved files and contexts. */
interface FlatConfig {
  readonly clusters: readonly { readonly cluster: FlatCluster }[];
  readonly users: readonly { readonly user: FlatUser }[];
}

interface FlatCluster {
  readonly server: string;
  readonly 'certificate-authority-data'?: string;
}

interface FlatUser {
  readonly 'client-certificate-data'?: string;
  readonly 'client-key-data'?: string;
  readonly token?: string;
}

/** `stop` removes local files only; what a suite creates in the cluster it removes itself. */
export async function connectExistingCluster(kubeconfig: string): Promise<Cluster> {
  const binaries = { kubectl: await ensureBinary('kubectl'), helm: await ensureBinary('helm') };
  const dir = mkdtempSync(join(tmpdir(), 'stepup-existing-'));
  for (const folder of ['kubeconfigs', 'home']) mkdirSync(join(dir, folder));
  const run = (binary: string, args: readonly string[], options: CommandOptions = {}) =>
    runCommand(binary, args, {
      ...options,
      env: commandEnv(join(dir, 'home'), options.kubeconfig ?? kubeconfig, options.env),
    });

  const view = await run(binaries.kubectl, ['config', 'view', '--flatten', '--minify', '--output=json']);
  if (view.code !== 0) throw new Error(`read KUBECONFIG ${kubeconfig}: ${view.stderr.trim()}`);
  const { server, ca, by } = parseConfig(JSON.parse(view.stdout), kubeconfig);
  const admin = createAdminClient({ server, ca, ...by });
  const write = (file: string, url: string, user: KubeconfigUser) => {
    const path = isAbsolute(file) ? file : join(dir, 'kubeconfigs', basename(file));
    return writeKubeconfig(path, { server: url, ca, user });
  };

  return {
    dir,
    server,
    adminKubeconfig: kubeconfig,
    admin,
    binaries,
    userKubeconfig: async (name, { user, groups = [], server: url = server }) =>
      write(name, url, { kind: 'impersonation', by, user, groups }),
    serviceAccountKubeconfig: async (account, options = {}) => {
      const token = await requestToken(admin, account, options);
      return write(options.file ?? account.replace('/', '-'), options.server ?? server, { kind: 'token', token });
    },
    kubectl: (args, options) => run(binaries.kubectl, args, options),
    helm: (args, options) => run(binaries.helm, args, options),
    stop: async () => {
      admin.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function parseConfig(config: FlatConfig, path: string) {
  const cluster = config.clusters[0]?.cluster;
  const user = config.users[0]?.user;
  if (!cluster || !user) throw new Error(`read KUBECONFIG ${path}: its current context names no cluster or no user`);
  return { server: cluster.server, ca: decode(cluster['certificate-authority-data']), by: credentialsOf(user, path) };
}

function credentialsOf(user: FlatUser, path: string): Credentials {
  const cert = user['client-certificate-data'];
  const key = user['client-key-data'];
  if (user.token) return { kind: 'token', token: user.token };
  if (cert && key) return { kind: 'certificate', cert: decode(cert), key: decode(key) };
  throw new Error(`read KUBECONFIG ${path}: its user has neither a token nor a client certificate, as kind's has`);
}

function decode(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
