// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// No policy gates Kubernetes' own controllers, and the guard exempts some accounts. A gated account that acts as one of
// them would be free of both, so it cannot create tokens for them or run pods as them.
import { kubernetesControllers, serviceAccountOf, serviceAccountPrefix } from '../../domain/model/subject.ts';
import { celText, celTexts } from '../admission/cel.ts';
import type { Rule } from '../admission/webhook-configuration.ts';
import { choose, type GuardContext, type GuardPart, rule, type Validation, type Variable, variables } from './parts.ts';

export function accountGuard({ exempt, namespace }: GuardContext): GuardPart {
  const accounts = [...kubernetesControllers, ...exempt].filter((name) => {
    const account = serviceAccountOf(name);
    // In our own namespace nothing may be started at all.
    return account !== undefined && account.namespace !== namespace;
  });
  const namespaces = [...new Set(accounts.map((name) => serviceAccountOf(name)?.namespace ?? ''))].sort();
  return {
    name: 'stepup-guard-accounts',
    resourceRules: accountRules,
    namespaceSelector: {
      matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values: namespaces }],
    },
    variables: [
      ...variables,
      accountVariable,
      { name: 'isExempt', expression: `variables.account in ${celTexts(accounts)}` },
    ],
    validations: [notAsThem],
  };
}

const change = ['CREATE', 'UPDATE'];

const accountRules: readonly Rule[] = [
  rule('', 'v1', ['CREATE'], ['pods', 'serviceaccounts/token'], 'Namespaced'),
  rule('', 'v1', change, ['replicationcontrollers', 'secrets'], 'Namespaced'),
  rule('apps', 'v1', change, ['daemonsets', 'deployments', 'replicasets', 'statefulsets'], 'Namespaced'),
  rule('batch', 'v1', change, ['cronjobs', 'jobs'], 'Namespaced'),
];

const accountVariable: Variable = {
  name: 'account',
  expression: `${celText(serviceAccountPrefix)} + request.?namespace.orValue('') + ':' + (${choose([
    ["variables.resource == 'serviceaccounts'", 'variables.name'],
    [
      "variables.resource == 'secrets'",
      "object.?type.orValue('') == 'kubernetes.io/service-account-token' ? object.?metadata.annotations[?'kubernetes.io/service-account.name'].orValue('') : ''",
    ],
    ["variables.resource == 'pods'", "object.?spec.serviceAccountName.orValue('')"],
    ["variables.resource == 'cronjobs'", "object.?spec.jobTemplate.spec.template.spec.serviceAccountName.orValue('')"],
    ['true', "object.?spec.template.spec.serviceAccountName.orValue('')"],
  ])})`,
};

const notAsThem: Validation = {
  expression: '!variables.isExempt',
  messageExpression:
    "'stepup guards ' + variables.account + ', which no policy gates: service accounts may not act as it; have a person with cluster-admin do it, or name ' + request.userInfo.username + ' in the chart value guard.exempt'",
  message: 'stepup guards accounts that no policy gates: have a person with cluster-admin do it',
  reason: 'Forbidden',
};
