// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Requests that end an object, and what happens to its dependents.

import { defined, type Json, type JsonObject, sameJson, textAt, valueAt } from '../../lib/json.ts';
import type { Effect } from '../model/approval.ts';
import type { AdmissionRequest } from '../model/request.ts';
import type { Change, Harmless } from './change.ts';
import { changeDigests } from './change-digest.ts';
import { effectOf } from './content.ts';

/** The end of an object: by DELETE, by eviction, or by an update that amounts to one. */
export function deletion(
  request: AdmissionRequest,
  options: Json | undefined,
  target: JsonObject | undefined,
): Change | Harmless {
  const uid = textAt(target, '/metadata/uid');
  const resourceVersion = textAt(target, '/metadata/resourceVersion');
  const propagation = propagationOf(options, target, request);
  const graceSeconds = valueAt(options, '/gracePeriodSeconds');
  const immediate = graceSeconds === 0;
  if (request.operation === 'DELETE' && isRepeatedDeletion(target, propagation, graceSeconds)) return 'AlreadyDeleting';
  const effect = effectBeforeGone(request, target, { graceSeconds, propagation });
  const kind = { operation: 'DELETE', subresource: '' } as const;
  return {
    ...kind,
    ...changeDigests(request, { ...kind, content: { change: 'delete', uid, propagation, immediate } }),
    deletion: { propagation, immediate },
    objectUID: uid,
    oldResourceVersion: resourceVersion,
    base: { kind: 'Deletion', uid },
    ...defined({ effect }),
  };
}

/**
 * How the end of an object shows while it is still there. One that was alive is marked, which no other write does:
 * undefined. One that is marked already, or is given an owner, is written to by others as well: there only what this
 * request itself writes tells.
 */
function effectBeforeGone(
  { operation, object = {}, oldObject = {} }: AdmissionRequest,
  target: JsonObject | undefined,
  asked: { readonly graceSeconds: Json | undefined; readonly propagation: string },
): Effect | undefined {
  if (operation === 'UPDATE') {
    const pointers = ['/metadata/finalizers', '/spec/finalizers', '/metadata/ownerReferences'];
    const changed = pointers.filter((place) => !sameJson(valueAt(object, place), valueAt(oldObject, place)));
    return effectOf(oldObject, object, { kind: 'Fields', pointers: changed });
  }
  if (target === undefined || textAt(target, '/metadata/deletionTimestamp') === '') return undefined;
  const graceSeconds = asked.graceSeconds ?? valueAt(target, '/metadata/deletionGracePeriodSeconds');
  const finalizers = finalizersFor(asked.propagation, target);
  const metadata = {
    ...defined({ deletionGracePeriodSeconds: graceSeconds, finalizers }),
  };
  const pointers = ['/metadata/deletionGracePeriodSeconds', '/metadata/finalizers'];
  return effectOf(target, { metadata }, { kind: 'Fields', pointers });
}

/** As the API server changes them for a propagation (apiserver, pkg/registry/generic/registry/store.go). */
function finalizersFor(propagation: string, target: JsonObject): Json | undefined {
  const before = valueAt(target, '/metadata/finalizers');
  if (propagation === standingPropagation(target)) return before;
  const list = Array.isArray(before) ? before : [];
  const others = list.filter((name) => name !== 'orphan' && name !== 'foregroundDeletion');
  const own = { Orphan: ['orphan'], Foreground: ['foregroundDeletion'] }[propagation] ?? [];
  const after = [...others, ...own];
  return after.length === 0 ? undefined : after;
}

/** What becomes of the dependents: as asked, else as an earlier deletion left it, else by the kind's default. */
function propagationOf(options: Json | undefined, target: JsonObject | undefined, request: AdmissionRequest): string {
  const policy = textAt(options, '/propagationPolicy');
  if (policy !== '') return policy;
  const orphans = valueAt(options, '/orphanDependents');
  if (typeof orphans === 'boolean') return orphans ? 'Orphan' : 'Background';
  const standing = standingPropagation(target);
  if (standing !== 'Background') return standing;
  // Kept by Kubernetes for old clients (pkg/registry/{batch/job,core/replicationcontroller}/strategy.go).
  const orphaning = ['batch/jobs', '/replicationcontrollers'];
  return orphaning.includes(`${request.group}/${request.resource}`) ? 'Orphan' : 'Background';
}

/** What the finalizers of the garbage collector say. */
function standingPropagation(target: JsonObject | undefined): string {
  const finalizers = valueAt(target, '/metadata/finalizers');
  const has = (name: string) => Array.isArray(finalizers) && finalizers.includes(name);
  return has('orphan') ? 'Orphan' : has('foregroundDeletion') ? 'Foreground' : 'Background';
}

/** A repeated DELETE does nothing new unless it shortens the grace period or changes what becomes of dependents. */
function isRepeatedDeletion(target: JsonObject | undefined, propagation: string, graceSeconds: Json | undefined) {
  if (textAt(target, '/metadata/deletionTimestamp') === '') return false;
  const left = valueAt(target, '/metadata/deletionGracePeriodSeconds') ?? 0;
  const shortens = typeof graceSeconds === 'number' && typeof left === 'number' && graceSeconds < left;
  return propagation === standingPropagation(target) && !shortens;
}

/** True when an UPDATE takes away a finalizer of an object being deleted, or gives it an owner: either can end it
 *  without a DELETE (docs/facts.md, B12 and B18). */
export function isDeletionByUpdate(request: AdmissionRequest): boolean {
  const { object, oldObject } = request;
  const isTerminating = textAt(oldObject, '/metadata/deletionTimestamp') !== '';
  const loses = (place: string) => {
    const left = new Set(listAt(object, place));
    return listAt(oldObject, place).some((name) => !left.has(name));
  };
  // A Namespace has finalizers of its own in its spec, which …/finalize takes away.
  const losesFinalizer = isTerminating && (loses('/metadata/finalizers') || loses('/spec/finalizers'));
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
