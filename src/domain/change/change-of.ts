// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a request changes: whether it is privileged, its digest, and the state of the target on which it can succeed.

import { type Json, textAt, valueAt, without } from '../../lib/json.ts';
import type { CoverageRow } from '../coverage/coverage.ts';
import type { AdmissionRequest } from '../model/request.ts';
import type { Change, ChangeContext, Harmless } from './change.ts';
import { changeDigests } from './change-digest.ts';
import { partOf } from './content.ts';
import { deletion, isDeletionByUpdate } from './deletion.ts';
import { isEviction } from './eviction.ts';
import { isMisleadingApply, lastApplied } from './last-applied.ts';
import { normalisedCreation } from './normalise.ts';
import { scaleChange } from './scale.ts';
import { isTokenSecret, tokenOwners } from './token-secret.ts';
import { labelChange, updateOfFields, updateOfObject } from './update.ts';

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
    case 'ConditionLabelRemoved':
      return updateOfFields(request, row.conditionLabels ?? [], []);
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

/** A policy may name an equivalent request itself. It has the same effect as where it is added, so it is the same change. */
function byEquivalentRequest(request: AdmissionRequest, context: ChangeContext): Change | Harmless | undefined {
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
  const equivalent = byEquivalentRequest(request, context);
  if (equivalent !== undefined) return equivalent;
  const ignore = row.action?.digestIgnore ?? [];
  switch (request.operation) {
    case 'CREATE':
      return request.subresource === '' ? creation(request, ignore) : virtualCreation(request);
    case 'DELETE':
      return deletion(request, request.options, request.oldObject);
    case 'CONNECT':
      return virtualCreation(request);
    case 'UPDATE': {
      // The fields are the action's; an equivalent request that is added for it is privileged as a whole.
      const fields = row.shape === 'Action' ? row.action?.fields : undefined;
      const change = fields === undefined ? updateOfObject(request, ignore) : updateOfFields(request, fields, ignore);
      if (change === 'AlreadyDeleting' || typeof change !== 'string' || !isMisleadingApply(request, fields))
        return change;
      return updateOfFields(request, [lastApplied], []);
    }
  }
}

/** True when the request is judged on an object that its review does not carry. */
export function isJudgedOnLive(request: AdmissionRequest): boolean {
  return isEviction(request) || (request.operation === 'UPDATE' && request.subresource === 'scale');
}

function creation(request: AdmissionRequest, ignore: readonly string[]): Change {
  const object = request.object ?? {};
  const uid = textAt(object, '/metadata/uid');
  const content = without(normalisedCreation(request), ignore) ?? null;
  const kind = { operation: 'CREATE', subresource: '' } as const;
  return {
    ...kind,
    ...changeDigests(request, { ...kind, content: { change: 'create', content } }),
    // The UID is final at validating admission and not choosable by clients (measured).
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
