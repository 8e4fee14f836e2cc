// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The files of one control plane: its folder, certificates, keys and the API server's configuration files.

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CertificateAuthority, createAuthority, createSigningKeys, type PemPair } from './certificates.ts';

export interface ClusterFiles {
  readonly dir: string;
  readonly ca: CertificateAuthority;
  /** Path of a file of this name in the folder. */
  path(name: string): string;
  readonly admin: PemPair;
  readonly controllerManager: PemPair;
}

/** First address of the Service range, which the Service `kubernetes` gets. */
const kubernetesServiceIp = '10.96.0.1';
export const serviceIpRange = '10.96.0.0/16';

/** Creates a fresh folder with everything the components read. */
export async function writeClusterFiles(): Promise<ClusterFiles> {
  const dir = mkdtempSync(join(tmpdir(), 'stepup-cluster-'));
  const path = (name: string) => join(dir, name);
  for (const folder of ['etcd', 'kubeconfigs', 'home']) mkdirSync(path(folder));
  const write = (name: string, text: string) => writeFileSync(path(name), text, { mode: 0o600 });
  const writePair = (name: string, pair: PemPair) => {
    write(`${name}.crt`, pair.cert);
    write(`${name}.key`, pair.key);
  };

  const ca = await createAuthority('stepup-test-ca');
  // The aggregator's clients get an authority of their own: whoever it signs may claim to be any user.
  const frontProxyCa = await createAuthority('stepup-test-front-proxy-ca');
  const loopback = { dns: ['localhost'], ips: ['127.0.0.1'] };
  writePair('ca', ca);
  writePair('front-proxy-ca', frontProxyCa);
  writePair('front-proxy-client', await frontProxyCa.issueClient({ commonName: 'front-proxy-client' }));
  writePair('etcd-server', await ca.issueServer({ commonName: 'etcd' }, loopback));
  writePair('etcd-client', await ca.issueClient({ commonName: 'kube-apiserver-etcd-client' }));
  writePair(
    'apiserver',
    await ca.issueServer(
      { commonName: 'kube-apiserver' },
      {
        dns: [
          'localhost',
          'kubernetes',
          'kubernetes.default',
          'kubernetes.default.svc',
          'kubernetes.default.svc.cluster.local',
        ],
        ips: ['127.0.0.1', kubernetesServiceIp],
      },
    ),
  );
  const tokenKeys = await createSigningKeys();
  write('service-accounts.key', tokenKeys.privateKey);
  write('service-accounts.pub', tokenKeys.publicKey);
  write('audit-policy.json', JSON.stringify(auditPolicy));
  write('authentication.json', JSON.stringify(authentication));
  return {
    dir,
    ca,
    path,
    admin: await ca.issueClient({ commonName: 'stepup-admin', organizations: ['system:masters'] }),
    controllerManager: await ca.issueClient({ commonName: 'system:kube-controller-manager' }),
  };
}

const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'RequestResponse', resources: [{ group: 'stepup.dev' }] }, { level: 'Metadata' }],
};

const authentication = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AuthenticationConfiguration',
  anonymous: { enabled: true, conditions: ['/livez', '/readyz', '/healthz'].map((path) => ({ path })) },
};
