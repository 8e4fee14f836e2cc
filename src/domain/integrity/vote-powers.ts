// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Permissions with which a requester could cast somebody else's vote: to impersonate the voter, to create credentials
// of the voter, or to change admission. stepup checks each of them when a vote is created.
import type { Stamp } from '../model/approval.ts';
import { type Policy, requirementsOf } from '../model/policy.ts';
import { serviceAccountOf } from '../model/subject.ts';

/** One permission, as a SubjectAccessReview names it. */
export interface VotePower {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

export const admissionGroup = 'admissionregistration.k8s.io';
/** Kinds that change what admission does, for all votes at once. */
export const admissionKinds = [
  'mutatingwebhookconfigurations',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'validatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
] as const;

/** The API group of constrained impersonation. */
const constrained = { group: 'authentication.k8s.io' };
const certificates = 'certificates.k8s.io';
const writes = ['create', 'update', 'patch', 'delete'];

const ofAdmission: readonly (readonly [group: string, resource: string])[] = [
  ...admissionKinds.map((kind) => [admissionGroup, kind] as const),
  ['apiregistration.k8s.io', 'apiservices'],
];

/** The namespace of stepup's pods, and the Secret with its keys there. */
export interface Own {
  readonly namespace: string;
  readonly keysSecret: string;
}

/** Permissions over all votes, whoever casts them. */
export function powersOverAll({ namespace, keysSecret }: Own): readonly VotePower[] {
  const own = { group: '', namespace };
  return [
    { verb: 'impersonate', group: '', resource: 'groups', name: 'system:masters' },
    { ...own, verb: 'get', resource: 'secrets', name: keysSecret },
    { ...own, verb: 'list', resource: 'secrets' },
    { ...own, verb: 'create', resource: 'pods' },
    { ...own, verb: 'create', resource: 'pods', subresource: 'exec' },
    { ...own, verb: 'create', resource: 'serviceaccounts', subresource: 'token' },
    { verb: 'update', group: certificates, resource: 'certificatesigningrequests', subresource: 'approval' },
    { verb: 'update', group: certificates, resource: 'certificatesigningrequests', subresource: 'status' },
    ...ofAdmission.flatMap(([group, resource]) => writes.map((verb) => ({ verb, group, resource }))),
  ];
}

/**
 * Permissions over the votes of one voter: to impersonate them, or a group for which their vote counts. Since Kubernetes
 * 1.36 impersonation can be limited to some actions, with verbs of its own (KEP-5284); the actions are not checked.
 */
export function powersOver(voter: Stamp, policy: Policy): readonly VotePower[] {
  const account = serviceAccountOf(voter.username);
  const counting = new Set(requirementsOf(policy).flatMap(({ approvers }) => approvers?.groups ?? []));
  const groups = (voter.groups ?? []).filter((group) => counting.has(group));
  return [
    { verb: 'impersonate', group: '', resource: 'users', name: voter.username },
    ...groups.map((name) => ({ verb: 'impersonate', group: '', resource: 'groups', name })),
    ...(account === undefined
      ? [
          { ...constrained, verb: 'impersonate:user-info', resource: 'users', name: voter.username },
          ...groups.map((name) => ({ ...constrained, verb: 'impersonate:user-info', resource: 'groups', name })),
        ]
      : [{ ...constrained, verb: 'impersonate:serviceaccount', resource: 'serviceaccounts', ...account }]),
    ...(account === undefined
      ? []
      : [
          { verb: 'impersonate', group: '', resource: 'serviceaccounts', ...account },
          { verb: 'create', group: '', resource: 'serviceaccounts', subresource: 'token', ...account },
          { verb: 'create', group: '', resource: 'pods', namespace: account.namespace },
        ]),
  ];
}

/** The groups that the API server gives a requester of this name. Other groups of users are not known. */
export function groupsOfRequester(username: string): readonly string[] {
  if (username === 'system:anonymous') return ['system:unauthenticated'];
  const account = serviceAccountOf(username);
  const all = 'system:authenticated';
  return account === undefined ? [all] : ['system:serviceaccounts', `system:serviceaccounts:${account.namespace}`, all];
}

const mostNamed = 3;

/** Permissions as a short phrase: "impersonate users ada, get secrets in stepup-system and 4 more"; undefined when there are none. */
export function powersPhrase(powers: readonly VotePower[]): string | undefined {
  if (powers.length === 0) return undefined;
  // Who has the full permission also has the constrained one, which says less.
  const isConstrained = ({ verb }: VotePower) => Number(verb.includes(':'));
  const tellingFirst = [...powers].sort((a, b) => isConstrained(a) - isConstrained(b));
  const named = tellingFirst.slice(0, mostNamed).map(powerPhrase);
  const left = powers.length - named.length;
  return `${named.join(', ')}${left > 0 ? ` and ${left} more` : ''}`.slice(0, 512);
}

function powerPhrase({ verb, resource, subresource, namespace, name }: VotePower): string {
  const kind = subresource === undefined ? resource : `${resource}/${subresource}`;
  return `${verb} ${kind}${name === undefined ? '' : ` ${name}`}${namespace === undefined ? '' : ` in ${namespace}`}`;
}
