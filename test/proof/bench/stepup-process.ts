// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup as its pod would run it, without the stand-in node's balancer between: the chart's objects, the rendered
// arguments, the image's entrypoint, and the Service pointed straight at the process.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageEntrypoint } from '../../../scripts/image-entrypoint.ts';
import { type Component, startComponent } from '../../support/control-plane/component.ts';
import type { ControlPlane } from '../../support/control-plane/controlplane.ts';
import { requestToken } from '../../support/control-plane/service-account-token.ts';
import { bytesOf, limitMemory } from './memory-limit.ts';

export const systemNamespace = 'stepup-system';
const root = fileURLToPath(new URL('../../../', import.meta.url));
const address = '127.0.0.1';

export interface StepupOptions {
  readonly webhookPort: number;
  readonly statusPort: number;
  /** Folder for CPU profiles, written when the process ends. */
  readonly profile?: string | undefined;
}

export interface Stepup {
  readonly gate: (policy: string) => string;
  readonly token: string;
  /** The chart's limit of memory, and whether this machine lets the process be held to it. */
  readonly memory: { readonly limit: string; readonly isHeld: boolean };
  /** Starts the process and resolves once it is ready. */
  start(): Promise<Component>;
  /** The sum of a counter over all its label sets. */
  counted(metric: string, labels?: Labels): Promise<number>;
  /** Takes away what it made outside the cluster's folder; once the process has ended. */
  cleanUp(): void;
}

type Labels = Readonly<Record<string, string>>;

interface Container {
  readonly args: readonly string[];
  readonly resources: { readonly limits: { readonly memory: string } };
}

interface Deployment {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly Container[] } };
  };
}

/** Installs the chart; no node runs its pod. */
export async function installChart(cluster: ControlPlane, options: StepupOptions): Promise<Stepup> {
  const { webhookPort, statusPort } = options;
  const values = [
    'replicas=1',
    `service.port=${webhookPort}`,
    `webhook.port=${webhookPort}`,
    `statusPort=${statusPort}`,
  ];
  const sets = values.flatMap((value) => ['--set', value]);
  const chart = [
    'upgrade',
    '--install',
    'stepup',
    join(root, 'charts/stepup'),
    '-n',
    systemNamespace,
    '--create-namespace',
  ];
  const installed = await cluster.helm([...chart, ...sets], { timeoutMs: 120_000 });
  if (installed.code !== 0) throw new Error(`install the chart: ${installed.stderr}`);
  await cluster.admin.patch(`/api/v1/namespaces/${systemNamespace}/services/stepup`, {
    spec: { type: 'ExternalName', externalName: address, clusterIP: null, clusterIPs: null },
  });

  // Of this run only: others build into dist/ meanwhile.
  const folder = join(cluster.dir, 'bench-stepup');
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
  const token = await writeServiceAccount(cluster, join(folder, 'account'));
  const path = `/apis/apps/v1/namespaces/${systemNamespace}/deployments/stepup`;
  const deployment = await cluster.admin.get<Deployment & { metadata: { name: string } }>(path);
  const [container] = deployment.spec.template.spec.containers;
  if (container === undefined) throw new Error('read the Deployment: no container');
  const { memory } = container.resources.limits;
  const held = limitMemory(bytesOf(memory));
  const server = new URL(cluster.server);
  const metrics = async () => (await fetch(`http://${address}:${statusPort}/metrics`)).text();
  return {
    token,
    gate: (policy) => `https://${address}:${webhookPort}/gate/${policy}`,
    counted: async (metric, labels) => sumOf(await metrics(), metric, labels),
    memory: { limit: memory, isHeld: held !== undefined },
    start: () => {
      const command = [
        '/usr/bin/env',
        '-i',
        'NODE_ENV=production',
        `KUBERNETES_SERVICE_HOST=${server.hostname}`,
        `KUBERNETES_SERVICE_PORT=${server.port}`,
        ...entrypoint(join(folder, 'dist'), options.profile),
        ...container.args.map((arg) => expanded(arg, join(folder, 'account'))),
      ];
      return startComponent({
        name: 'stepup',
        binary: '/bin/sh',
        args: held?.wrap(command) ?? ['-c', 'exec "$0" "$@"', ...command],
        log: join(folder, 'stepup.log'),
        isReady: () => isReady(statusPort),
        readyTimeoutMs: 30_000,
      });
    },
    cleanUp: () => held?.remove(),
  };
}

function entrypoint(dist: string, profile: string | undefined): readonly string[] {
  const [node, ...rest] = imageEntrypoint(dist);
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  return [node, ...profiling, ...rest];
}

function expanded(arg: string, account: string): string {
  return arg
    .replace('$(POD_NAMESPACE)', systemNamespace)
    .replace('$(POD_NAME)', 'stepup-bench')
    .replace('$(POD_IP)', address)
    .replace('/var/run/secrets/kubernetes.io/serviceaccount', account);
}

async function writeServiceAccount(cluster: ControlPlane, folder: string): Promise<string> {
  const token = await requestToken(cluster.admin, `${systemNamespace}/stepup`, { expirationSeconds: 24 * 3600 });
  mkdirSync(folder, { recursive: true });
  const files = { token, 'ca.crt': cluster.ca, namespace: systemNamespace };
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text, { mode: 0o600 });
  return token;
}

async function isReady(statusPort: number): Promise<boolean> {
  try {
    return (await fetch(`http://${address}:${statusPort}/readyz`)).ok;
  } catch {
    return false; // does not listen yet
  }
}

/** The sum of a metric over all label sets that contain these labels, from the Prometheus format. */
export function sumOf(text: string, metric: string, labels: Labels = {}): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${metric} `) || line.startsWith(`${metric}{`))
    .filter((line) => Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
