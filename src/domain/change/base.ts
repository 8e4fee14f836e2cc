// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The state of the target on which an update can succeed at most once, and how to see that it has succeeded.

import { type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import type { Base, Content, Effect } from '../model/approval.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { differs, effectOf, showsWhenStored } from './content.ts';

/** On which state of the target an update can succeed, and how that will be seen. */
export function settledBy(
  request: AdmissionRequest,
  content: Content,
): { readonly base: Base; readonly effect?: Effect } {
  const { object = {}, oldObject = {} } = request;
  const uid = textAt(oldObject, '/metadata/uid');
  const generation = generationOf(oldObject);
  const moving = movesGeneration(content, request);
  const isGenerationBase =
    moving !== undefined &&
    generation !== undefined &&
    (generationOf(object) ?? 0) > generation &&
    differs(oldObject, object, moving);
  const resourceVersion = textAt(oldObject, '/metadata/resourceVersion');
  const shown = isGenerationBase ? moving : content;
  return {
    base: isGenerationBase
      ? { kind: 'Generation', uid, generation }
      : { kind: 'ResourceVersion', uid, resourceVersion },
    ...(showsWhenStored(oldObject, object, shown) ? { effect: effectOf(oldObject, object, shown) } : {}),
  };
}

/**
 * The part of a content that moves metadata.generation: never metadata, so that every resourceVersion of one
 * generation gives the same answer. Undefined where nothing of it does.
 */
function movesGeneration(content: Content, request: AdmissionRequest): Content | undefined {
  // Binding gives a pod its node and leaves the generation (pkg/registry/core/pod/storage, setPodNodeAndMetadata).
  const unmoved = request.group === '' && request.resource === 'pods' ? ['/spec/nodeName'] : [];
  const ignored = [...(content.ignore ?? []), ...unmoved];
  const ignore = ignored.length === 0 ? {} : { ignore: ignored };
  switch (content.kind) {
    case 'Object':
    case 'ObjectAndStatus':
    case 'Spec':
      return { kind: 'Spec', ...ignore };
    case 'Fields': {
      const pointers = (content.pointers ?? []).filter((pointer) => !/^\/(metadata|status)(\/|$)/.test(pointer));
      return pointers.length === 0 ? undefined : { kind: 'Fields', pointers, ...ignore };
    }
    case 'Labels':
    case 'Replicas':
      return undefined;
  }
}

export function generationOf(object: JsonObject | undefined): number | undefined {
  const generation = valueAt(object, '/metadata/generation');
  return typeof generation === 'number' ? generation : undefined;
}
