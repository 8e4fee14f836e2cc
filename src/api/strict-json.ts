// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Parses JSON so that no two texts of different meaning give one value: what digests and decisions rest on.
import { isUtf8 } from 'node:buffer';
import { isObject, type Json } from '../domain/json.ts';

export type ParsedJson = { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly problem: string };

/** Deeper than any Kubernetes object, shallow enough for every recursion over it. */
const mostDepth = 500;

/** A number of so many digits may be beyond 2^53, and a long exponent beyond every double. */
const hugeNumber = /(?:^|[:[,])\s*-?\d(?:[\d.]{15,}|[\d.]*[eE]\+?\d{2,})/;
const surrogateEscape = /\\u[dD][89a-fA-F]/;

/**
 * Integers beyond 2^53 arrive as bigint. Duplicate keys, lone surrogates, numbers beyond every double and bytes that
 * are no UTF-8 are refused. Never throws, and never quotes the text: it may be a Secret.
 */
export function parseStrictJson(bytes: Buffer): ParsedJson {
  if (!isUtf8(bytes)) return refused('it is not UTF-8');
  const text = bytes.toString('utf8');
  let value: Json;
  try {
    value = hugeNumber.test(text) ? parseWithBigInts(text) : parsed(text);
  } catch (error) {
    return refused(error instanceof OutOfRange ? 'a number is out of range' : 'it is not JSON');
  }
  const shape = { keys: 0, isWellFormed: true, checksText: surrogateEscape.test(text) };
  if (!measure(value, shape, 0)) return refused(`it is nested deeper than ${mostDepth} levels`);
  if (!shape.isWellFormed) return refused('a text holds half a surrogate pair');
  if (shape.keys !== membersIn(text)) return refused('an object holds the same key twice');
  return { ok: true, value };
}

function refused(problem: string): ParsedJson {
  return { ok: false, problem };
}

function parsed(text: string): Json {
  const value: Json = JSON.parse(text);
  return value;
}

class OutOfRange extends Error {}

function parseWithBigInts(text: string): Json {
  const reviver = (_key: string, value: unknown, context: { readonly source?: string }): unknown => {
    if (typeof value !== 'number') return value;
    const { source = '' } = context;
    if (!Number.isFinite(value)) throw new OutOfRange();
    return !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value;
  };
  // TypeScript's library does not know the reviver's third parameter yet (ES2026, JSON.parse source text access).
  const value: Json = JSON.parse(text, reviver as (this: unknown, key: string, value: unknown) => unknown);
  return value;
}

interface Shape {
  keys: number;
  isWellFormed: boolean;
  readonly checksText: boolean;
}

/** Counts the members of all objects; false when the value is nested too deep. */
function measure(value: Json | undefined, shape: Shape, depth: number): boolean {
  if (typeof value === 'string') {
    if (shape.checksText && !value.isWellFormed()) shape.isWellFormed = false;
    return true;
  }
  const isList = Array.isArray(value);
  if (!isList && !isObject(value)) return true;
  if (depth >= mostDepth) return false;
  if (isList) {
    for (const item of value) if (!measure(item, shape, depth + 1)) return false;
    return true;
  }
  // What JSON.parse makes has no enumerable members but its own.
  for (const key in value) {
    shape.keys += 1;
    if (shape.checksText && !key.isWellFormed()) shape.isWellFormed = false;
    if (!measure(value[key], shape, depth + 1)) return false;
  }
  return true;
}

const quote = 0x22;
const colon = 0x3a;
const backslash = 0x5c;

/** How many members a text that is JSON writes down: one colon outside of texts each. Fewer in the value means twice. */
function membersIn(text: string): number {
  let members = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === colon) members += 1;
    else if (code === quote) at = endOfText(text, at);
  }
  return members;
}

function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}
