// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The only place that loads @kubernetes/client-node: it reads kubeconfig files and runs their credential plugins.
// credentials.ts imports it on demand, since undici and what else the package pulls in costs memory that a process with
// in-cluster credentials should not pay.

import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';

/**
 * Reads kubeconfig files, merged as kubectl merges `KUBECONFIG`: the first current-context wins.
 * Throws when a file cannot be read or the context is unknown.
 */
export function loadKubeConfig(paths: readonly string[], context?: string): KubeConfig {
  const merged = new KubeConfig();
  for (const path of paths) {
    const next = new KubeConfig();
    next.loadFromFile(path);
    const first = merged.currentContext;
    merged.mergeConfig(next);
    merged.setCurrentContext(first || next.currentContext);
  }
  if (context !== undefined) merged.setCurrentContext(context);
  if (merged.getCurrentCluster() === null) {
    throw new Error(`read kubeconfig ${paths.join(', ')}: context ${merged.currentContext || '(none)'} has no cluster`);
  }
  return merged;
}

/** TLS material and headers of the current context; runs credential plugins when their credential has expired. */
export async function httpsOptions(kubeConfig: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = { headers: {} };
  await kubeConfig.applyToHTTPSOptions(options);
  return options;
}
