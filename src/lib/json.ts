// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// JSON values of admission requests, compared and addressed without losing the meaning of a number or an absent member.

/** A JSON value. Integers beyond 2^53 arrive as bigint (lib/parse-strict-json.ts), so that two of them never look alike. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The same for a value of which nobody has said what it is. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * True for a key that JSON.parse may have misread (nodejs/node#63785, in Node 24 and 26): it holds an escaped key, as it
 * stands in the text, against the key that followed in objects before, as far as the key is long. Once {"a":1,"\\\\":2}
 * was read, {"a":1,"\\u0062":2} reads the same. What is taken in such a place begins like the text up to the escape and
 * goes on with it: it holds a backslash.
 */
export function isMisreadKey(key: string): boolean {
  return key.includes('\\');
}

/** True when JSON.parse may have misread a key somewhere in the value. */
export function mayBeMisread(value: Json | undefined): boolean {
  if (Array.isArray(value)) return value.some(mayBeMisread);
  if (!isObject(value)) return false;
  for (const key in value) if (isMisreadKey(key) || mayBeMisread(value[key])) return true;
  return false;
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

/** True when both are the same JSON once they are sent: a member that is undefined is absent. */
export function isSameAsSent(a: object | string, b: object | string): boolean {
  return sameJson(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
}

/** Pointers come from policies and from our own code, and every request meets the same ones again. */
const knownTokens = new Map<string, readonly string[]>();
const mostKnown = 10_000;

/** The reference tokens of a JSON pointer (RFC 6901). */
export function pointerTokens(pointer: string): readonly string[] {
  const known = knownTokens.get(pointer);
  if (known !== undefined) return known;
  const tokens = pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (knownTokens.size >= mostKnown) knownTokens.clear();
  knownTokens.set(pointer, tokens);
  return tokens;
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
  return pointers.length === 0 ? root : withoutNamed(root, treeOf(pointers));
}

/** Pointers by their first token; all of a member goes where nothing is below. One walk takes away all of them. */
type Tree = ReadonlyMap<string, Tree> | 'All';

const knownJoined = new WeakMap<readonly string[], WeakMap<readonly string[], readonly string[]>>();

/** Both lists in one, the same one each time: a list that is new needs a new tree, which costs more than its use. */
export function joined(some: readonly string[], more: readonly string[]): readonly string[] {
  if (some.length === 0) return more;
  if (more.length === 0) return some;
  const known = knownJoined.get(some) ?? new WeakMap<readonly string[], readonly string[]>();
  const both = known.get(more) ?? [...some, ...more];
  knownJoined.set(some, known.set(more, both));
  return both;
}

const knownTrees = new WeakMap<readonly string[], Tree>();

function treeOf(pointers: readonly string[]): Tree {
  const known = knownTrees.get(pointers);
  if (known !== undefined) return known;
  const tree = treeOfTokens(pointers.map(pointerTokens));
  knownTrees.set(pointers, tree);
  return tree;
}

function treeOfTokens(paths: readonly (readonly string[])[]): Tree {
  if (paths.some((path) => path.length === 0)) return 'All';
  const below = Map.groupBy(paths, ([token = '']) => token);
  return new Map([...below].map(([token, group]) => [token, treeOfTokens(group.map((path) => path.slice(1)))]));
}

function withoutNamed(value: Json | undefined, tree: Tree): Json | undefined {
  if (tree === 'All') return undefined;
  if (!isObject(value)) return value;
  const left = new Map<string, Json | undefined>();
  for (const [token, below] of tree) {
    if (!Object.hasOwn(value, token)) continue;
    const member = value[token];
    const kept = withoutNamed(member, below);
    if (kept !== member || below === 'All') left.set(token, isEmptied(kept) ? undefined : kept);
  }
  return left.size === 0 ? value : withMembers(value, left);
}

function isEmptied(kept: Json | undefined): boolean {
  return isObject(kept) && Object.keys(kept).length === 0;
}

/** A copy with other members; those that are undefined go. */
function withMembers(value: JsonObject, members: ReadonlyMap<string, Json | undefined>): JsonObject {
  const copy: Record<string, Json | undefined> = {};
  for (const key of Object.keys(value)) {
    const member = members.has(key) ? members.get(key) : value[key];
    if (member === undefined && members.has(key)) continue;
    // Assigned, it would be the prototype and no member.
    if (key === '__proto__') Object.defineProperty(copy, key, { value: member, enumerable: true });
    else copy[key] = member;
  }
  return copy;
}

/** The text at a pointer, or '' where there is none. */
export function textAt(root: Json | undefined, pointer: string): string {
  const value = valueAt(root, pointer);
  return typeof value === 'string' ? value : '';
}

/** The members that have a value: what an optional member needs, which may be absent and not undefined. */
export function defined<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: { [K in keyof T]?: T[K] } = {};
  for (const key in members) if (members[key] !== undefined) kept[key] = members[key];
  return kept as { [K in keyof T]?: Exclude<T[K], undefined> };
}
