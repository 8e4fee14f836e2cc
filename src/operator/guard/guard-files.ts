// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The guard as files for API servers that read admission policies from disk: no API call can delete them, and they also
// cover admission policies (KEP-5793, on by default from Kubernetes 1.37).
import { type GuardObject, guardParts, guardWith } from './guard.ts';
import { type GuardContext, type GuardPart, reachesUsCel, rule, type Validation, write } from './parts.ts';

/** The API server takes no other names from files, and none of these from its API. */
const suffix = '.static.k8s.io';

type Manifest = Pick<GuardObject, 'apiVersion' | 'kind' | 'spec'> & { readonly metadata: { readonly name: string } };

/** All policies and bindings, in an order that can be read from top to bottom. */
export function staticGuards(context: GuardContext): readonly Manifest[] {
  return guardParts(context).flatMap((part) => {
    const whole = part.name === 'stepup-guard' ? withPolicies(part) : part;
    const { policy, binding } = guardWith({ ...whole, name: `${part.name}${suffix}` }, context);
    return [manifest('ValidatingAdmissionPolicy', policy), manifest('ValidatingAdmissionPolicyBinding', binding)];
  });
}

/** Ours may not be touched; and nobody's mutating policy may see votes, which runs before they are stamped. */
function withPolicies(part: GuardPart): GuardPart {
  const policies = [
    'validatingadmissionpolicies',
    'validatingadmissionpolicybindings',
    'mutatingadmissionpolicies',
    'mutatingadmissionpolicybindings',
  ];
  return {
    ...part,
    resourceRules: [...part.resourceRules, rule('admissionregistration.k8s.io', 'v1', write, policies)],
    variables: [
      ...part.variables,
      {
        name: 'mutatesUs',
        expression: `variables.resource == 'mutatingadmissionpolicies' && object != null && object.?spec.matchConstraints.resourceRules.orValue([]).exists(r, ${reachesUsCel('r')})`,
      },
    ],
    validations: [...part.validations, noMutatingPolicy],
  };
}

const noMutatingPolicy: Validation = {
  expression: '!variables.mutatesUs',
  messageExpression:
    "'stepup guards approvals and votes: service accounts may not have a policy change them, as ' + variables.name + ' could; leave the group stepup.dev (and *) out of its rules, or have a person with cluster-admin write it'",
  message: 'stepup guards approvals and votes: leave the group stepup.dev (and *) out of the rules',
  reason: 'Forbidden',
};

function manifest(
  kind: string,
  { metadata, spec }: { readonly metadata: { readonly name: string }; readonly spec: object },
): Manifest {
  return { apiVersion: 'admissionregistration.k8s.io/v1', kind, metadata: { name: metadata.name }, spec };
}
