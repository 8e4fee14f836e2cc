// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the replicas themselves count, read from their status ports as Prometheus would.
import type { Installation } from './installation.ts';

const statusPort = 8080;

/** The sum of a counter over all replicas and all label sets that contain every one of these labels. */
export async function counted(
  { node }: Pick<Installation, 'node'>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const pods = (node?.pods() ?? []).filter((pod) => pod.isReady);
  const texts = await Promise.all(
    pods.map(async ({ ip }) => (await fetch(`http://${ip}:${statusPort}/metrics`)).text()),
  );
  return texts
    .flatMap((text) => text.split('\n'))
    .reduce((sum, line) => {
      const [, metric, given = '', value] = /^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$/.exec(line) ?? [];
      const isMeant =
        metric === name && Object.entries(labels).every(([key, wanted]) => given.includes(`${key}="${wanted}"`));
      return isMeant ? sum + Number(value) : sum;
    }, 0);
}
