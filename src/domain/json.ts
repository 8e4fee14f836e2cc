// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// JSON values as admission sends them, compared and addressed without ever losing what a number or an absence means.

/** A JSON value. Integers beyond 2^53 arrive as bigint (api/strict-json.ts), so that two of them never look alike. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True when both are the same JSON; a key that is absent differs from one that is null. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && sameJson(a[key], b[key]));
}

/** The reference tokens of a JSON pointer (RFC 6901). */
export function pointerTokens(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** One reference token for use in a JSON pointer (RFC 6901). */
export function pointerToken(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** The value a pointer names, undefined when it is absent. Pointers name members of objects, never array items: one
 *  that leads into an array names all of it, so that a policy that tries to name an item is never blind to a change. */
export function valueAt(root: Json | undefined, pointer: string): Json | undefined {
  let value: Json | undefined = root;
  for (const token of pointerTokens(pointer)) {
    if (Array.isArray(value)) return value;
    if (!isObject(value) || !Object.hasOwn(value, token)) return undefined;
    value = value[token];
  }
  return value;
}

/** A copy of root without the named members. An object that the removal leaves empty goes too: a client that
 *  writes only an ignored member makes its parents with it. One that was empty before stays: {} is not absent. */
export function without(root: Json | undefined, pointers: readonly string[]): Json | undefined {
  return pointers.reduce((value, pointer) => withoutOne(value, pointerTokens(pointer)), root);
}

function withoutOne(value: Json | undefined, tokens: readonly string[]): Json | undefined {
  const [token, ...rest] = tokens;
  if (token === undefined) return undefined;
  if (!isObject(value) || !Object.hasOwn(value, token)) return value;
  const { [token]: removed, ...others } = value;
  const left = withoutOne(removed, rest);
  if (left === removed) return value;
  if (left === undefined || (rest.length > 0 && isObject(left) && Object.keys(left).length === 0)) {
    return others;
  }
  return { ...others, [token]: left };
}

/** The text at a pointer, or '' where there is none. */
export function textAt(root: Json | undefined, pointer: string): string {
  const value = valueAt(root, pointer);
  return typeof value === 'string' ? value : '';
}
