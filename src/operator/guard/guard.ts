// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The guard: admission policies that keep gated accounts from changing what stepup depends on. The API server never
// calls webhooks for webhook configurations, but it evaluates policies; it calls neither for policies
// (docs/attacks.md).

import { managedLabel } from '../../domain/model/labels.ts';
import { kubernetesControllers, serviceAccountPrefix } from '../../domain/model/subject.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import { isSameAsSent } from '../../lib/json.ts';
import { celText, celTexts } from '../admission/cel.ts';
import type { Form, Wanted } from '../admission/object-keeper.ts';
import { accountGuard } from './accounts.ts';
import { clusterGuard } from './cluster.ts';
import { namespaceGuard } from './namespace.ts';
import type { GuardContext, GuardPart } from './parts.ts';

/** A policy or a binding: what counts is their spec. */
export interface GuardObject extends KubeObject {
  readonly spec: object;
}

export interface Guard {
  readonly policy: Wanted<GuardObject>;
  readonly binding: Wanted<GuardObject>;
}

export const guardNames: readonly string[] = ['stepup-guard', 'stepup-guard-accounts', 'stepup-guard-namespace'];

/** How the two kinds are compared and mended. */
export const guardForm: Form<GuardObject> = {
  isInPlace: (stored, wanted) =>
    isSameAsSent(stored.spec, wanted.spec) && stored.metadata.labels?.[managedLabel] === 'true',
  broughtBack: (stored, wanted) => ({
    ...stored,
    metadata: { ...stored.metadata, labels: { ...stored.metadata.labels, ...wanted.metadata.labels } },
    spec: wanted.spec,
  }),
};

/** All policies with their bindings. */
export function guards(context: GuardContext): readonly Guard[] {
  return guardParts(context).map((part) => guardWith(part, context));
}

export function guardParts(context: GuardContext): readonly GuardPart[] {
  return [clusterGuard, accountGuard, namespaceGuard].map((part) => part(context));
}

/** A policy and its binding, of the part's name. */
export function guardWith(
  { name, resourceRules, namespaceSelector, variables, validations }: GuardPart,
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
        variables,
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
