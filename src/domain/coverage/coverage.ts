// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The equivalent requests of a policy: every request shape with an effect that the policy governs. The compiler makes
// webhook rules of these rows, and a request is judged by the row that matches it.
import { type JsonObject, valueAt } from '../../lib/json.ts';
import { type Labels, selects } from '../model/label-selector.ts';
import type { Action, Policy } from '../model/policy.ts';
import type { AdmissionRequest, Operation } from '../model/request.ts';
import { conditionLabelsOf } from './condition-labels.ts';

/** One row: requests of these operations on these kinds are asked about, and why. */
export interface CoverageRow {
  readonly shape: Shape;
  readonly operations: readonly Operation[];
  readonly apiGroups: readonly string[];
  /** Plural names, with a subresource after a slash. */
  readonly resources: readonly string[];
  readonly reach: Reach;
  /** The action of the policy that the row is or was added for; absent on the rows about namespaces. */
  readonly action?: Action;
  /** Pointers to the labels and annotations that the policy's conditions read. */
  readonly conditionLabels?: readonly string[];
  /** Not where ExemptNamespaces rows ask about the same: what persists nothing must be asked about once (reservation.ts). */
  readonly isOutsideExempt?: boolean;
}

/** Why a row is there. Action is the policy's own; the others are doors to the same effect (docs/coverage.md). */
export type Shape =
  | 'Action'
  | 'Scale'
  | 'EphemeralContainers'
  | 'Resize'
  | 'Binding'
  | 'Eviction'
  | 'DeletionByUpdate'
  | 'NamespaceDeletion'
  | 'NamespaceLeaves'
  | 'ConditionLabelRemoved'
  | 'Connect'
  | 'Identity'
  | 'IdentityElsewhere'
  | 'TokenSecret';

/**
 * Where a row applies: objects in the selected namespaces; the selected Namespace objects; every Namespace object,
 * because the API server judges a namespaceSelector on the new labels and would never send a label's removal
 * (apiserver, pkg/admission/plugin/webhook/predicates/namespace/matcher.go); cluster-scoped kinds, which no selector
 * selects; or the namespaces some of whose service accounts the policy does not gate.
 */
export type Reach = 'Selected' | 'SelectedNamespaces' | 'AllNamespaces' | 'ClusterScoped' | 'ExemptNamespaces';

/** The policy's own CEL is about the governed object; at the other doors another object is in its place. */
export function speaksOfObject(shape: Shape): boolean {
  return ['Action', 'EphemeralContainers', 'Resize', 'DeletionByUpdate', 'ConditionLabelRemoved'].includes(shape);
}

/** Policies are never changed in place: a new version is a new object. */
const known = new WeakMap<Policy, readonly CoverageRow[]>();

/** All rows of a policy. */
export function coverageOf(policy: Policy): readonly CoverageRow[] {
  const rows = known.get(policy) ?? rowsOf(policy);
  known.set(policy, rows);
  return rows;
}

function rowsOf(policy: Policy): readonly CoverageRow[] {
  const { actions, namespaceSelector } = policy.spec;
  const conditionLabels = conditionLabelsOf(policy.spec).pointers;
  const rows = actions.flatMap((action) =>
    rowsOfAction(action, { isSelective: namespaceSelector !== undefined, conditionLabels }),
  );
  if (namespaceSelector === undefined) return rows;
  const deletes = actions.some((action) => action.operations.includes('DELETE'));
  const governsNamespaceDeletion = actions.some(
    (action) =>
      action.operations.includes('DELETE') && action.apiGroups.includes('') && action.resources.includes('namespaces'),
  );
  const ofNamespaces = { apiGroups: [''], resources: ['namespaces'] };
  if (deletes && !governsNamespaceDeletion) {
    rows.push({ shape: 'NamespaceDeletion', operations: ['DELETE'], ...ofNamespaces, reach: 'SelectedNamespaces' });
  }
  rows.push({
    shape: 'NamespaceLeaves',
    operations: ['UPDATE'],
    apiGroups: [''],
    resources: withSubresources('namespaces'),
    reach: 'AllNamespaces',
  });
  return rows;
}

function rowsOfAction(
  action: Action,
  { isSelective, conditionLabels }: { readonly isSelective: boolean; readonly conditionLabels: readonly string[] },
): CoverageRow[] {
  const { apiGroups, operations } = action;
  const rows: CoverageRow[] = [];
  const isNamespaces = (name: string) => isSelective && apiGroups.includes('') && name === 'namespaces';
  const namespaces = action.resources.filter(isNamespaces);
  const others = action.resources.filter((name) => !isNamespaces(name));
  const add = (
    shape: Shape,
    operation: readonly Operation[],
    resources: readonly string[],
    reach: Reach = 'Selected',
  ) => {
    if (resources.length > 0) rows.push({ shape, operations: operation, apiGroups, resources, reach, action });
  };
  // Tokens are asked about in exempt namespaces too, and twice for one request would spend two approvals.
  const ownToken: readonly string[] =
    makesIdentities(action) && isSelective ? others.filter((name) => name === token) : [];
  add(
    'Action',
    operations,
    others.filter((name) => !ownToken.includes(name)),
  );
  if (ownToken.length > 0) {
    rows.push({
      ...{ operations, apiGroups, action },
      shape: 'Action',
      resources: ownToken,
      reach: 'Selected',
      isOutsideExempt: true,
    });
  }
  add('Action', operations, namespaces, 'SelectedNamespaces');

  const mains = others.filter((name) => !name.includes('/'));
  const writesReplicas =
    action.fields === undefined || action.fields.some((field) => isWithin('/spec/replicas', field));
  if (operations.includes('UPDATE') && writesReplicas)
    add(
      'Scale',
      ['UPDATE'],
      mains.map((name) => `${name}/scale`),
    );
  if (operations.includes('DELETE')) {
    add('DeletionByUpdate', ['UPDATE'], mains.flatMap(withSubresources));
    add('DeletionByUpdate', ['UPDATE'], namespaces.flatMap(withSubresources), 'SelectedNamespaces');
  }
  if (conditionLabels.length > 0 && (operations.includes('UPDATE') || operations.includes('DELETE'))) {
    const labelled = (all: readonly string[], reach: Reach) => {
      const resources = all.filter((name) => !(action.resources.includes(name) && bindsAll(action, conditionLabels)));
      if (resources.length > 0)
        rows.push({
          shape: 'ConditionLabelRemoved',
          operations: ['UPDATE'],
          apiGroups,
          resources,
          reach,
          action,
          conditionLabels,
        });
    };
    labelled(mains.flatMap(withSubresources), 'Selected');
    labelled(namespaces.flatMap(withSubresources), 'SelectedNamespaces');
  }
  rows.push(...equivalentConnections(action), ...equivalentIdentities(action, isSelective));
  if (apiGroups.includes('') && mains.includes('pods')) {
    const pods = (shape: Shape, operation: Operation, ...resources: readonly string[]) =>
      rows.push({
        shape,
        operations: [operation],
        apiGroups: [''],
        resources,
        reach: 'Selected',
        action,
      });
    if (operations.includes('CREATE') || operations.includes('UPDATE')) {
      pods('EphemeralContainers', 'UPDATE', 'pods/ephemeralcontainers');
      pods('Resize', 'UPDATE', 'pods/resize');
      // Bindings of their own are the old name of the same door (pkg/registry/core/pod/storage, LegacyBindingREST).
      pods('Binding', 'CREATE', 'pods/binding', 'bindings');
    }
    if (operations.includes('DELETE')) pods('Eviction', 'CREATE', 'pods/eviction');
  }
  return rows;
}

/** Whoever may run a command in a pod may do so by each of these too. nodes/proxy reaches every pod of a node. */
function equivalentConnections(action: Action): readonly CoverageRow[] {
  const { operations, apiGroups, resources: named } = action;
  if (!operations.includes('CONNECT') || !apiGroups.includes('') || !named.includes('pods/exec')) return [];
  const row = (reach: Reach, ...resources: readonly string[]): readonly CoverageRow[] => {
    const others = resources.filter((name) => !named.includes(name));
    if (others.length === 0) return [];
    return [{ shape: 'Connect', operations: ['CONNECT'], apiGroups: [''], resources: others, reach, action }];
  };
  const inNamespaces = ['pods/attach', 'pods/portforward', 'pods/proxy', 'services/proxy'];
  return [...row('Selected', ...inNamespaces), ...row('ClusterScoped', 'nodes/proxy')];
}

const token: string = 'serviceaccounts/token';

function makesIdentities({ operations, apiGroups, resources }: Action): boolean {
  const makes = (group: string, operation: Operation, resource: string) =>
    operations.includes(operation) && apiGroups.includes(group) && resources.includes(resource);
  return (
    makes('certificates.k8s.io', 'CREATE', 'certificatesigningrequests') ||
    makes('certificates.k8s.io', 'UPDATE', 'certificatesigningrequests/approval') ||
    makes('', 'CREATE', 'serviceaccounts') ||
    makes('', 'CREATE', token)
  );
}

/** Whoever may make an identity may do so by each of these too, or take one that the policy does not gate. */
function equivalentIdentities(action: Action, isSelective: boolean): readonly CoverageRow[] {
  if (!makesIdentities(action)) return [];
  const row = (shape: Shape, reach: Reach, operation: Operation, group: string, ...resources: readonly string[]) => ({
    ...{ shape, reach, action, resources },
    operations: [operation],
    apiGroups: [group],
  });
  // Kubernetes fills a Secret of that type with a token that never expires, for the account that its annotations name.
  const tokenSecrets = (reach: Reach): CoverageRow => ({
    ...row('TokenSecret', reach, 'CREATE', '', 'secrets'),
    operations: ['CREATE', 'UPDATE'],
  });
  const namesToken = action.apiGroups.includes('') && action.resources.includes(token);
  const tokens = { ...row('Identity', 'Selected', 'CREATE', '', token), isOutsideExempt: isSelective };
  const elsewhere = ['serviceaccounts', 'pods', ...(isSelective ? [token] : [])];
  return [
    row('Identity', 'ClusterScoped', 'CREATE', 'certificates.k8s.io', 'certificatesigningrequests'),
    row('Identity', 'ClusterScoped', 'UPDATE', 'certificates.k8s.io', 'certificatesigningrequests/approval'),
    ...(namesToken ? [] : [tokens]),
    row('IdentityElsewhere', 'ExemptNamespaces', 'CREATE', '', ...elsewhere),
    tokenSecrets('Selected'),
    ...(isSelective ? [tokenSecrets('ExemptNamespaces')] : []),
  ];
}

/** True when the action's own fields hold all the pointers: a second row about them would make a second effect of one change. */
function bindsAll({ operations, fields, digestIgnore = [] }: Action, pointers: readonly string[]): boolean {
  if (!operations.includes('UPDATE') || fields === undefined) return false;
  return pointers.every((pointer) => {
    const isIgnored = digestIgnore.some((place) => isWithin(pointer, place) || isWithin(place, pointer));
    return !isIgnored && fields.some((field) => isWithin(pointer, field));
  });
}

/** Both subresources may write metadata too (measured on a Namespace: a label is gone after PATCH …/status). */
function withSubresources(name: string): readonly string[] {
  return [name, `${name}/status`, `${name}/finalize`];
}

function isWithin(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`);
}

/** The rows of a policy that a request came through. */
export function rowsFor(policy: Policy, request: AdmissionRequest): readonly CoverageRow[] {
  const resource = request.subresource === '' ? request.resource : `${request.resource}/${request.subresource}`;
  return coverageOf(policy).filter(
    (row) =>
      row.operations.includes(request.operation) &&
      row.apiGroups.includes(request.group) &&
      row.resources.includes(resource) &&
      (row.shape !== 'NamespaceLeaves' || leavesSelector(policy, request)),
  );
}

function leavesSelector(policy: Policy, request: AdmissionRequest): boolean {
  const selector = policy.spec.namespaceSelector;
  if (selector === undefined) return false;
  return selects(selector, labelsOf(request.oldObject)) && !selects(selector, labelsOf(request.object));
}

export function labelsOf(object: JsonObject | undefined): Labels {
  const labels = valueAt(object, '/metadata/labels');
  if (typeof labels !== 'object' || labels === null) return {};
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
