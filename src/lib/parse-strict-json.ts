// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Parses JSON so that two texts with different meanings never give the same value: digests and decisions depend on it.
import { isUtf8 } from 'node:buffer';
import { isMisreadKey, type Json, type JsonObject } from './json.ts';
import { mostDepth, type ParsedJson, readCarefully } from './parse-json.ts';

/**
 * Integers beyond 2^53 arrive as bigint. Duplicate keys, lone surrogates, numbers beyond every double and bytes that
 * are no UTF-8 are refused. Never throws, and never quotes the text: it may be a Secret.
 */
export function parseStrictJson(bytes: Buffer): ParsedJson {
  if (!isUtf8(bytes)) return { ok: false, problem: 'it is not UTF-8' };
  const text = bytes.toString('utf8');
  return parsePlainly(bytes, text) ?? readCarefully(text);
}

/** Nearly every review is plain, and JSON.parse reads it many times faster; undefined when it may have misread it. */
function parsePlainly(bytes: Buffer, text: string): ParsedJson | undefined {
  const members = plainMembersIn(bytes);
  if (members === undefined) return undefined;
  try {
    const value: Json = JSON.parse(text);
    return plainKeysIn(value, 0) === members ? { ok: true, value } : undefined;
  } catch {
    return undefined;
  }
}

/** How many keys the objects in it have, to be held against the members; NaN where some key or depth is not plain. */
function plainKeysIn(value: Json | undefined, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth >= mostDepth) return Number.NaN;
  let keys = 0;
  if (Array.isArray(value)) {
    for (const item of value) keys += plainKeysIn(item, depth + 1);
    return keys;
  }
  const object = value as JsonObject;
  // What JSON.parse makes has no enumerable members but its own.
  for (const key in object) keys += (isMisreadKey(key) ? Number.NaN : 1) + plainKeysIn(object[key], depth + 1);
  return keys;
}

/** A number of more digits may be beyond 2^53; one with an exponent may be beyond every double. */
const safeDigits = 15;
const [quote, colon, backslash, zero, nine] = [0x22, 0x3a, 0x5c, 0x30, 0x39];
const [letterD, letterE, letterU, lowerCase] = [0x64, 0x65, 0x75, 0x20];

/**
 * How many members are written down in bytes that are JSON: a colon outside of texts each. Undefined where a number may
 * be huge or an escape may be half a surrogate pair. One plain loop, for every review comes through it.
 */
function plainMembersIn(bytes: Buffer): number | undefined {
  let members = 0;
  let digits = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte >= zero && byte <= nine) {
      digits += 1;
      if (digits > safeDigits) return undefined;
      continue;
    }
    if (digits > 0 && (byte | lowerCase) === letterE) return undefined;
    digits = 0;
    if (byte === colon) members += 1;
    if (byte !== quote) continue;
    // To the end of the text; what follows a backslash is escaped, be it a quote or a backslash.
    for (at += 1; at < bytes.length && bytes[at] !== quote; at++) {
      if (bytes[at] !== backslash) continue;
      at += 1;
      if (bytes[at] === letterU && ((bytes[at + 1] ?? 0) | lowerCase) === letterD) return undefined;
    }
  }
  return members;
}
