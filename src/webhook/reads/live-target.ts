// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the object that a request is about but does not contain: the parent of a scale, the pod of an eviction, the
// target of an approval that somebody votes on.

import { isJudgedOnLive } from '../../domain/change/change-of.ts';
import { rowsFor } from '../../domain/coverage/coverage.ts';
import type { Approval } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import type { Seen } from '../../domain/model/seen.ts';
import { isForbidden, isNotFound } from '../../kube/http/api-error.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import { objectPath } from '../../kube/objects/resource.ts';
import type { JsonObject } from '../../lib/json.ts';

export type LiveTarget =
  | { readonly kind: 'Read'; readonly object: JsonObject }
  /** why: a few words for the requester. isAbsent: there was nothing of that name while the request was on its way. */
  | { readonly kind: 'Unread'; readonly why: string; readonly isAbsent: boolean };

/** True when the policy governs the request and it is judged on an object that the review does not carry. */
export function needsLiveTarget(policy: Policy, request: AdmissionRequest): boolean {
  return isJudgedOnLive(request) && rowsFor(policy, request).length > 0;
}

export async function readLiveTarget(
  rest: Pick<RestClient, 'request'>,
  request: Pick<AdmissionRequest, 'group' | 'version' | 'resource' | 'kind' | 'namespace' | 'name'>,
  limit: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<LiveTarget> {
  const { group, version, resource, kind, namespace, name } = request;
  const target = { group, version, plural: resource, kind, namespaced: namespace !== '' };
  try {
    const path = objectPath(target, { namespace, name });
    const object = await rest.request({ method: 'GET', path, ...limit });
    // The API server's JSON, of which only metadata is read.
    return { kind: 'Read', object: object as JsonObject };
  } catch (error) {
    const unread = (why: string, isAbsent = false): LiveTarget => ({ kind: 'Unread', why, isAbsent });
    if (isNotFound(error)) return unread(`${resource} ${namespace}/${name} does not exist`, true);
    if (isForbidden(error)) return unread(`stepup is not allowed to get ${resource}: grant it to its service account`);
    return unread(`${resource} ${namespace}/${name} could not be read; try again`);
  }
}

/** What is seen of the target of an approval by whoever votes on it; nothing where no state was recorded to hold it against. */
export async function lookAtTarget(
  rest: Pick<RestClient, 'request'>,
  { spec: { action, change } }: Pick<Approval, 'spec'>,
  limit: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<Seen> {
  if (change?.askedOn === undefined) return { kind: 'Nothing' };
  const { group = '', version, resource, namespace = '', name } = action;
  const live = await readLiveTarget(rest, { group, version, resource, kind: '', namespace, name }, limit);
  if (live.kind === 'Read') return { kind: 'State', object: live.object, isNext: false };
  return { kind: live.isAbsent ? 'Absent' : 'Nothing' };
}
