// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which part of an object counts as content, and how a later state is compared with it.

import { digestOf } from '../../lib/digest.ts';
import { isObject, type Json, type JsonObject, pointerToken, sameJson, valueAt, without } from '../../lib/json.ts';
import type { Content, Effect } from '../model/approval.ts';

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
    before: digestOf(partOf(asStored(oldObject), content)),
    after: digestOf(partOf(asStored(object), content, content.ignore)),
  };
}

/** True when a state can be told from the old one by the content once it is stored. */
export function showsWhenStored(oldObject: JsonObject, object: JsonObject, content: Content): boolean {
  return differs(asStored(oldObject), asStored(object), content);
}

/** The items of a list carry no apiVersion and kind; where a state was read from must not matter. */
function plain(object: JsonObject): JsonObject {
  const { apiVersion: _, kind: __, ...rest } = object;
  return rest;
}

/**
 * What storage gives back the same: protobuf has no empty list or map, so that a field which JSON does not omit is
 * admitted as [] and read as null (measured on the sources of a projected volume). A write that is there must never look
 * lost, or its approval would serve a second one; so members without content count as absent.
 */
function asStored(object: JsonObject): JsonObject {
  return withoutEmpty(plain(withoutUnread(object)));
}

/**
 * What the API server keeps and never shows again: a Service of type ExternalName is admitted with its
 * internalTrafficPolicy and read without (pkg/registry/core/service/storage, defaultOnReadInternalTrafficPolicy).
 */
function withoutUnread(object: JsonObject): JsonObject {
  if (valueAt(object, '/spec/type') !== 'ExternalName') return object;
  const { internalTrafficPolicy: _, ...spec } = isObject(object.spec) ? object.spec : {};
  return { ...object, spec };
}

function withoutEmpty(object: JsonObject): JsonObject {
  const members = Object.entries(object).flatMap(([key, member]) => {
    const value = storedValue(member);
    return isEmpty(value) ? [] : [[key, value] as const];
  });
  return Object.fromEntries(members);
}

function storedValue(value: Json | undefined): Json | undefined {
  if (Array.isArray(value)) return value.map((item: Json) => storedValue(item) ?? null);
  return isObject(value) ? withoutEmpty(value) : value;
}

function isEmpty(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === '') return true;
  return Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;
}

/** True when the content differs between the two, nothing ignored. */
export function differs(oldObject: JsonObject, object: JsonObject, content: Content): boolean {
  return !sameJson(partOf(oldObject, content), partOf(object, content));
}

/** True when a state carries the content that was admitted and is not the old one (ADR 0003). */
export function showsEffect({ content, before, after }: Effect, state: JsonObject): boolean {
  // As it is, too: effects that were noted before there was a stored form are of that kind.
  return [asStored(state), plain(state)].some(
    (one) => digestOf(partOf(one, content, content.ignore)) === after && digestOf(partOf(one, content)) !== before,
  );
}
