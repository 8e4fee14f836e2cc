// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether the target has changed since the approval was requested: the preview shows what the change would have done
// then.

import { textAt } from '../../lib/json.ts';
import { generationOf } from '../change/base.ts';
import type { Change } from '../change/change.ts';
import type { Approval, AskedOn } from '../model/approval.ts';
import type { AdmissionRequest } from '../model/request.ts';
import type { Seen } from '../model/seen.ts';

/**
 * The state of the target that a request starts from; undefined if there is none to compare with later: for creations, and
 * for requests that leave no state. It is the generation if the request has one: a status write changes only the
 * resourceVersion.
 */
export function askedOnOf(change: Change, request: AdmissionRequest): AskedOn | undefined {
  const { operation, objectUID: uid = '', oldResourceVersion: resourceVersion = '' } = change;
  if (operation === 'CREATE' || uid === '') return undefined;
  // A Scale has none; the generation of its parent, if it was read, is in the base.
  const generation = request.subresource === 'scale' ? change.base.generation : generationOf(request.oldObject);
  if (generation !== undefined) return { uid, generation };
  return resourceVersion === '' ? undefined : { uid, resourceVersion };
}

/** The same for an approval. Without a seal the recorded state could have been written without admission, so it is ignored. */
export function hasTargetChanged({ spec, seals }: Pick<Approval, 'spec' | 'seals'>, seen: Seen): boolean | undefined {
  return hasChangedSince(seals.creation === 'Sealed' ? spec.change?.askedOn : undefined, seen);
}

/** Undefined if it is not known: the state was not recorded, or the target was not read. */
export function hasChangedSince(askedOn: AskedOn | undefined, seen: Seen): boolean | undefined {
  if (askedOn === undefined || seen.kind === 'Nothing') return undefined;
  if (seen.kind === 'Absent' || textAt(seen.object, '/metadata/uid') !== askedOn.uid) return true;
  if (askedOn.generation === undefined) {
    return textAt(seen.object, '/metadata/resourceVersion') !== askedOn.resourceVersion;
  }
  const generation = generationOf(seen.object);
  return generation === undefined ? undefined : generation !== askedOn.generation;
}
