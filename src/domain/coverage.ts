// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every request shape that reaches an effect a policy governs: the policy's own actions, and the other doors to them.
// The compiler turns these rows into webhook rules; decide judges a request by the row it came through.
import { type JsonObject, textAt, valueAt } from './json.ts';
import { type Labels, selects } from './label-selector.ts';
import type { Action, Policy } from './policy.ts';
import type { AdmissionRequest, Operation } from './request.ts';

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
}

/** Why a row is there. Action is the policy's own; the others are doors to the same effect (design, section 3). */
export type Shape =
  | 'Action'
  | 'Scale'
  | 'EphemeralContainers'
  | 'Resize'
  | 'Binding'
  | 'Eviction'
  | 'DeletionByUpdate'
  | 'NamespaceDeletion'
  | 'NamespaceLeaves';

/**
 * Where a row applies: objects in the selected namespaces; the selected Namespace objects; or every Namespace object,
 * because the API server judges a namespaceSelector on the new labels and would never send a label's removal
 * (apiserver, pkg/admission/plugin/webhook/predicates/namespace/matcher.go).
 */
export type Reach = 'Selected' | 'SelectedNamespaces' | 'AllNamespaces';

/** The policy's own CEL is about the governed object; at the other doors another object is in its place. */
export function speaksOfObject(shape: Shape): boolean {
  return ['Action', 'EphemeralContainers', 'Resize', 'DeletionByUpdate'].includes(shape);
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
  const rows = actions.flatMap((action) => rowsOfAction(action, namespaceSelector !== undefined));
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

function rowsOfAction(action: Action, selected: boolean): CoverageRow[] {
  const { apiGroups, operations } = action;
  const rows: CoverageRow[] = [];
  const isNamespaces = (name: string) => selected && apiGroups.includes('') && name === 'namespaces';
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
  add('Action', operations, others);
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
    add('DeletionByUpdate', ['UPDATE'], [...mains, ...mains.map((name) => `${name}/status`)]);
    add('DeletionByUpdate', ['UPDATE'], namespaces.flatMap(withSubresources), 'SelectedNamespaces');
  }
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

/** Both subresources of a Namespace write its metadata too (measured: a label is gone after PATCH …/status). */
function withSubresources(namespaces: string): readonly string[] {
  return [namespaces, `${namespaces}/status`, `${namespaces}/finalize`];
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

/** True when an UPDATE takes away a finalizer of an object being deleted, or gives it an owner: either can end it
 *  without a DELETE (admission.md, B12 and B18). */
export function isDeletionByUpdate(request: AdmissionRequest): boolean {
  const { object, oldObject } = request;
  const isTerminating = textAt(oldObject, '/metadata/deletionTimestamp') !== '';
  const left = new Set(listAt(object, '/metadata/finalizers'));
  const losesFinalizer = isTerminating && listAt(oldObject, '/metadata/finalizers').some((name) => !left.has(name));
  const owners = new Set(ownersOf(oldObject));
  return losesFinalizer || ownersOf(object).some((owner) => !owners.has(owner));
}

function listAt(object: JsonObject | undefined, pointer: string): readonly unknown[] {
  const list = valueAt(object, pointer);
  return Array.isArray(list) ? list : [];
}

/** Owners by all that the garbage collector looks them up with: one of the right UID under a wrong name counts as gone. */
function ownersOf(object: JsonObject | undefined): readonly string[] {
  const owners = valueAt(object, '/metadata/ownerReferences');
  if (!Array.isArray(owners)) return [];
  return owners.map((owner) =>
    JSON.stringify(['apiVersion', 'kind', 'name', 'uid'].map((key) => textAt(owner, `/${key}`))),
  );
}
