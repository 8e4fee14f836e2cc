// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The webhooks that stepup is held against: always-allow in Node and in Go, behind Services like its own.
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createAuthority } from '../../support/control-plane/certificates.ts';
import { type Component, startComponent } from '../../support/control-plane/component.ts';
import type { ControlPlane } from '../../support/control-plane/controlplane.ts';
import { ensureGoBaseline } from './go-baseline.ts';

export const benchNamespace = 'bench';
/** The label of a namespace that says whose webhook its objects go through. */
export const engineLabel = 'bench-engine';

export interface Baseline {
  readonly name: 'node' | 'go';
  readonly port: number;
  readonly process: Component;
  readonly clientConfig: object;
}

export async function startBaselines(
  cluster: ControlPlane,
  ports: { readonly node: number; readonly go: number },
  say: (line: string) => void,
): Promise<Readonly<Record<'node' | 'go', Baseline>>> {
  const go = await ensureGoBaseline(say);
  const authority = await createAuthority('bench-ca');
  const start = async (name: 'node' | 'go', command: readonly string[]): Promise<Baseline> => {
    const port = ports[name];
    // A P-256 leaf, as stepup's own.
    const pair = await authority.issueServer(
      { commonName: name },
      { dns: [`${name}.${benchNamespace}.svc`], ips: ['127.0.0.1'] },
    );
    const [cert, key] = [join(cluster.dir, `${name}.crt`), join(cluster.dir, `${name}.key`)];
    writeFileSync(cert, pair.cert);
    writeFileSync(key, pair.key, { mode: 0o600 });
    const [binary = '', ...args] = command;
    const process = await startComponent({
      name,
      binary,
      args: [...args, String(port), cert, key],
      log: join(cluster.dir, `${name}.log`),
      isReady: () => listens(port),
      readyTimeoutMs: 10_000,
    });
    await cluster.admin.post(`/api/v1/namespaces/${benchNamespace}/services`, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { type: 'ExternalName', externalName: '127.0.0.1' },
    });
    const caBundle = Buffer.from(authority.cert).toString('base64');
    return {
      name,
      port,
      process,
      clientConfig: { service: { namespace: benchNamespace, name, port, path: '/' }, caBundle },
    };
  };
  const program = join(import.meta.dirname, 'always-allow.ts');
  return { node: await start('node', [process.execPath, program]), go: await start('go', [go]) };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

const configurations = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

/** Asks the baseline about what a plain rule names, in namespaces of this engine's label. */
export async function askAbout(cluster: ControlPlane, engine: string, { clientConfig }: Baseline): Promise<void> {
  const rule = { operations: ['CREATE', 'UPDATE'], apiVersions: ['*'], scope: '*' };
  await configure(cluster, engine, [
    {
      name: `${engine}.bench.stepup.dev`,
      clientConfig,
      rules: [
        { ...rule, apiGroups: [''], resources: ['configmaps'] },
        { ...rule, apiGroups: ['apps'], resources: ['deployments'] },
      ],
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      failurePolicy: 'Fail',
      timeoutSeconds: 10,
    },
  ]);
}

interface Configuration {
  readonly metadata: { readonly name: string };
  readonly webhooks: readonly { readonly name: string; readonly clientConfig: object }[];
}

/** Asks the baseline about exactly what stepup is asked about under a policy, its CEL conditions included. */
export async function askAboutTheSame(
  cluster: ControlPlane,
  { engine, policy }: { readonly engine: string; readonly policy: string },
  { clientConfig }: Baseline,
): Promise<void> {
  const { webhooks } = await cluster.admin.get<Configuration>(`${configurations}/stepup-${policy}`);
  await configure(
    cluster,
    engine,
    webhooks.map((webhook) => ({ ...webhook, name: `same.${webhook.name}`, clientConfig })),
  );
}

async function configure(cluster: ControlPlane, engine: string, webhooks: readonly object[]): Promise<void> {
  const namespaceSelector = { matchLabels: { [engineLabel]: engine } };
  await cluster.admin.post(configurations, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: `bench-${engine}` },
    webhooks: webhooks.map((webhook) => ({ ...webhook, namespaceSelector })),
  });
}
