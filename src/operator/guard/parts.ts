// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Building blocks for the policies of the guard.
import { celText } from '../admission/cel.ts';
import type { Rule } from '../admission/webhook-configuration.ts';

export interface GuardContext {
  readonly ownUsername: string;
  /** Usernames that may do all this besides: the chart's uninstaller, and those an admin names. */
  readonly exempt: readonly string[];
  readonly namespace: string;
  /** What the release's objects are called, or begin with. */
  readonly release: string;
}

/** One policy without what all of them have. */
export interface GuardPart {
  readonly name: string;
  readonly resourceRules: readonly Rule[];
  readonly namespaceSelector: object;
  readonly variables: readonly Variable[];
  readonly validations: readonly Validation[];
}

export interface Variable {
  readonly name: string;
  readonly expression: string;
}

export interface Validation {
  readonly expression: string;
  readonly messageExpression: string;
  /** Where the expression fails. */
  readonly message: string;
  readonly reason: 'Forbidden';
}

export const write: readonly string[] = ['CREATE', 'UPDATE', 'DELETE'];

/** Optional throughout: an absent key is an error in CEL, and an error refuses the request. */
export const variables: readonly Variable[] = [
  { name: 'resource', expression: 'request.resource.resource' },
  { name: 'subresource', expression: "request.?subResource.orValue('')" },
  {
    name: 'name',
    // The items of a collection that is deleted, and what has a generated name, say theirs only in the object.
    expression:
      "request.operation == 'DELETE' ? oldObject.metadata.name : request.operation == 'CREATE' && variables.subresource == '' ? object.metadata.?name.orValue('') : request.?name.orValue('')",
  },
];

export const notOurs: Validation = {
  expression: '!variables.isOurs',
  messageExpression:
    "'stepup guards ' + variables.resource + (variables.subresource == '' ? '' : '/' + variables.subresource) + ' ' + variables.name + ': service accounts may not ' + (request.operation == 'CONNECT' ? 'connect to' : request.operation == 'DELETE' ? 'delete' : request.operation == 'CREATE' ? 'create' : 'change') + ' it; have a person with cluster-admin do it, or name ' + request.userInfo.username + ' in the chart value guard.exempt'",
  message: 'stepup guards it: have a person with cluster-admin do it',
  reason: 'Forbidden',
};

/** True where the text, the name of what is written unless said otherwise, is that of an object of the release. */
export function ofRelease(release: string, text = 'variables.name'): string {
  return `${text} == ${celText(release)} || ${text}.startsWith(${celText(`${release}-`)})`;
}

/** The first case that holds; the last one always does. */
export function choose(cases: readonly (readonly [when: string, then: string])[]): string {
  const [[when, then] = ['true', 'true'], ...rest] = cases;
  return rest.length === 0 ? `(${then})` : `${when} ? (${then}) : ${choose(rest)}`;
}

export function namespacedRule(group: string, resources: readonly string[]): Rule {
  return rule(group, 'v1', write, resources, 'Namespaced');
}

export function rule(
  group: string,
  version: string,
  operations: readonly string[],
  resources: readonly string[],
  scope: Rule['scope'] = 'Cluster',
): Rule {
  return { apiGroups: [group], apiVersions: [version], operations, resources, scope };
}

/** True of a rule that lets a webhook or policy see approvals or decisions. */
export function reachesUsCel(rule: string): string {
  const isUs = (list: string, prefix: string) =>
    `${rule}.?${list}.orValue([]).exists(one, one.startsWith('*') || one.startsWith('${prefix}'))`;
  return `${isUs('apiGroups', 'stepup.dev')} && ${isUs('resources', 'stepup')}`;
}
