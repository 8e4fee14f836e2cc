// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the replicas themselves count, read from their status ports as Prometheus would.
import { type Installation, systemNamespace } from './installation.ts';

const statusPort = 8080;

/** The sum of a counter over all replicas and all label sets that contain every one of these labels. */
export async function counted(
  installation: Pick<Installation, 'node' | 'cluster'>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const texts = await metricsOf(installation);
  return texts
    .flatMap((text) => text.split('\n'))
    .reduce((sum, line) => {
      const [, metric, given = '', value] = /^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$/.exec(line) ?? [];
      const isMeant =
        metric === name && Object.entries(labels).every(([key, wanted]) => given.includes(`${key}="${wanted}"`));
      return isMeant ? sum + Number(value) : sum;
    }, 0);
}

async function metricsOf({ node, cluster }: Pick<Installation, 'node' | 'cluster'>): Promise<readonly string[]> {
  if (node !== undefined) {
    const pods = node.pods().filter((pod) => pod.isReady);
    return Promise.all(pods.map(async ({ ip }) => (await fetch(`http://${ip}:${statusPort}/metrics`)).text()));
  }
  // On an existing cluster only the API server reaches pods.
  const pods = `/api/v1/namespaces/${systemNamespace}/pods`;
  const { items } = await cluster.admin.list(`${pods}?labelSelector=app.kubernetes.io/name=stepup`);
  const raw = (pod: string) => cluster.kubectl(['get', '--raw', `${pods}/${pod}:${statusPort}/proxy/metrics`]);
  return Promise.all(items.map(async ({ metadata }) => (await raw(metadata.name)).stdout));
}
