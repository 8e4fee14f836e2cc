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
 * The state of the target that a request starts from; undefined where there is none to look at again: what is created,
 * and what leaves nothing behind. The generation where the request shows one, for status moves only the resourceVersion.
 */
export function askedOnOf(change: Change, request: AdmissionRequest): AskedOn | undefined {
  const { operation, objectUID: uid = '', oldResourceVersion: resourceVersion = '' } = change;
  if (operation === 'CREATE' || uid === '') return undefined;
  // A Scale carries none; its parent's, where it was read, is in the base.
  const generation = request.subresource === 'scale' ? change.base.generation : generationOf(request.oldObject);
  if (generation !== undefined) return { uid, generation };
  return resourceVersion === '' ? undefined : { uid, resourceVersion };
}

/** The same of an approval: without a seal, the state is what somebody claims who wrote it past admission. */
export function hasTargetChanged({ spec, seals }: Pick<Approval, 'spec' | 'seals'>, seen: Seen): boolean | undefined {
  return hasChangedSince(seals.creation === 'Sealed' ? spec.change?.askedOn : undefined, seen);
}

/** Undefined where nobody can tell: the state was not recorded, or the target was not looked at. */
export function hasChangedSince(askedOn: AskedOn | undefined, seen: Seen): boolean | undefined {
  if (askedOn === undefined || seen.kind === 'Nothing') return undefined;
  if (seen.kind === 'Absent' || textAt(seen.object, '/metadata/uid') !== askedOn.uid) return true;
  if (askedOn.generation === undefined) {
    return textAt(seen.object, '/metadata/resourceVersion') !== askedOn.resourceVersion;
  }
  const generation = generationOf(seen.object);
  return generation === undefined ? undefined : generation !== askedOn.generation;
}
