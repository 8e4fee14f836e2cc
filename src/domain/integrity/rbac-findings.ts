// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Permissions that get around stepup, found in RBAC: no gated account should have them (design, section 5).

import { type Identity, isGated, type Subjects, serviceAccountPrefix } from '../model/subject.ts';
import { type GrantRule, type Grants, type RbacSubject, rulesOf } from './rbac.ts';
import { admissionGroup, admissionKinds } from './vote-powers.ts';

export interface Surroundings {
  /** The namespace of stepup. */
  readonly namespace: string;
  /** Accounts of stepup itself, which need some of these permissions. */
  readonly own: readonly string[];
  /** The subjects of each policy; without any policy, the default subjects. */
  readonly gated: readonly (Subjects | undefined)[];
}

export interface Finding {
  /** A username, or a group as "group …". */
  readonly who: string;
  readonly power: string;
  /** One sentence. */
  readonly why: string;
  /** "ClusterRoleBinding root-bot to ClusterRole cluster-admin" */
  readonly by: string;
}

interface RbacPower {
  readonly name: string;
  readonly why: string;
  readonly verbs: readonly string[];
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  /** The namespaces in which a RoleBinding grants it; elsewhere only a ClusterRoleBinding does. */
  readonly namespaces?: 'own' | 'own and kube-system';
}

const read = ['get', 'list', 'watch'];
const write = ['create', 'update', 'patch', 'delete', 'deletecollection'];
const start = ['create', 'update', 'patch'];

const powers: readonly RbacPower[] = [
  {
    name: 'Impersonate',
    why: 'can act as an approver, or as an account that no policy gates',
    verbs: ['impersonate', 'impersonate:user-info', 'impersonate:serviceaccount'],
    // The second group has the permissions for constrained impersonation (KEP-5284).
    groups: ['', 'authentication.k8s.io'],
    resources: ['users', 'groups', 'serviceaccounts'],
    namespaces: 'own and kube-system',
  },
  {
    name: 'ReadKeys',
    why: "can read stepup's keys",
    verbs: read,
    groups: [''],
    resources: ['secrets'],
    namespaces: 'own',
  },
  {
    name: 'RunAsStepup',
    why: 'can start pods that run as stepup',
    verbs: start,
    groups: [''],
    resources: ['pods', 'replicationcontrollers'],
    namespaces: 'own',
  },
  {
    name: 'RunAsStepup',
    why: 'can start pods that run as stepup',
    verbs: start,
    groups: ['apps'],
    resources: ['deployments', 'statefulsets', 'daemonsets', 'replicasets'],
    namespaces: 'own',
  },
  {
    name: 'RunAsStepup',
    why: 'can start pods that run as stepup',
    verbs: start,
    groups: ['batch'],
    resources: ['jobs', 'cronjobs'],
    namespaces: 'own',
  },
  {
    name: 'EnterPods',
    why: "can enter stepup's pods",
    // Over WebSockets a connection is a GET.
    verbs: ['get', 'create', 'update', 'patch'],
    groups: [''],
    resources: ['pods/exec', 'pods/attach', 'pods/ephemeralcontainers'],
    namespaces: 'own',
  },
  {
    name: 'EnterPods',
    why: 'can enter any pod through its node',
    verbs: ['get', 'create'],
    groups: [''],
    resources: ['nodes/proxy'],
  },
  {
    name: 'MintTokens',
    why: "can create tokens of stepup's service account, or of an account that no policy gates",
    verbs: ['create'],
    groups: [''],
    resources: ['serviceaccounts/token'],
    namespaces: 'own and kube-system',
  },
  {
    name: 'MintTokens',
    why: "can have a Secret filled with a token of stepup's service account, or of an account that no policy gates",
    verbs: ['create'],
    groups: [''],
    resources: ['secrets'],
    namespaces: 'own and kube-system',
  },
  {
    name: 'IssueCertificates',
    why: 'can have certificates issued in the name of an approver',
    verbs: ['approve', 'sign'],
    groups: ['certificates.k8s.io'],
    resources: ['signers'],
  },
  {
    name: 'ChangeAdmission',
    why: "can change or delete stepup's webhook configurations, or have votes changed before stepup seals them",
    verbs: write,
    groups: [admissionGroup],
    resources: admissionKinds,
  },
  {
    name: 'ChangeAPIServices',
    why: "can have another server serve stepup's API",
    verbs: write,
    groups: ['apiregistration.k8s.io'],
    resources: ['apiservices'],
  },
  {
    name: 'ChangeKinds',
    why: "can delete or change stepup's kinds",
    verbs: write,
    groups: ['apiextensions.k8s.io'],
    resources: ['customresourcedefinitions'],
  },
  {
    name: 'ChangePolicies',
    why: 'can change what policies govern, or the status of approvals',
    verbs: write.filter((verb) => verb !== 'create'),
    groups: ['stepup.dev'],
    resources: ['stepuppolicies', 'stepuppolicies/status', 'stepupapprovals/status'],
  },
  {
    name: 'WidenRights',
    why: 'can give itself permissions that it does not have',
    verbs: ['escalate', 'bind'],
    groups: ['rbac.authorization.k8s.io'],
    resources: ['clusterroles', 'roles'],
    namespaces: 'own',
  },
];

/** Who can get around stepup and how: one finding for each power and grant, sorted by name. */
export function powersIn(grants: Grants, where: Surroundings): readonly Finding[] {
  const found = grants.bindings.flatMap((binding) => {
    const rules = rulesOf(binding, grants.roles);
    const held = powers.filter((power) => reaches(power, binding.namespace, where) && rules.some(gives(power)));
    const by = `${binding.kind} ${inNamespace(binding)} to ${binding.roleRef.kind} ${binding.roleRef.name}`;
    return (binding.subjects ?? []).flatMap((subject) => {
      const who = gatedName(subject, binding.namespace, where);
      return who === undefined ? [] : held.map(({ name, why }): Finding => ({ who, power: name, why, by }));
    });
  });
  const byKey = new Map(found.map((one) => [JSON.stringify(one), one]));
  return [...byKey.values()].sort((a, b) => compare(a.who, b.who) || compare(a.power, b.power) || compare(a.by, b.by));
}

function reaches({ namespaces }: RbacPower, namespace: string | undefined, where: Surroundings): boolean {
  if (namespace === undefined) return true;
  if (namespaces === undefined) return false;
  return namespace === where.namespace || (namespaces === 'own and kube-system' && namespace === 'kube-system');
}

/** The rules as the API server reads them (plugin/pkg/auth/authorizer/rbac, pkg/apis/rbac/v1/evaluation_helpers.go). */
function gives({ verbs, groups, resources }: RbacPower): (rule: GrantRule) => boolean {
  return (rule) =>
    (rule.apiGroups ?? []).some((one) => one === '*' || groups.includes(one)) &&
    verbs.some((verb) => rule.verbs.some((one) => one === '*' || one === verb) && mayName(rule, verb)) &&
    resources.some((resource) => (rule.resources ?? []).some((one) => isResource(one, resource)));
}

function isResource(given: string, resource: string): boolean {
  if (given === '*' || given === resource) return true;
  const [, subresource] = resource.split('/');
  return subresource !== undefined && given === `*/${subresource}`;
}

/**
 * A rule with resourceNames counts if a name can matter: one of stepup's, or any that can be impersonated or signed for.
 * create and deletecollection have no name, so a rule with resourceNames never allows them.
 */
function mayName({ resourceNames = [] }: GrantRule, verb: string): boolean {
  if (resourceNames.length === 0) return true;
  if (verb === 'create' || verb === 'deletecollection') return false;
  if (!write.includes(verb) && !read.includes(verb)) return true;
  return resourceNames.some((name) => name.includes('stepup'));
}

/** The name of a subject that is gated, or that gated accounts belong to. */
function gatedName(subject: RbacSubject, bound: string | undefined, where: Surroundings): string | undefined {
  const { kind, name } = subject;
  if (kind === 'Group') return isGatedGroup(name, where) ? `group ${name}` : undefined;
  const username = kind === 'ServiceAccount' ? `${serviceAccountPrefix}${subject.namespace ?? bound}:${name}` : name;
  if (where.own.includes(username)) return undefined;
  return isGatedBySome({ username, groups: [] }, where) ? username : undefined;
}

const everybody = ['system:authenticated', 'system:unauthenticated', 'system:serviceaccounts'];

/** A group of people is gated if a policy names it; the groups that Kubernetes puts accounts into always are. */
function isGatedGroup(name: string, where: Surroundings): boolean {
  if (everybody.includes(name) || name.startsWith(`${everybody[2]}:`)) return true;
  return isGatedBySome({ username: '', groups: [name] }, where);
}

function isGatedBySome(who: Identity, { gated }: Surroundings): boolean {
  const subjects = gated.length === 0 ? [undefined] : gated;
  return subjects.some((one) => isGated(one, who));
}

function inNamespace({ namespace, name }: { readonly namespace?: string; readonly name: string }): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
