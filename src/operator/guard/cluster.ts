// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What gated accounts cannot change in the whole cluster: webhook configurations, kinds, policies, roles, status, and
// approvals of others.

import type { Rule } from '../admission/webhook-configuration.ts';
import {
  choose,
  type GuardContext,
  type GuardPart,
  notOurs,
  ofRelease,
  reachesUsCel,
  rule,
  type Validation,
  type Variable,
  variables,
  write,
} from './parts.ts';

export function clusterGuard(context: GuardContext): GuardPart {
  return {
    name: 'stepup-guard',
    resourceRules: clusterRules,
    namespaceSelector: {},
    variables: clusterVariables(context),
    validations: [notOurs, noMutator],
  };
}

const clusterRules: readonly Rule[] = [
  rule('admissionregistration.k8s.io', 'v1', write, [
    'validatingwebhookconfigurations',
    'mutatingwebhookconfigurations',
  ]),
  rule('apiextensions.k8s.io', 'v1', write, ['customresourcedefinitions', 'customresourcedefinitions/status']),
  rule('apiregistration.k8s.io', 'v1', write, ['apiservices', 'apiservices/status']),
  rule('rbac.authorization.k8s.io', 'v1', write, ['clusterroles', 'clusterrolebindings']),
  rule('stepup.dev', 'v1alpha1', write, ['stepuppolicies', 'stepuppolicies/status']),
  // Making them is what requesters and delegates do.
  rule(
    'stepup.dev',
    'v1alpha1',
    ['UPDATE', 'DELETE'],
    ['stepupapprovals', 'stepupapprovals/status', 'stepupdecisions'],
    'Namespaced',
  ),
];

/** A mutating webhook that sees votes could turn a Deny into an Approve before it is stamped. */
const noMutator: Validation = {
  expression: "variables.resource != 'mutatingwebhookconfigurations' || !variables.reachesUs || variables.reachedUs",
  messageExpression:
    "'stepup guards approvals and votes: service accounts may not have a webhook change them, as ' + variables.name + ' could; leave the group stepup.dev (and *) out of its rules, or have a person with cluster-admin write it'",
  message: 'stepup guards approvals and votes: leave the group stepup.dev (and *) out of the rules',
  reason: 'Forbidden',
};

function clusterVariables({ release }: GuardContext): readonly Variable[] {
  return [
    ...variables,
    {
      name: 'isOurs',
      expression: choose([
        ["request.resource.group == 'admissionregistration.k8s.io'", "variables.name.startsWith('stepup-')"],
        [
          "request.resource.group == 'rbac.authorization.k8s.io'",
          `${ofRelease(release)} || variables.name.startsWith('stepup-')`,
        ],
        ["request.resource.group != 'stepup.dev'", "variables.name.endsWith('.stepup.dev')"],
        ["variables.subresource == 'status' || variables.resource == 'stepuppolicies'", 'true'],
        // What it made itself it may take back.
        ["variables.resource == 'stepupapprovals'", `${authorOf('createdBy')} != request.userInfo.username`],
        // Whoever speaks for a person wrote it: a sync account applies its decisions again at every interval.
        ['has(oldObject.spec.decidedVia)', `${authorOf('decidedVia')} != request.userInfo.username`],
        ['true', `${authorOf('decidedBy')} != request.userInfo.username`],
      ]),
    },
    { name: 'reachesUs', expression: `object != null && ${webhookReachesUs('object')}` },
    { name: 'reachedUs', expression: `oldObject != null && ${webhookReachesUs('oldObject')}` },
  ];
}

function authorOf(field: 'createdBy' | 'decidedBy' | 'decidedVia'): string {
  return `oldObject.?spec.${field}.username.orValue('')`;
}

function webhookReachesUs(root: 'object' | 'oldObject'): string {
  return `${root}.?webhooks.orValue([]).exists(w, w.?rules.orValue([]).exists(r, ${reachesUsCel('r')}))`;
}
