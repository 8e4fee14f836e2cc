// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Draining needs rights that the role for gated accounts leaves out: on nodes, and to see pods everywhere.
import { apply, type Installation } from '../../support/installation/installation.ts';

export async function mayDrain(stepup: Pick<Installation, 'cluster'>): Promise<void> {
  const rules = [
    { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'patch'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
  ];
  const rbac = 'rbac.authorization.k8s.io';
  await apply(stepup.cluster, [
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: 'drainer' }, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'drainer' },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'drainer' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'deployer' }],
    },
  ]);
}
