// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a Scale changes: the replicas of its parent object, where the effect shows.

import { defined, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import type { Content } from '../model/approval.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { generationOf } from './base.ts';
import type { Change, Harmless } from './change.ts';
import { changeDigests } from './change-digest.ts';
import { differs, effectOf, partOf } from './content.ts';
import { isOnlyPlaceOf, scalesInPlace } from './replicas-path.ts';

/** A Scale carries UID and resourceVersion of its parent, and no generation (docs/facts.md, B13). */
export function scaleChange(request: AdmissionRequest, parent: JsonObject | undefined): Change | Harmless {
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
    base: { kind: 'Scale', uid, resourceVersion, ...defined({ generation }) },
    ...(isParent && isKeptThere ? { effect: effectOf(oldObject, object, content) } : {}),
  };
}
