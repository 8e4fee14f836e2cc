// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The matchConditions of a policy's webhooks: who is gated, and whether the request changes anything privileged.

import { lastApplied } from '../../domain/change/last-applied.ts';
import { tokenOwners, tokenSecretType } from '../../domain/change/token-secret.ts';
import type { CoverageRow } from '../../domain/coverage/coverage.ts';
import { selectorKeys } from '../../domain/model/label-selector.ts';
import type { LabelSelector, Policy } from '../../domain/model/policy.ts';
import {
  type Exemption,
  includedSubjects,
  kubernetesControllers,
  mayNameParts,
  type Subject,
  serviceAccountPrefix,
} from '../../domain/model/subject.ts';
import { pointerToken } from '../../lib/json.ts';
import { allOf, anyOf, celAt, celDiffers, celText, celTexts, globPattern } from '../admission/cel.ts';
import type { MatchCondition } from '../admission/webhook-configuration.ts';

const username = 'request.userInfo.username';
/** False for the parts of Kubernetes that are no service accounts, as isPartOfKubernetes tells them. */
const partTerm =
  `!(${username}.startsWith('system:') && ${username} != 'system:anonymous'` +
  ` && !${username}.startsWith(${celText(serviceAccountPrefix)}))`;

/**
 * Who is gated and, where given, what has to change. One expression and not several conditions: the API server evaluates
 * all conditions of an entry, also when the first is false already (apiserver, plugin/webhook/matchconditions/matcher.go),
 * while && ends with the first term that is false. So whoever is not gated costs a comparison or two.
 */
export function gatedCondition(policy: Policy, ownUsername: string, change: string | undefined): MatchCondition {
  const terms = [...identityTerms(policy, ownUsername), ...(change === undefined ? [] : [change])];
  return { name: 'gated', expression: allOf(terms) };
}

/** Cheapest first, and first of all what nearly nobody passes. */
function identityTerms(policy: Policy, ownUsername: string): readonly string[] {
  const { subjects } = policy.spec;
  const exclude = subjects?.exclude ?? [];
  return [
    anyOf(includedSubjects(subjects).map((subject) => subjectTerm(subject, 'AtLeast'))),
    `${username} != ${celText(ownUsername)}`,
    `!(${username} in ${celTexts(kubernetesControllers)})`,
    ...(mayNameParts(subjects) ? [partTerm] : []),
    ...(exclude.length === 0 ? [] : [`!(${anyOf(exclude.map((subject) => subjectTerm(subject, 'Exactly')))})`]),
  ];
}

/**
 * True for the subject. Including may let a name through that decide then turns away; excluding must name exactly the
 * identities that decide excludes, since nobody looks at them again.
 */
function subjectTerm(subject: Subject, how: 'AtLeast' | 'Exactly'): string {
  switch (subject.kind) {
    case 'Group':
      return `has(request.userInfo.groups) && ${celText(subject.name)} in request.userInfo.groups`;
    case 'User':
      return subject.name.includes('*')
        ? `${username}.matches(${celText(`(?s)^${globPattern(subject.name, '.*')}$`)})`
        : `${username} == ${celText(subject.name)}`;
    case 'ServiceAccount':
      return serviceAccountTerm(subject.namespace ?? '*', subject.name, how);
  }
}

function serviceAccountTerm(namespace: string, name: string, how: 'AtLeast' | 'Exactly'): string {
  if (!namespace.includes('*') && !name.includes('*')) {
    return `${username} == ${celText(`${serviceAccountPrefix}${namespace}:${name}`)}`;
  }
  if (how === 'AtLeast' && name === '*' && namespace === '*') {
    return `${username}.startsWith(${celText(serviceAccountPrefix)})`;
  }
  if (how === 'AtLeast' && name === '*' && !namespace.includes('*')) {
    return `${username}.startsWith(${celText(`${serviceAccountPrefix}${namespace}:`)})`;
  }
  const part = (glob: string) => (glob === '*' ? '[^:]+' : globPattern(glob, '[^:]*'));
  return `${username}.matches(${celText(`^${serviceAccountPrefix}${part(namespace)}:${part(name)}$`)})`;
}

/** What an UPDATE must change so that it is worth asking about; undefined where every request is. */
export function changeCondition(row: CoverageRow, selector: LabelSelector | undefined): string | undefined {
  switch (row.shape) {
    case 'Action': {
      const { fields } = row.action ?? {};
      if (fields === undefined || !row.operations.includes('UPDATE')) return undefined;
      return ifUpdate([...fields, lastApplied].map(celDiffers));
    }
    case 'DeletionByUpdate':
      return ifUpdate(['/metadata/finalizers', '/metadata/ownerReferences', '/spec/finalizers'].map(celDiffers));
    case 'ConditionLabelRemoved':
      return ifUpdate((row.conditionLabels ?? []).map(celDiffers));
    case 'TokenSecret':
      return `${celAt('object', '/type')}.orValue('') == ${celText(tokenSecretType)} && (${ifUpdate(tokenOwners.map(celDiffers))})`;
    case 'NamespaceLeaves':
      return leavesCondition(selector ?? {});
    default:
      return undefined;
  }
}

function ifUpdate(terms: readonly string[]): string {
  return `request.operation != 'UPDATE' || ${anyOf(terms)}`;
}

/** A label that the selector names changes on a namespace that was selected; whether it still is, decide tells. */
function leavesCondition(selector: LabelSelector): string {
  const differs = selectorKeys(selector).map((key) => celDiffers(labelPointer(key)));
  return allOf([...selectedTerms(selector), anyOf(differs)]);
}

function selectedTerms(selector: LabelSelector): readonly string[] {
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => isOneOf(key, [value]));
  return [...equal, ...(selector.matchExpressions ?? []).map(expressionTerm)];
}

function expressionTerm({
  key,
  operator,
  values = [],
}: NonNullable<LabelSelector['matchExpressions']>[number]): string {
  switch (operator) {
    case 'In':
      return isOneOf(key, values);
    case 'NotIn':
      return `!(${isOneOf(key, values)})`;
    case 'Exists':
      return `${oldLabel(key)}.hasValue()`;
    case 'DoesNotExist':
      return `!${oldLabel(key)}.hasValue()`;
  }
}

function isOneOf(key: string, values: readonly string[]): string {
  return `${oldLabel(key)}.hasValue() && ${oldLabel(key)}.value() in ${celTexts(values)}`;
}

function oldLabel(key: string): string {
  return celAt('oldObject', labelPointer(key));
}

function labelPointer(key: string): string {
  return `/metadata/labels/${pointerToken(key)}`;
}

/** True in the namespaces some of whose accounts the policy leaves alone. */
export function exemptCondition({ excluded, included }: Exemption): string {
  const isAnyOf = (globs: readonly string[]) =>
    globs.includes('*') ? 'true' : globs.length === 0 ? 'false' : anyOf(globs.map(namespaceTerm));
  return `(${isAnyOf(excluded)}) || !(${isAnyOf(included)})`;
}

function namespaceTerm(glob: string): string {
  return glob.includes('*')
    ? `request.namespace.matches(${celText(`^${globPattern(glob, '.*')}$`)})`
    : `request.namespace == ${celText(glob)}`;
}

/** The policy's own CEL, under names that cannot meet ours. */
export function ownConditions(policy: Policy): readonly MatchCondition[] {
  return (policy.spec.conditions ?? []).map(({ name, expression }) => ({ name: `policy-${name}`, expression }));
}
