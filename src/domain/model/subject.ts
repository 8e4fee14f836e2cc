// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which identities a policy gates.
import { matchesGlob } from '../../lib/glob.ts';

export interface Subject {
  readonly kind: 'ServiceAccount' | 'Group' | 'User';
  readonly namespace?: string;
  readonly name: string;
}

export interface Subjects {
  readonly include?: readonly Subject[];
  readonly exclude?: readonly Subject[];
}

/** An identity as the API server authenticated it. */
export interface Identity {
  readonly username: string;
  readonly groups: readonly string[];
}

export const serviceAccountPrefix = 'system:serviceaccount:';
/** Requests without credentials (apiserver, pkg/authentication/user). A gated account that can grant its permissions
 *  could grant them to this name, and go on without credentials. */
const anonymous: Subject = { kind: 'User', name: 'system:anonymous' };
const everyServiceAccount: readonly Subject[] = [{ kind: 'ServiceAccount', name: '*' }, anonymous];

/**
 * Kubernetes' own controllers, by the names of the API server's bootstrap policy
 * (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go, v1.37.2) and of the accounts that kube-controller-manager makes
 * outside of it. By name, not by namespace: a gated account may create another one in kube-system.
 */
export const kubernetesControllers: readonly string[] = [
  'attachdetach-controller',
  'bootstrap-signer',
  'certificate-controller',
  'clusterrole-aggregation-controller',
  'cronjob-controller',
  'daemon-set-controller',
  'deployment-controller',
  'device-taint-eviction-controller',
  'disruption-controller',
  'endpoint-controller',
  'endpointslice-controller',
  'endpointslicemirroring-controller',
  'ephemeral-volume-controller',
  'expand-controller',
  'generic-garbage-collector',
  'horizontal-pod-autoscaler',
  'job-controller',
  'kube-apiserver-serving-clustertrustbundle-publisher',
  'legacy-service-account-token-cleaner',
  'namespace-controller',
  'node-controller',
  'persistent-volume-binder',
  'pod-garbage-collector',
  'podcertificaterequestcleaner',
  'podgroup-protection-controller',
  'pv-protection-controller',
  'pvc-protection-controller',
  'replicaset-controller',
  'replication-controller',
  'resource-claim-controller',
  'resourcepoolstatusrequest-controller',
  'resourcequota-controller',
  'root-ca-cert-publisher',
  'route-controller',
  'selinux-warning-controller',
  'service-account-controller',
  'service-cidrs-controller',
  'service-controller',
  'statefulset-controller',
  'storage-version-garbage-collector',
  'storage-version-migrator-controller',
  'token-cleaner',
  'ttl-after-finished-controller',
  'ttl-controller',
  'validatingadmissionpolicy-status-controller',
  'volumeattributesclass-protection-controller',
].map((name) => `${serviceAccountPrefix}kube-system:${name}`);

const controllers: ReadonlySet<string> = new Set(kubernetesControllers);
const reservedPrefix = 'system:';

/**
 * True for nodes, kubelets that ask to join, the scheduler, the controller manager and the API server itself: names that Kubernetes keeps
 * for its parts. Without them nothing starts, stepup neither. Service accounts and requests without credentials have such names too.
 */
export function isPartOfKubernetes(username: string): boolean {
  if (!username.startsWith(reservedPrefix) || username === anonymous.name) return false;
  return !username.startsWith(serviceAccountPrefix) || controllers.has(username);
}

/** True if a policy with these subjects could match parts of Kubernetes that are not service accounts. */
export function mayNameParts(subjects: Subjects | undefined): boolean {
  return includedSubjects(subjects).some(({ kind, name }) => kind !== 'ServiceAccount' && name !== anonymous.name);
}

/** The subjects of a policy, by default every service account; requests without credentials are always included. */
export function includedSubjects(subjects: Subjects | undefined): readonly Subject[] {
  const named = subjects?.include ?? [];
  return named.length > 0 ? [...named, anonymous] : everyServiceAccount;
}

/** True when the policy with these subjects gates the identity. Parts of Kubernetes are never gated. */
export function isGated(subjects: Subjects | undefined, who: Identity): boolean {
  if (isPartOfKubernetes(who.username)) return false;
  if (!includedSubjects(subjects).some((subject) => isSubject(subject, who))) return false;
  return !(subjects?.exclude ?? []).some((subject) => isSubject(subject, who));
}

function isSubject(subject: Subject, who: Identity): boolean {
  switch (subject.kind) {
    case 'User':
      return matchesGlob(subject.name, who.username);
    case 'Group':
      return who.groups.includes(subject.name);
    case 'ServiceAccount': {
      const account = serviceAccountOf(who.username);
      return (
        account !== undefined &&
        matchesGlob(subject.namespace ?? '*', account.namespace) &&
        matchesGlob(subject.name, account.name)
      );
    }
  }
}

/** The service account with this username; undefined if it is not one. */
export function serviceAccountOf(username: string): { namespace: string; name: string } | undefined {
  if (!username.startsWith(serviceAccountPrefix)) return undefined;
  const [namespace, name, ...rest] = username.slice(serviceAccountPrefix.length).split(':');
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

/** Namespaces in which a policy does not gate all service accounts; names with *. */
export interface Exemption {
  /** Namespaces with an excluded account. */
  readonly excluded: readonly string[];
  /** Namespaces all of whose accounts are included. */
  readonly included: readonly string[];
}

/** Kubernetes' own controllers live in kube-system, stepup in its own namespace, and neither is ever gated. */
export function exemptionOf(subjects: Subjects | undefined, ownNamespace: string): Exemption {
  return {
    excluded: ['kube-system', ownNamespace, ...(subjects?.exclude ?? []).flatMap(accountNamespacesOf)],
    included: includedSubjects(subjects).filter(isWholeNamespace).flatMap(accountNamespacesOf),
  };
}

/** True when the policy does not gate some account of the namespace. */
export function isExemptNamespace({ excluded, included }: Exemption, namespace: string): boolean {
  return (
    excluded.some((glob) => matchesGlob(glob, namespace)) || !included.some((glob) => matchesGlob(glob, namespace))
  );
}

/** The namespaces in which a subject can match service accounts. */
function accountNamespacesOf({ kind, namespace = '*', name }: Subject): readonly string[] {
  if (kind === 'ServiceAccount') return [namespace];
  if (kind === 'Group') {
    if (name === 'system:serviceaccounts') return ['*'];
    return name.startsWith('system:serviceaccounts:') ? [name.slice('system:serviceaccounts:'.length)] : [];
  }
  const fixed = name.split('*')[0] ?? '';
  if (!fixed.startsWith(serviceAccountPrefix))
    return serviceAccountPrefix.startsWith(fixed) && fixed !== name ? ['*'] : [];
  const [of = '', ...rest] = fixed.slice(serviceAccountPrefix.length).split(':');
  return rest.length > 0 ? [of] : ['*'];
}

/** True when the subject matches every account of its namespaces. */
function isWholeNamespace({ kind, name }: Subject): boolean {
  if (kind === 'Group') return true;
  return kind === 'ServiceAccount' ? name === '*' : name === '*' || /^system:serviceaccount:([^:*]+:)?\*$/.test(name);
}
