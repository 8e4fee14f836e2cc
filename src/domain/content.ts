// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which part of an object counts, and how a later state is held against it.
import type { Content, Effect } from './approval.ts';
import { digestOf } from './digest.ts';
import { type Json, type JsonObject, pointerToken, sameJson, valueAt, without } from './json.ts';

/** What moves by itself or only carries a message to us, never part of a change (digest version v1). */
const noise: readonly string[] = [
  '/metadata/managedFields',
  '/metadata/resourceVersion',
  '/metadata/generation',
  '/metadata/uid',
  '/metadata/creationTimestamp',
  '/metadata/selfLink',
  '/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration',
  '/metadata/annotations/stepup.dev~1reason',
  '/metadata/annotations/stepup.dev~1ticket',
  // Written back by the deployment controller, never by who deploys.
  '/metadata/annotations/deployment.kubernetes.io~1revision',
  '/metadata/annotations/deployment.kubernetes.io~1desired-replicas',
  '/metadata/annotations/deployment.kubernetes.io~1max-replicas',
  '/metadata/annotations/deployment.kubernetes.io~1revision-history',
];

/** The part of an object that a Content names, as JSON to compare or hash; with ignore, without what is ignored. */
export function partOf(object: JsonObject, content: Content, ignore: readonly string[] = []): Json {
  const plain = without(object, ignore);
  switch (content.kind) {
    case 'Object':
      return without(plain, [...noise, '/status']) ?? null;
    case 'ObjectAndStatus':
      return without(plain, noise) ?? null;
    case 'Spec':
      return without(plain, ['/metadata', '/status']) ?? null;
    case 'Fields':
      return (content.pointers ?? []).map((pointer) => named(pointer, valueAt(plain, pointer)));
    case 'Labels':
      return (content.pointers ?? []).map((key) => named(key, valueAt(plain, `/metadata/labels/${pointerToken(key)}`)));
    case 'Replicas':
      return valueAt(plain, '/spec/replicas') ?? null;
  }
}

/** A name with its value; absent is not null. */
function named(name: string, value: Json | undefined): Json {
  return value === undefined ? [name] : [name, value];
}

/** The effect of changing oldObject into object, recognisable without the policy. */
export function effectOf(oldObject: JsonObject, object: JsonObject, content: Content): Effect {
  return {
    content,
    before: digestOf(partOf(oldObject, content)),
    after: digestOf(partOf(object, content, content.ignore)),
  };
}

/** True when the content differs between the two, nothing ignored. */
export function differs(oldObject: JsonObject, object: JsonObject, content: Content): boolean {
  return !sameJson(partOf(oldObject, content), partOf(object, content));
}

/** True when a state carries the content that was admitted and is not the old one (design, section 4). */
export function showsEffect(effect: Effect, state: JsonObject): boolean {
  return (
    digestOf(partOf(state, effect.content, effect.content.ignore)) === effect.after &&
    digestOf(partOf(state, effect.content)) !== effect.before
  );
}
