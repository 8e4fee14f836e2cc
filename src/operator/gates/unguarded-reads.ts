// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds reads of missing keys in a condition, each with its guard: to CEL they are errors, and an error denies the request
// (measured). The schema is not looked at, so it is only a warning.
import { readsOf } from '../../domain/coverage/cel-reads.ts';
import type { Reads, Unguarded } from '../../domain/coverage/cel-report.ts';
import { idOf, type Place, type PlaceKey, type Root } from '../../domain/coverage/cel-values.ts';
import type { Operation } from '../../domain/model/request.ts';

/** One sentence for each thing the expression reads without a guard, with the fix; undefined where nothing is known of it. */
export function unguardedIn(expression: string, operations: readonly Operation[]): readonly string[] | undefined {
  const reads = operations.map((operation) => ({ operation, found: readsOf(expression, operation) }));
  const isRead = reads.filter((one): one is { operation: Operation; found: Reads } => one.found !== undefined);
  if (isRead.length < reads.length) return undefined;
  const absent = (['oldObject', 'object', 'namespaceObject'] as const).flatMap((root) => {
    const without = isRead.filter(({ found }) => found.unguarded.some(({ place }) => isRoot(place, root)));
    if (without.length === 0) return [];
    if (root === 'namespaceObject') return [`reads ${root}, which the API server never gives a webhook; remove it`];
    const which = without.map(({ operation }) => operation).join(' or ');
    return [`reads ${root}, which a ${which} does not have; begin it with ${root} == null ||`];
  });
  const keys = isRead.flatMap(({ found }) => found.unguarded).filter(({ place }) => place.keys.length > 0);
  const onTheWay = new Set(keys.flatMap(({ place }) => idsOf(place).slice(0, -1)));
  const deepest = keys.filter(({ place }) => !onTheWay.has(idOf(place)));
  const sentences = deepest.map(
    (one) => `reads ${placeText(one.place)}, which may be absent; guard it with ${guardOf(one, keys)}`,
  );
  return [...new Set([...absent, ...sentences])];
}

function isRoot({ root, keys }: Place, name: Root): boolean {
  return root === name && keys.length === 0;
}

function idsOf({ root, keys }: Place): readonly string[] {
  return keys.map((_, at) => idOf({ root, keys: keys.slice(0, at + 1) }));
}

/** has() of a place is an error where what it is in is absent, so all of the way is asked for. */
function guardOf({ place, unknown }: Unguarded, all: readonly Unguarded[]): string {
  const ids = new Set(idsOf(place));
  const onTheWay = all.filter((other) => ids.has(idOf(other.place))).flatMap((other) => other.unknown);
  const places = new Map([...onTheWay, ...unknown].map((one) => [idOf(one), one]));
  return [...places.values()]
    .toSorted((one, other) => one.keys.length - other.keys.length)
    .map(guardFor)
    .join(' && ');
}

function guardFor({ root, keys }: Place): string {
  const last = keys.at(-1) ?? { text: '' };
  const parent = placeText({ root, keys: keys.slice(0, -1) });
  const isField = 'text' in last && isName(last.text) && !(root === 'request' && keys.length > 2);
  return isField ? `has(${parent}.${last.text})` : `${keyText(last)} in ${parent}`;
}

function placeText({ root, keys }: Place): string {
  const members = keys.map((key) => ('text' in key && isName(key.text) ? `.${key.text}` : `[${keyText(key)}]`));
  return `${root}${members.join('')}`;
}

function isName(text: string): boolean {
  return /^[A-Za-z_]\w*$/.test(text);
}

/** A variable of a macro is known by where it is declared, and written by its name. */
function keyText(key: PlaceKey): string {
  return 'text' in key ? `'${key.text.replace(/['\\]/g, '\\$&')}'` : key.symbol.replace(/@\d+$/, '');
}
