// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The guard: what gated accounts may not do to the gate, as policies that the API server evaluates by itself. Webhooks are
// never called for webhook configurations, policies are; neither is called for policies (docs/attacks.md).

import { sameJson } from '../domain/json.ts';
import { kubernetesControllers, serviceAccountPrefix } from '../domain/subject.ts';
import type { KubeObject } from '../kube/objects.ts';
import { celText, celTexts } from './cel.ts';
import type { Form, Wanted } from './configuration-keeper.ts';
import { managedLabel, type Rule } from './webhook-configuration.ts';

/** A policy or a binding: what counts is their spec. */
export interface GuardObject extends KubeObject {
  readonly spec: object;
}

export interface GuardContext {
  readonly ownUsername: string;
  /** Usernames that may do all this besides: the chart's uninstaller, and those an admin names. */
  readonly exempt: readonly string[];
  readonly namespace: string;
  /** What the release's objects are called, or begin with. */
  readonly release: string;
}

export interface Guard {
  readonly policy: Wanted<GuardObject>;
  readonly binding: Wanted<GuardObject>;
}

export const guardName = 'stepup-guard';
export const namespaceGuardName = 'stepup-guard-namespace';
export const guardNames: readonly string[] = [guardName, namespaceGuardName];

/** How the two kinds are compared and mended. */
export const guardForm: Form<GuardObject> = {
  isInPlace: (stored, wanted) =>
    sameJson(plain(stored.spec), plain(wanted.spec)) && stored.metadata.labels?.[managedLabel] === 'true',
  broughtBack: (stored, wanted) => ({
    ...stored,
    metadata: { ...stored.metadata, labels: { ...stored.metadata.labels, ...wanted.metadata.labels } },
    spec: wanted.spec,
  }),
};

/**
 * Two policies, because a namespaceSelector spares every other namespace the evaluation, and would spare approvals
 * elsewhere too.
 */
export function guards(context: GuardContext): readonly Guard[] {
  return [
    guard(guardName, clusterRules, {}, clusterVariables(context), clusterValidations, context),
    guard(
      namespaceGuardName,
      namespaceRules,
      // The API server writes this label and takes no other value for it.
      { matchLabels: { 'kubernetes.io/metadata.name': context.namespace } },
      namespaceVariables(context),
      [notOurs],
      context,
    ),
  ];
}

const write = ['CREATE', 'UPDATE', 'DELETE'];

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

/** Optional throughout: an absent key is an error in CEL, and an error refuses the request. */
const variables: readonly Variable[] = [
  { name: 'resource', expression: 'request.resource.resource' },
  { name: 'subresource', expression: "request.?subResource.orValue('')" },
  {
    name: 'name',
    // The items of a collection that is deleted, and what has a generated name, say theirs only in the object.
    expression:
      "request.operation == 'DELETE' ? oldObject.metadata.name : request.operation == 'CREATE' && variables.subresource == '' ? object.metadata.?name.orValue('') : request.?name.orValue('')",
  },
];

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
        ['true', `${authorOf('decidedBy')} != request.userInfo.username`],
      ]),
    },
    { name: 'reachesUs', expression: `object != null && ${reachesUs('object')}` },
    { name: 'reachedUs', expression: `oldObject != null && ${reachesUs('oldObject')}` },
  ];
}

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

const notOurs: Validation = {
  expression: '!variables.isOurs',
  messageExpression:
    "'stepup guards ' + variables.resource + (variables.subresource == '' ? '' : '/' + variables.subresource) + ' ' + variables.name + ': service accounts may not ' + (request.operation == 'CONNECT' ? 'connect to' : request.operation == 'DELETE' ? 'delete' : request.operation == 'CREATE' ? 'create' : 'change') + ' it; have a person with cluster-admin do it, or name ' + request.userInfo.username + ' in the chart value guard.exempt'",
  message: 'stepup guards it: have a person with cluster-admin do it',
  reason: 'Forbidden',
};

/** A mutating webhook that sees votes could turn a Deny into an Approve before it is stamped. */
const noMutator: Validation = {
  expression: "variables.resource != 'mutatingwebhookconfigurations' || !variables.reachesUs || variables.reachedUs",
  messageExpression:
    "'stepup guards approvals and votes: service accounts may not have a webhook change them, as ' + variables.name + ' could; leave the group stepup.dev (and *) out of its rules, or have a person with cluster-admin write it'",
  message: 'stepup guards approvals and votes: leave the group stepup.dev (and *) out of the rules',
  reason: 'Forbidden',
};

const clusterValidations = [notOurs, noMutator];

interface Variable {
  readonly name: string;
  readonly expression: string;
}

interface Validation {
  readonly expression: string;
  readonly messageExpression: string;
  /** Where the expression fails. */
  readonly message: string;
  readonly reason: 'Forbidden';
}

function guard(
  name: string,
  resourceRules: readonly Rule[],
  namespaceSelector: object,
  ownVariables: readonly Variable[],
  validations: readonly Validation[],
  context: GuardContext,
): Guard {
  const metadata = { name, labels: { [managedLabel]: 'true' } };
  // Every field is written out, so that nothing is defaulted and drift is plain inequality.
  return {
    policy: {
      metadata,
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: { matchPolicy: 'Equivalent', namespaceSelector, objectSelector: {}, resourceRules },
        matchConditions: [{ name: 'gated', expression: isGuardedAgainst(context) }],
        variables: ownVariables,
        validations,
      },
    },
    binding: { metadata, spec: { policyName: name, validationActions: ['Deny'] } },
  };
}

/** Never an error, so that nobody else is ever refused: a condition that is false ends the evaluation. */
function isGuardedAgainst({ ownUsername, exempt }: GuardContext): string {
  const username = 'request.userInfo.username';
  const others = [...new Set([ownUsername, ...exempt])].sort();
  return (
    `(${username}.startsWith(${celText(serviceAccountPrefix)}) || ${username} == 'system:anonymous')` +
    ` && !(${username} in ${celTexts(others)}) && !(${username} in ${celTexts(kubernetesControllers)})`
  );
}

function ofRelease(release: string): string {
  return `variables.name == ${celText(release)} || variables.name.startsWith(${celText(`${release}-`)})`;
}

function authorOf(field: 'createdBy' | 'decidedBy'): string {
  return `oldObject.?spec.${field}.username.orValue('')`;
}

function reachesUs(root: 'object' | 'oldObject'): string {
  const isUs = (list: string, prefix: string) =>
    `r.?${list}.orValue([]).exists(one, one.startsWith('*') || one.startsWith('${prefix}'))`;
  return `${root}.?webhooks.orValue([]).exists(w, w.?rules.orValue([]).exists(r, ${isUs('apiGroups', 'stepup.dev')} && ${isUs('resources', 'stepup')}))`;
}

/** The first case that holds; the last one always does. */
function choose(cases: readonly (readonly [when: string, then: string])[]): string {
  const [[when, then] = ['true', 'true'], ...rest] = cases;
  return rest.length === 0 ? `(${then})` : `${when} ? (${then}) : ${choose(rest)}`;
}

function namespaced(group: string, resources: readonly string[]): Rule {
  return rule(group, 'v1', write, resources, 'Namespaced');
}

function rule(
  group: string,
  version: string,
  operations: readonly string[],
  resources: readonly string[],
  scope: Rule['scope'] = 'Cluster',
): Rule {
  return { apiGroups: [group], apiVersions: [version], operations, resources, scope };
}

function plain(value: object) {
  return JSON.parse(JSON.stringify(value));
}
