// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What an update changes: the whole object, some of its fields, or the labels that select it.

import {
  defined,
  type Json,
  type JsonObject,
  joined,
  pointerToken,
  sameJson,
  textAt,
  valueAt,
  without,
} from '../../lib/json.ts';
import { lazy } from '../../lib/lazy.ts';
import type { Content } from '../model/approval.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { settledBy } from './base.ts';
import type { Change, Harmless } from './change.ts';
import { changeDigests } from './change-digest.ts';
import { partOf } from './content.ts';
import { approvalPlain, isApprovalOfCertificate, ofControllers } from './normalise.ts';

export function labelChange(request: AdmissionRequest, keys: readonly string[]): Change {
  const content: Content = { kind: 'Labels', pointers: keys };
  return ofUpdate(request, content, {
    digest: { change: 'labels', labels: partOf(request.object ?? {}, content) },
    fields: keys.map((key) => `/metadata/labels/${pointerToken(key)}`),
  });
}

export function updateOfObject(request: AdmissionRequest, ignored: readonly string[]): Change | Harmless {
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

export function updateOfFields(
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
  const settled = lazy(() => settledBy(request, content));
  const kind = { operation: 'UPDATE', subresource: request.subresource } as const;
  return {
    ...kind,
    ...changeDigests(request, { ...kind, content: { ...described.digest, uid } }),
    ...defined({ fields: described.fields }),
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
