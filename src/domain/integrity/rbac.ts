// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Roles and bindings of RBAC as they are stored.

export interface GrantRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

export interface Role {
  readonly kind: 'ClusterRole' | 'Role';
  readonly namespace?: string;
  readonly name: string;
  /** Kubernetes fills in the rules of an aggregated role. */
  readonly rules?: readonly GrantRule[] | null;
}

export interface RbacSubject {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface Binding {
  readonly kind: 'ClusterRoleBinding' | 'RoleBinding';
  readonly namespace?: string;
  readonly name: string;
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly RbacSubject[] | null;
}

export interface Grants {
  readonly roles: readonly Role[];
  readonly bindings: readonly Binding[];
}

/** The rules that a binding grants; none if its role does not exist. */
export function rulesOf({ namespace, roleRef }: Binding, roles: readonly Role[]): readonly GrantRule[] {
  const role = roles.find(
    ({ kind, name, ...role }) =>
      kind === roleRef.kind && name === roleRef.name && (kind === 'ClusterRole' || role.namespace === namespace),
  );
  return role?.rules ?? [];
}
