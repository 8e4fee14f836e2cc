// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Specs of policies as people write them, for tests of the compiler and of the API server's opinion of its work.
import type { PolicySpec } from '../../../src/domain/model/policy.ts';

const namespaceSelector = { matchLabels: { environment: 'production' } };
const approval = { require: [{ name: 'approvers', count: 1, approvers: { groups: ['approvers'] } }] };

export const samplePolicies = {
  'production-deploys': {
    namespaceSelector,
    namespaceShapes: 'production-deploys',
    actions: [
      {
        operations: ['CREATE', 'DELETE', 'UPDATE'],
        apiGroups: ['apps'],
        resources: ['deployments', 'statefulsets', 'daemonsets', 'replicasets'],
        fields: ['/spec/template', '/spec/replicas'],
      },
      {
        operations: ['CREATE', 'DELETE', 'UPDATE'],
        apiGroups: ['batch'],
        resources: ['jobs', 'cronjobs'],
        fields: ['/spec/template', '/spec/jobTemplate'],
      },
      { operations: ['CREATE', 'DELETE', 'UPDATE'], apiGroups: [''], resources: ['pods'], fields: ['/spec'] },
    ],
    approval,
  },
  'secret-deletion': {
    namespaceSelector,
    subjects: {
      include: [
        { kind: 'ServiceAccount', name: '*' },
        { kind: 'Group', name: "o'brien" },
      ],
      exclude: [{ kind: 'ServiceAccount', namespace: 'kube-*', name: 'trusted.*' }],
    },
    actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] }],
    conditions: [
      {
        name: 'not-helm',
        expression: "oldObject == null || !has(oldObject.type) || oldObject.type != 'helm.sh/release.v1'",
      },
    ],
    approval,
    grant: { binding: 'Target' },
  },
  'namespace-deletion': {
    namespaceSelector,
    actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['namespaces'] }],
    approval: { require: [{ name: 'approvers', count: 2, approvers: { groups: ['approvers'] } }] },
    grant: { binding: 'Target' },
  },
} satisfies Record<string, PolicySpec>;
