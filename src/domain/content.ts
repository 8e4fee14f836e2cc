// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which part of an object counts, and how a later state is held against it.
import type { Content, Effect } from './approval.ts';
import { digestOf } from './digest.ts';
import { isObject, type Json, type JsonObject, pointerToken, sameJson, valueAt, without } from './json.ts';

/** What moves by itself or only carries a message to us, never part of a change, in digest versions v1 and v2. */
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
];

const noiseAndStatus = [...noise, '/status'];
const metadataAndStatus = ['/metadata', '/status'];

/** The part of an object that a Content names, as JSON to compare or hash; with ignore, without what is ignored. */
export function partOf(object: JsonObject, content: Content, ignore: readonly string[] = []): Json {
  const left = without(object, ignore);
  switch (content.kind) {
    case 'Object':
      return without(left, noiseAndStatus) ?? null;
    case 'ObjectAndStatus':
      return without(left, noise) ?? null;
    case 'Spec':
      return without(left, metadataAndStatus) ?? null;
    case 'Fields':
      return (content.pointers ?? []).map((pointer) =>
        named(pointer, withPlainDebuggers(pointer, valueAt(left, pointer))),
      );
    case 'Labels':
      return (content.pointers ?? []).map((key) => named(key, valueAt(left, `/metadata/labels/${pointerToken(key)}`)));
    case 'Replicas':
      // A Scale leaves replicas out where they are 0 (omitempty, k8s.io/api/autoscaling/v1), its parent does not.
      return valueAt(left, '/spec/replicas') ?? 0;
  }
}

/**
 * kubectl debug draws its container's name anew on every try (kubectl, pkg/cmd/debug), so those letters do not bind. The
 * API server lets ephemeral containers only be added to: the list differs after every change, whatever their names.
 */
function withPlainDebuggers(pointer: string, value: Json | undefined): Json | undefined {
  if (pointer !== '/spec/ephemeralContainers' || !Array.isArray(value)) return value;
  const isDrawn = (name: Json | undefined) =>
    typeof name === 'string' && /^debugger-[bcdfghjklmnpqrstvwxz2456789]{5}$/.test(name);
  return value.map((one: Json) => (isObject(one) && isDrawn(one.name) ? { ...one, name: 'debugger-*' } : one));
}

/** A name with its value; absent is not null. */
function named(name: string, value: Json | undefined): Json {
  return value === undefined ? [name] : [name, value];
}

/** The effect of changing oldObject into object, recognisable without the policy. */
export function effectOf(oldObject: JsonObject, object: JsonObject, content: Content): Effect {
  return {
    content,
    before: digestOf(partOf(plain(oldObject), content)),
    after: digestOf(partOf(plain(object), content, content.ignore)),
  };
}

/** The items of a list carry no apiVersion and kind; where a state was read from must not matter. */
function plain(object: JsonObject): JsonObject {
  const { apiVersion: _, kind: __, ...rest } = object;
  return rest;
}

/** True when the content differs between the two, nothing ignored. */
export function differs(oldObject: JsonObject, object: JsonObject, content: Content): boolean {
  return !sameJson(partOf(oldObject, content), partOf(object, content));
}

/** True when a state carries the content that was admitted and is not the old one (design, section 4). */
export function showsEffect(effect: Effect, state: JsonObject): boolean {
  return (
    digestOf(partOf(plain(state), effect.content, effect.content.ignore)) === effect.after &&
    digestOf(partOf(plain(state), effect.content)) !== effect.before
  );
}
