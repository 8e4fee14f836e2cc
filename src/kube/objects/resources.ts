// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The resources stepup reads and writes.

import type { Resource } from './resource.ts';

const CORE = { group: '', version: 'v1' } as const;
const RBAC = { group: 'rbac.authorization.k8s.io', version: 'v1' } as const;
const ADMISSION = { group: 'admissionregistration.k8s.io', version: 'v1' } as const;
export const namespaces = cluster(CORE, 'namespaces', 'Namespace');
export const secrets = namespaced(CORE, 'secrets', 'Secret');
export const configMaps = namespaced(CORE, 'configmaps', 'ConfigMap');
export const pods = namespaced(CORE, 'pods', 'Pod');
export const serviceAccounts = namespaced(CORE, 'serviceaccounts', 'ServiceAccount');
export const leases = namespaced({ group: 'coordination.k8s.io', version: 'v1' }, 'leases', 'Lease');
export const events = namespaced({ group: 'events.k8s.io', version: 'v1' }, 'events', 'Event');

export const clusterRoles = cluster(RBAC, 'clusterroles', 'ClusterRole');
export const roles = namespaced(RBAC, 'roles', 'Role');
export const clusterRoleBindings = cluster(RBAC, 'clusterrolebindings', 'ClusterRoleBinding');
export const roleBindings = namespaced(RBAC, 'rolebindings', 'RoleBinding');

export const validatingWebhookConfigurations = cluster(
  ADMISSION,
  'validatingwebhookconfigurations',
  'ValidatingWebhookConfiguration',
);
export const mutatingWebhookConfigurations = cluster(
  ADMISSION,
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
);
/** In the newest version; older API servers serve v1beta1 or v1alpha1. */
export const mutatingAdmissionPolicies = cluster(ADMISSION, 'mutatingadmissionpolicies', 'MutatingAdmissionPolicy');
export const validatingAdmissionPolicies = cluster(
  ADMISSION,
  'validatingadmissionpolicies',
  'ValidatingAdmissionPolicy',
);
export const validatingAdmissionPolicyBindings = cluster(
  ADMISSION,
  'validatingadmissionpolicybindings',
  'ValidatingAdmissionPolicyBinding',
);
export const customResourceDefinitions = cluster(
  { group: 'apiextensions.k8s.io', version: 'v1' },
  'customresourcedefinitions',
  'CustomResourceDefinition',
);
export const apiServices = cluster({ group: 'apiregistration.k8s.io', version: 'v1' }, 'apiservices', 'APIService');

/** Create-only: the answer is the returned object. */
export const selfSubjectReviews = cluster(
  { group: 'authentication.k8s.io', version: 'v1' },
  'selfsubjectreviews',
  'SelfSubjectReview',
);

/** Create-only: may somebody do something? */
export const subjectAccessReviews = cluster(
  { group: 'authorization.k8s.io', version: 'v1' },
  'subjectaccessreviews',
  'SubjectAccessReview',
);

type GroupVersion = Pick<Resource, 'group' | 'version'>;

export function cluster(groupVersion: GroupVersion, plural: string, kind: string): Resource {
  return { ...groupVersion, plural, kind, namespaced: false };
}

export function namespaced(groupVersion: GroupVersion, plural: string, kind: string): Resource {
  return { ...groupVersion, plural, kind, namespaced: true };
}
