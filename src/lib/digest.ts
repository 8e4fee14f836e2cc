// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The only hash of stepup: SHA-256 over RFC 8785 canonical JSON.
import { hash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { isObject, type Json, pointerToken } from './json.ts';

/**
 * The digest of a JSON value, as sha256:<hex>. Equal values give equal digests whatever their key order (RFC 8785).
 * RFC 8785 has no integers beyond 2^53; they are written as text and their places are hashed along, so that no text
 * can pass for one.
 */
export function digestOf(value: Json): string {
  const bigPlaces: string[] = [];
  const plain = hasBigInt(value) ? withoutBigInts(value, '', bigPlaces) : value;
  const text = canonicalize(plain) ?? 'null';
  const preimage = bigPlaces.length === 0 ? text : `${text}\n${JSON.stringify(bigPlaces.sort())}`;
  return `sha256:${hash('sha256', preimage, 'hex')}`;
}

/** Almost no object has one, and the copy costs as much as the rest of the digest. */
function hasBigInt(value: Json | undefined): boolean {
  if (typeof value === 'bigint') return true;
  if (Array.isArray(value)) return value.some(hasBigInt);
  if (!isObject(value)) return false;
  for (const key in value) if (hasBigInt(value[key])) return true;
  return false;
}

function withoutBigInts(value: Json, place: string, bigPlaces: string[]): Json {
  if (typeof value === 'bigint') {
    bigPlaces.push(place);
    return value.toString();
  }
  if (Array.isArray(value)) {
    return value.map((item, i) => withoutBigInts(item, `${place}/${i}`, bigPlaces));
  }
  if (!isObject(value)) return value;
  const copy: Record<string, Json> = {};
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue;
    Object.defineProperty(copy, key, {
      value: withoutBigInts(member, `${place}/${pointerToken(key)}`, bigPlaces),
      enumerable: true,
    });
  }
  return copy;
}
