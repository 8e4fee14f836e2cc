// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What gated accounts may not change in stepup's own namespace. A policy of its own: its namespaceSelector spares every
// other namespace the evaluation, and would spare approvals elsewhere too.
import { celTexts } from './cel.ts';
import {
  choose,
  type GuardContext,
  type GuardPart,
  namespaced,
  notOurs,
  ofRelease,
  rule,
  type Variable,
  variables,
} from './guard-parts.ts';
import type { Rule } from './webhook-configuration.ts';

export function namespaceGuard(context: GuardContext): GuardPart {
  return {
    name: 'stepup-guard-namespace',
    resourceRules: namespaceRules,
    // The API server writes this label and takes no other value for it.
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': context.namespace } },
    variables: namespaceVariables(context),
    validations: [notOurs],
  };
}

const namespaceRules: readonly Rule[] = [
  rule('', 'v1', ['DELETE'], ['namespaces']),
  namespaced('', [
    'configmaps',
    'pods',
    'pods/ephemeralcontainers',
    'replicationcontrollers',
    'replicationcontrollers/scale',
    'secrets',
    'serviceaccounts',
    'serviceaccounts/token',
    'services',
  ]),
  rule('', 'v1', ['CONNECT'], ['pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy'], 'Namespaced'),
  namespaced('apps', [
    'daemonsets',
    'deployments',
    'deployments/scale',
    'replicasets',
    'replicasets/scale',
    'statefulsets',
    'statefulsets/scale',
  ]),
  namespaced('batch', ['cronjobs', 'jobs']),
  namespaced('coordination.k8s.io', ['leases']),
  namespaced('rbac.authorization.k8s.io', ['rolebindings', 'roles']),
];

/** Which objects of our namespace the gate stands on; others there are nobody's concern. */
function namespaceVariables({ release }: GuardContext): readonly Variable[] {
  const type = "(object != null ? object : oldObject).?type.orValue('')";
  return [
    ...variables,
    {
      name: 'isOurs',
      expression: choose([
        ["variables.resource in ['configmaps', 'leases', 'services']", ofRelease(release)],
        [
          "variables.resource == 'secrets'",
          `${ofRelease(release)} || ${type} in ${celTexts(['kubernetes.io/service-account-token', 'helm.sh/release.v1'])}`,
        ],
        // Marks on a pod start nothing, and network plugins write them.
        [
          "variables.resource == 'pods' && variables.subresource == '' && request.operation == 'UPDATE'",
          'object.spec != oldObject.spec',
        ],
        ['true', 'true'],
      ]),
    },
  ];
}
