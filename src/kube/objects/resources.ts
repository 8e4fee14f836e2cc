// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The resources stepup reads and writes.

import type { Resource } from './resource.ts';

const core = { group: '', version: 'v1' } as const;
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' } as const;
const admission = { group: 'admissionregistration.k8s.io', version: 'v1' } as const;
export const namespaces = cluster(core, 'namespaces', 'Namespace');
export const secrets = namespaced(core, 'secrets', 'Secret');
export const configMaps = namespaced(core, 'configmaps', 'ConfigMap');
export const pods = namespaced(core, 'pods', 'Pod');
export const serviceAccounts = namespaced(core, 'serviceaccounts', 'ServiceAccount');
export const leases = namespaced({ group: 'coordination.k8s.io', version: 'v1' }, 'leases', 'Lease');
export const events = namespaced({ group: 'events.k8s.io', version: 'v1' }, 'events', 'Event');

export const clusterRoles = cluster(rbac, 'clusterroles', 'ClusterRole');
export const roles = namespaced(rbac, 'roles', 'Role');
export const clusterRoleBindings = cluster(rbac, 'clusterrolebindings', 'ClusterRoleBinding');
export const roleBindings = namespaced(rbac, 'rolebindings', 'RoleBinding');

export const validatingWebhookConfigurations = cluster(
  admission,
  'validatingwebhookconfigurations',
  'ValidatingWebhookConfiguration',
);
export const mutatingWebhookConfigurations = cluster(
  admission,
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
);
/** In the newest version; older API servers serve v1beta1 or v1alpha1. */
export const mutatingAdmissionPolicies = cluster(admission, 'mutatingadmissionpolicies', 'MutatingAdmissionPolicy');
export const validatingAdmissionPolicies = cluster(
  admission,
  'validatingadmissionpolicies',
  'ValidatingAdmissionPolicy',
);
export const validatingAdmissionPolicyBindings = cluster(
  admission,
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
