// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The cluster that end-to-end suites run against: our own, unless one is named and explicitly asked for.

import { type Cluster, type ControlPlane, type ControlPlaneOptions, startControlPlane } from './controlplane.ts';
import { connectExistingCluster } from './existing-cluster.ts';

/** What suites have in hand: only our own control plane can run pods on a stand-in node or be disturbed. */
export type UsedCluster =
  | { readonly kind: 'own'; readonly cluster: ControlPlane }
  | { readonly kind: 'existing'; readonly cluster: Cluster };

export type ClusterChoice = { readonly kind: 'own' } | { readonly kind: 'existing'; readonly kubeconfig: string };

/** Starts a control plane, or connects to KUBECONFIG's cluster when USE_EXISTING_CLUSTER is `true`. */
export async function useCluster(options: ControlPlaneOptions = {}): Promise<UsedCluster> {
  const choice = chooseCluster(process.env);
  if (choice.kind === 'own') return { kind: 'own', cluster: await startControlPlane(options) };
  return { kind: 'existing', cluster: await connectExistingCluster(choice.kubeconfig) };
}

/** KUBECONFIG alone is never enough: on a developer's machine it usually names a cluster nobody wants tested upon. */
export function chooseCluster(env: Readonly<Record<string, string | undefined>>): ClusterChoice {
  const asked = env.USE_EXISTING_CLUSTER;
  if (asked === undefined || asked === '' || asked === 'false') return { kind: 'own' };
  if (asked !== 'true') throw new Error(`read USE_EXISTING_CLUSTER: "${asked}" is neither "true" nor "false"`);
  if (!env.KUBECONFIG)
    throw new Error('use the existing cluster: USE_EXISTING_CLUSTER is true but KUBECONFIG is not set');
  return { kind: 'existing', kubeconfig: env.KUBECONFIG };
}
