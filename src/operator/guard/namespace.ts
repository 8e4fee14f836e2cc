// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What gated accounts cannot change in stepup's own namespace. It is a separate policy, because its namespaceSelector
// saves every other namespace the evaluation, and would exempt approvals elsewhere.
import { celText, celTexts } from '../admission/cel.ts';
import type { Rule } from '../admission/webhook-configuration.ts';
import {
  choose,
  type GuardContext,
  type GuardPart,
  namespacedRule,
  notOurs,
  ofRelease,
  rule,
  type Variable,
  variables,
} from './parts.ts';

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
  namespacedRule('', [
    'configmaps',
    'endpoints',
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
  namespacedRule('apps', [
    'daemonsets',
    'deployments',
    'deployments/scale',
    'replicasets',
    'replicasets/scale',
    'statefulsets',
    'statefulsets/scale',
  ]),
  namespacedRule('batch', ['cronjobs', 'jobs']),
  // What vouches for the certificate where cert-manager keeps it. Status is left alone: issuers and approvers of others write it.
  namespacedRule('cert-manager.io', ['certificaterequests', 'certificates', 'issuers']),
  namespacedRule('coordination.k8s.io', ['leases']),
  // Where the Service leads, and who may speak to the webhook: policies add up, so any of them may let more in.
  namespacedRule('discovery.k8s.io', ['endpointslices']),
  namespacedRule('networking.k8s.io', ['networkpolicies']),
  namespacedRule('rbac.authorization.k8s.io', ['rolebindings', 'roles']),
];

/** Which objects of our namespace the gate stands on; others there are nobody's concern. */
function namespaceVariables({ release }: GuardContext): readonly Variable[] {
  const written = '(object != null ? object : oldObject)';
  const type = `${written}.?type.orValue('')`;
  const named = ['secretName', 'issuerRef.name', 'ca.secretName'].map(
    (place) => `${written}.?spec.${place}.orValue('')`,
  );
  return [
    ...variables,
    {
      name: 'isOurs',
      expression: choose([
        ["variables.resource in ['configmaps', 'endpoints', 'leases', 'services']", ofRelease(release)],
        [
          "variables.resource == 'endpointslices'",
          `${written}.?metadata.labels[?'kubernetes.io/service-name'].orValue('') == ${celText(release)}`,
        ],
        // Others' certificates are nobody's concern; those that go into a Secret of the release, or come by its issuer, are.
        [
          "variables.resource in ['certificaterequests', 'certificates', 'issuers']",
          `${ofRelease(release)} || [${named.join(', ')}].exists(one, ${ofRelease(release, 'one')})`,
        ],
        [
          "variables.resource == 'secrets'",
          `${ofRelease(release)} || ${type} in ${celTexts(['kubernetes.io/service-account-token', 'helm.sh/release.v1'])}`,
        ],
        // Labels and annotations of a pod start nothing, and network plugins write them.
        [
          "variables.resource == 'pods' && variables.subresource == '' && request.operation == 'UPDATE'",
          'object.spec != oldObject.spec',
        ],
        ['true', 'true'],
      ]),
    },
  ];
}
