// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a request changes: is it privileged, what is its digest, and on which state of the target can it succeed.
import type { Base, Content, Effect } from './approval.ts';
import { type ChangeDigests, changeDigests } from './change-digest.ts';
import { differs, effectOf, partOf } from './content.ts';
import type { CoverageRow } from './coverage.ts';
import { type Deletion, deletion, isDeletionByUpdate } from './deletion.ts';
import { type Json, type JsonObject, joined, pointerToken, sameJson, textAt, valueAt, without } from './json.ts';
import { isMisleadingApply, lastApplied } from './last-applied.ts';
import { approvalPlain, isApprovalOfCertificate, normalisedCreation, ofControllers } from './normalise.ts';
import { once } from './once.ts';
import { isOnlyPlaceOf, scalesInPlace } from './replicas-place.ts';
import type { AdmissionRequest, Operation } from './request.ts';
import { generationOf, settledBy } from './settled-by.ts';
import { isTokenSecret, tokenOwners } from './token-secret.ts';

/** A privileged change, described so that another try of the same change describes itself the same. */
export interface Change extends ChangeDigests {
  /** What the change amounts to: an eviction is the DELETE of its pod. */
  readonly operation: Operation;
  readonly subresource: string;
  readonly fields?: readonly string[];
  readonly deletion?: Deletion;
  readonly objectUID?: string;
  readonly oldResourceVersion?: string;
  readonly base: Base;
  readonly effect?: Effect | undefined;
}

/** Why a governed request is let through unspent. */
export type Harmless = 'NoChange' | 'OutsideFields' | 'AlreadyDeleting';

export interface ChangeContext {
  /** Read live where the review does not carry it: the pod of an eviction, the parent of a scale. */
  readonly live?: JsonObject;
  /** Label keys by which the policies that share a namespace's approval select it. */
  readonly selectorKeys: readonly string[];
}

/** What the request does in the light of one coverage row. */
export function changeOf(row: CoverageRow, request: AdmissionRequest, context: ChangeContext): Change | Harmless {
  switch (row.shape) {
    case 'Action':
      return actionChange(row, request, context);
    case 'Scale':
      return scaleChange(request, context.live);
    case 'EphemeralContainers':
      return updateOfFields(request, placesOfEphemeralContainers, []);
    case 'Resize':
      return updateOfFields(request, placesOfResize, []);
    case 'Binding':
      return virtualCreation(request);
    case 'Eviction':
      return deletion(request, valueAt(request.object, '/deleteOptions'), context.live);
    case 'DeletionByUpdate':
      return isDeletionByUpdate(request) ? deletion(request, undefined, request.oldObject) : 'OutsideFields';
    case 'NamespaceDeletion':
      return deletion(request, request.options, request.oldObject);
    case 'NamespaceLeaves':
      return labelChange(request, context.selectorKeys);
    case 'MarkRemoved':
      return updateOfFields(request, row.marks ?? [], []);
    case 'Connect':
      return virtualCreation(request);
    case 'Identity':
    case 'IdentityElsewhere':
      return actionChange(row, request, context);
    case 'TokenSecret':
      return tokenSecret(request);
  }
}

function tokenSecret(request: AdmissionRequest): Change | Harmless {
  if (!isTokenSecret(request)) return 'OutsideFields';
  return request.operation === 'CREATE' ? creation(request, []) : updateOfFields(request, tokenOwners, []);
}

const placesOfEphemeralContainers = ['/spec/ephemeralContainers'];
const placesOfResize = ['/spec/containers', '/spec/initContainers', '/spec/resources'];

/** A policy may name a door itself. It leads to the same effect as where it is added, so it is the same change. */
function throughDoor(request: AdmissionRequest, context: ChangeContext): Change | Harmless | undefined {
  const { operation, group, resource, subresource } = request;
  // A Scale is another object than its parent, in which the effect will be seen.
  if (operation === 'UPDATE' && subresource === 'scale') return scaleChange(request, context.live);
  if (`${operation} ${group}/${resource}/${subresource}` === 'CREATE /serviceaccounts/token')
    return tokenRequest(request);
  if (group !== '' || resource !== 'pods') return undefined;
  switch (`${operation} ${subresource}`) {
    case 'UPDATE ephemeralcontainers':
      return updateOfFields(request, placesOfEphemeralContainers, []);
    case 'UPDATE resize':
      return updateOfFields(request, placesOfResize, []);
    case 'CREATE eviction':
      return context.live === undefined
        ? virtualCreation(request)
        : deletion(request, valueAt(request.object, '/deleteOptions'), context.live);
    default:
      return undefined;
  }
}

function actionChange(row: CoverageRow, request: AdmissionRequest, context: ChangeContext): Change | Harmless {
  const door = throughDoor(request, context);
  if (door !== undefined) return door;
  const ignore = row.action?.digestIgnore ?? [];
  switch (request.operation) {
    case 'CREATE':
      return request.subresource === '' ? creation(request, ignore) : virtualCreation(request);
    case 'DELETE':
      return deletion(request, request.options, request.oldObject);
    case 'CONNECT':
      return virtualCreation(request);
    case 'UPDATE': {
      // The fields are the action's; a door that is added for it is privileged as a whole.
      const fields = row.shape === 'Action' ? row.action?.fields : undefined;
      const change = fields === undefined ? updateOfObject(request, ignore) : updateOfFields(request, fields, ignore);
      if (change === 'AlreadyDeleting' || typeof change !== 'string' || !isMisleadingApply(request, fields))
        return change;
      return updateOfFields(request, [lastApplied], []);
    }
  }
}

/** True when the request is judged on an object that its review does not carry. */
export function isJudgedOnLive({ operation, group, resource, subresource }: AdmissionRequest): boolean {
  if (operation === 'UPDATE') return subresource === 'scale';
  return operation === 'CREATE' && group === '' && resource === 'pods' && subresource === 'eviction';
}

function creation(request: AdmissionRequest, ignore: readonly string[]): Change {
  const object = request.object ?? {};
  const uid = textAt(object, '/metadata/uid');
  const content = without(normalisedCreation(request), ignore) ?? null;
  const kind = { operation: 'CREATE', subresource: '' } as const;
  return {
    ...kind,
    ...changeDigests(request, { ...kind, content: { change: 'create', content } }),
    // The UID is final at validating admission and not choosable by clients (experiments.md, Q2).
    ...(uid === '' ? {} : { objectUID: uid }),
    base: uid === '' ? { kind: 'Request', requestUID: request.uid } : { kind: 'Creation', uid },
  };
}

/** A request that persists nothing we could look for: only a re-sent review of the same round trip is the same one. */
function virtualCreation(request: AdmissionRequest): Change {
  const { operation, subresource } = request;
  // With annotations and labels: those of a Binding are copied to its pod.
  const content = partOf(request.object ?? {}, { kind: 'Object' });
  return {
    operation,
    subresource,
    ...changeDigests(request, {
      operation,
      subresource,
      content: { change: operation.toLowerCase(), subresource, content, options: request.options ?? null },
    }),
    base: { kind: 'Request', requestUID: request.uid },
  };
}

/** A token persists nothing. What binds is what makes it: for whom, how long, and tied to what. */
function tokenRequest(request: AdmissionRequest): Change {
  const { operation, subresource, object } = request;
  const at = (place: string): Json => valueAt(object, `/spec/${place}`) ?? null;
  const audiences = at('audiences');
  return {
    operation,
    subresource,
    ...changeDigests(request, {
      operation,
      subresource,
      content: {
        change: 'token',
        audiences: Array.isArray(audiences) ? [...audiences].sort() : audiences,
        expirationSeconds: at('expirationSeconds'),
        boundObjectRef: at('boundObjectRef'),
      },
    }),
    base: { kind: 'Request', requestUID: request.uid },
  };
}

function labelChange(request: AdmissionRequest, keys: readonly string[]): Change {
  const content: Content = { kind: 'Labels', pointers: keys };
  return ofUpdate(request, content, {
    digest: { change: 'labels', labels: partOf(request.object ?? {}, content) },
    fields: keys.map((key) => `/metadata/labels/${pointerToken(key)}`),
  });
}

function updateOfObject(request: AdmissionRequest, ignored: readonly string[]): Change | Harmless {
  const { object = {}, oldObject = {} } = request;
  const written = ofControllers(request);
  const ignore = joined(ignored, written);
  const isMain = request.subresource === '';
  // The API server resets status on the main resource of kinds that have a status subresource; where a request does
  // not change it, it is no part of the change (measured: in kinds without one, status is content).
  const kind = isMain && sameJson(object.status, oldObject.status) ? 'Object' : 'ObjectAndStatus';
  const content: Content = { kind, ...(ignore.length === 0 ? {} : { ignore }) };
  const [before, after] = [partOf(oldObject, content, written), partOf(object, content, written)];
  if (sameJson(before, after)) return 'NoChange';
  if (onlyLosesFinalizers(request)) return 'AlreadyDeleting';
  const rest = approvalPlain(without(after, ignored) ?? null, request);
  const isTouch = sameJson(rest, approvalPlain(without(before, ignored) ?? null, request));
  const digest: Json = isTouch
    ? { change: 'touch', pointers: touched(request, ignored), of: kind, rest }
    : { change: 'update', of: kind, content: rest };
  return ofUpdate(request, recognisedBy(content, request), { digest });
}

/**
 * What tells the written state: never what another try of the same change writes differently, or that try, admitted
 * again on the same state, would be taken for lost and its approval serve twice.
 */
function recognisedBy(content: Content, request: AdmissionRequest): Content {
  if (!isApprovalOfCertificate(request)) return content;
  return { ...content, ignore: [...(content.ignore ?? []), '/status/conditions'] };
}

/** An object that is being deleted is let go; a policy that governs deletion has a row of its own for that. */
function onlyLosesFinalizers({ object = {}, oldObject = {} }: AdmissionRequest): boolean {
  if (textAt(oldObject, '/metadata/deletionTimestamp') === '') return false;
  const place = '/metadata/finalizers';
  const [had, left] = [valueAt(oldObject, place) ?? [], valueAt(object, place) ?? []];
  if (!Array.isArray(had) || !Array.isArray(left) || !left.every((name) => had.includes(name))) return false;
  const rest = (whole: JsonObject) => partOf(whole, { kind: 'ObjectAndStatus' }, [place]);
  return sameJson(rest(object), rest(oldObject));
}

function updateOfFields(
  request: AdmissionRequest,
  fields: readonly string[],
  ignore: readonly string[],
): Change | Harmless {
  const { object = {}, oldObject = {} } = request;
  const changed = fields.filter((field) => !sameJson(valueAt(object, field), valueAt(oldObject, field))).sort();
  if (changed.length === 0) return 'OutsideFields';
  const content: Content = { kind: 'Fields', pointers: changed, ...(ignore.length === 0 ? {} : { ignore }) };
  const rest = partOf(object, content, ignore);
  const isTouch = sameJson(rest, partOf(oldObject, content, ignore));
  const digest: Json = isTouch
    ? { change: 'touch', pointers: touched(request, ignore), rest }
    : { change: 'fields', fields: rest };
  return ofUpdate(request, content, { digest, fields: changed });
}

/** The ignored places that a touch changes; their values do not bind. */
function touched(request: AdmissionRequest, ignore: readonly string[]): Json {
  const { object, oldObject } = request;
  return ignore.filter((place) => !sameJson(valueAt(object, place), valueAt(oldObject, place))).sort();
}

function ofUpdate(
  request: AdmissionRequest,
  content: Content,
  described: { readonly digest: JsonObject; readonly fields?: readonly string[] },
): Change {
  const { oldObject = {} } = request;
  const uid = textAt(oldObject, '/metadata/uid');
  const oldResourceVersion = textAt(oldObject, '/metadata/resourceVersion');
  // A reservation needs them, a dry run does not: they cost twice what the digest costs.
  const settled = once(() => settledBy(request, content));
  const kind = { operation: 'UPDATE', subresource: request.subresource } as const;
  return {
    ...kind,
    ...changeDigests(request, { ...kind, content: { ...described.digest, uid } }),
    ...(described.fields === undefined ? {} : { fields: described.fields }),
    objectUID: uid,
    oldResourceVersion,
    get base() {
      return settled().base;
    },
    get effect() {
      return settled().effect;
    },
  };
}

/** A Scale carries UID and resourceVersion of its parent, and no generation (admission.md, B13). */
function scaleChange(request: AdmissionRequest, parent: JsonObject | undefined): Change | Harmless {
  const { object = {}, oldObject = {} } = request;
  const content: Content = { kind: 'Replicas' };
  if (!differs(oldObject, object, content)) return 'NoChange';
  const uid = textAt(oldObject, '/metadata/uid');
  const resourceVersion = textAt(oldObject, '/metadata/resourceVersion');
  const isParent = textAt(parent, '/metadata/uid') === uid;
  const isCurrent = isParent && textAt(parent, '/metadata/resourceVersion') === resourceVersion;
  const replicas = valueAt(parent, '/spec/replicas');
  const isUnscaled = replicas === partOf(oldObject, content);
  // A parent that has moved since, by a status say, proves that this very write cannot land. What is reserved is then
  // its state now: the next call of the loop starts from it or from another one of its generation.
  const generation = isCurrent || (isParent && isUnscaled) ? generationOf(parent) : undefined;
  // A custom resource may keep its replicas elsewhere; there the parent would never show the effect.
  const isKeptThere = scalesInPlace(request.group)
    ? typeof replicas === 'number' && (!isCurrent || isUnscaled)
    : isCurrent && isUnscaled && isOnlyPlaceOf(replicas, parent);
  const kind = { operation: 'UPDATE', subresource: 'scale' } as const;
  return {
    ...kind,
    ...changeDigests(request, { ...kind, content: { change: 'scale', replicas: partOf(object, content), uid } }),
    fields: ['/spec/replicas'],
    objectUID: uid,
    oldResourceVersion: resourceVersion,
    base: { kind: 'Scale', uid, resourceVersion, ...(generation === undefined ? {} : { generation }) },
    ...(isParent && isKeptThere ? { effect: effectOf(oldObject, object, content) } : {}),
  };
}
