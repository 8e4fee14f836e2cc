// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Command lines of etcd, the API server and the controller manager, and how each is seen to be ready.

import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import type { Binaries } from './binaries.ts';
import type { ClusterFiles } from './cluster-files.ts';
import { serviceIpRange } from './cluster-files.ts';
import type { ComponentSpec } from './component.ts';

const readyTimeoutMs = 60_000;

export interface EtcdPorts {
  readonly client: number;
  readonly peer: number;
}

export function etcdSpec(
  binaries: Binaries,
  files: ClusterFiles,
  ports: EtcdPorts,
  compaction: 'off' | '5m',
): ComponentSpec {
  const clientUrl = `https://127.0.0.1:${ports.client}`;
  const peerUrl = `https://127.0.0.1:${ports.peer}`;
  return {
    name: 'etcd',
    binary: binaries.etcd,
    args: [
      '--name=stepup',
      `--data-dir=${files.path('etcd')}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=stepup=${peerUrl}`,
      `--cert-file=${files.path('etcd-server.crt')}`,
      `--key-file=${files.path('etcd-server.key')}`,
      `--trusted-ca-file=${files.path('ca.crt')}`,
      '--client-cert-auth',
      `--peer-cert-file=${files.path('etcd-server.crt')}`,
      `--peer-key-file=${files.path('etcd-server.key')}`,
      `--peer-trusted-ca-file=${files.path('ca.crt')}`,
      '--peer-client-cert-auth',
      // A crash of the process loses nothing without fsync, only one of the machine would.
      '--unsafe-no-fsync',
      '--quota-backend-bytes=8589934592',
      ...(compaction === 'off' ? [] : ['--auto-compaction-mode=periodic', `--auto-compaction-retention=${compaction}`]),
      '--log-level=warn',
    ],
    log: files.path('etcd.log'),
    isReady: healthCheck(`${clientUrl}/health`, files, 'etcd-client'),
    readyTimeoutMs,
  };
}

export interface ApiServerParts {
  readonly name: string;
  readonly port: number;
  readonly etcdPort: number;
  readonly auditLog: string;
  readonly extraArgs: readonly string[];
}

export function apiServerSpec(binaries: Binaries, files: ClusterFiles, parts: ApiServerParts): ComponentSpec {
  return {
    name: parts.name,
    binary: binaries['kube-apiserver'],
    args: [
      '--bind-address=127.0.0.1',
      `--secure-port=${parts.port}`,
      // Endpoints may not be loopback addresses, so the Service "kubernetes" gets none; pods are given the real address.
      '--advertise-address=10.88.255.1',
      '--endpoint-reconciler-type=none',
      `--service-cluster-ip-range=${serviceIpRange}`,
      `--etcd-servers=https://127.0.0.1:${parts.etcdPort}`,
      `--etcd-cafile=${files.path('ca.crt')}`,
      `--etcd-certfile=${files.path('etcd-client.crt')}`,
      `--etcd-keyfile=${files.path('etcd-client.key')}`,
      '--etcd-compaction-interval=0',
      `--tls-cert-file=${files.path('apiserver.crt')}`,
      `--tls-private-key-file=${files.path('apiserver.key')}`,
      `--client-ca-file=${files.path('ca.crt')}`,
      `--authentication-config=${files.path('authentication.json')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-signing-key-file=${files.path('service-accounts.key')}`,
      `--service-account-key-file=${files.path('service-accounts.pub')}`,
      `--requestheader-client-ca-file=${files.path('front-proxy-ca.crt')}`,
      '--requestheader-allowed-names=front-proxy-client',
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-uid-headers=X-Remote-Uid',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      `--proxy-client-cert-file=${files.path('front-proxy-client.crt')}`,
      `--proxy-client-key-file=${files.path('front-proxy-client.key')}`,
      '--allow-privileged=true',
      `--audit-policy-file=${files.path('audit-policy.json')}`,
      // Read by offset, so never rotated; the default begins a new file after 100 MB.
      '--audit-log-maxsize=10000',
      `--audit-log-path=${parts.auditLog}`,
      ...parts.extraArgs,
    ],
    log: files.path(`${parts.name}.log`),
    isReady: healthCheck(`https://127.0.0.1:${parts.port}/readyz`, files),
    readyTimeoutMs,
  };
}

export function controllerManagerSpec(
  binaries: Binaries,
  files: ClusterFiles,
  port: number,
  kubeconfig: string,
): ComponentSpec {
  return {
    name: 'kube-controller-manager',
    binary: binaries['kube-controller-manager'],
    args: [
      `--kubeconfig=${kubeconfig}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--tls-cert-file=${files.path('apiserver.crt')}`,
      `--tls-private-key-file=${files.path('apiserver.key')}`,
      '--leader-elect=false',
      // The default of 20 a second spends most of the boot on making the controllers' own accounts.
      '--kube-api-qps=1000',
      '--kube-api-burst=1000',
      '--use-service-account-credentials',
      // These two would taint the stand-in node and delete the pods bound to it.
      '--controllers=*,-node-lifecycle-controller,-pod-garbage-collector-controller',
      `--root-ca-file=${files.path('ca.crt')}`,
      `--service-account-private-key-file=${files.path('service-accounts.key')}`,
      `--cluster-signing-cert-file=${files.path('ca.crt')}`,
      `--cluster-signing-key-file=${files.path('ca.key')}`,
    ],
    log: files.path('kube-controller-manager.log'),
    isReady: healthCheck(`https://127.0.0.1:${port}/healthz`, files),
    readyTimeoutMs,
  };
}

/** One health request, answered within a second by a certificate of our authority; anything else is "not yet". */
function healthCheck(url: string, files: ClusterFiles, clientPair?: string): () => Promise<boolean> {
  const ca = readFileSync(files.path('ca.crt'));
  const client = clientPair
    ? { cert: readFileSync(files.path(`${clientPair}.crt`)), key: readFileSync(files.path(`${clientPair}.key`)) }
    : {};
  return () =>
    new Promise((resolve) => {
      const req = get(url, { ca, ...client, agent: false, timeout: 1_000 }, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      });
      req.on('timeout', () => req.destroy());
      req.on('error', () => resolve(false));
    });
}
