// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a part of a condition can stand for, as far as its text tells: places in the request and texts.
import type { CelNode } from '../../lib/parse-cel.ts';

/** Where a condition begins to read. */
export type Root = 'object' | 'oldObject' | 'namespaceObject' | 'request';

/** A text, or a value that is known when the request is: then its name or its own expression stands for it. */
export type PlaceKey = { readonly text: string } | { readonly symbol: string };

export interface Place {
  readonly root: Root;
  readonly keys: readonly PlaceKey[];
}

/** One of the places, one of the texts, one of the elements, or (isOpen) something else. */
export interface Value {
  readonly places: readonly (Place & { readonly isOptional: boolean })[];
  readonly texts: readonly string[];
  /** Those of a list that is written in the condition. */
  readonly elements: readonly Value[];
  readonly isOpen: boolean;
  /** Of a variable of a macro. */
  readonly symbol?: string;
}

export const open: Value = { places: [], texts: [], elements: [], isOpen: true };

/** No object is deeper than this. */
export const deepest = 32;

export function textsOf(...texts: readonly string[]): Value {
  return { ...open, texts, isOpen: false };
}

export function rootOf(root: Root): Value {
  return { ...open, places: [{ root, keys: [], isOptional: false }], isOpen: false };
}

/** All elements as one that can be any of them. */
export function listValueOf(...elements: readonly Value[]): Value {
  return elements.length === 0 ? open : { ...open, elements: [eitherOf(...elements)], isOpen: false };
}

export function eitherOf(...values: readonly Value[]): Value {
  const places = values.flatMap((value) =>
    value.places.map((place) => [`${place.isOptional}${idOf(place)}`, place] as const),
  );
  const elements = values.flatMap((value) => value.elements);
  return {
    places: [...new Map(places).values()],
    texts: [...new Set(values.flatMap(({ texts }) => texts))],
    elements: elements.length > 1 ? [eitherOf(...elements)] : elements,
    isOpen: values.length === 0 || values.some(({ isOpen }) => isOpen),
  };
}

/** More texts or places than this are not told apart. */
const most = 16;
/** The longest key of a label: prefix, slash and name. */
const longestText = 253 + 1 + 63;

/** Texts that are put together, where both sides are known. */
export function joinedValues(left: Value, right: Value): Value {
  if (![left, right].every(isTextValue) || left.texts.length * right.texts.length > most) return open;
  const texts = left.texts.flatMap((one) => right.texts.map((two) => one + two));
  return texts.every(({ length }) => length <= longestText) ? textsOf(...texts) : open;
}

export function isTextValue({ places, texts, elements, isOpen }: Value): boolean {
  return texts.length > 0 && places.length === 0 && elements.length === 0 && !isOpen;
}

export function isOptional(value: Value, optional: boolean): Value {
  return { ...value, places: value.places.map((place) => ({ ...place, isOptional: optional })) };
}

/** Where these keys lead from what the value can be. */
export function within({ places }: Value, keys: readonly PlaceKey[]): Value['places'] {
  const told = places.length * keys.length > most ? [{ symbol: '*' }] : keys;
  return places.flatMap((place) => told.map((key) => ({ ...place, keys: [...place.keys, key] })));
}

/** What the part is as a key. */
export function keysOf(node: CelNode, value: Value): readonly PlaceKey[] {
  if (isTextValue(value)) return value.texts.map((text) => ({ text }));
  return [{ symbol: value.symbol ?? node.input.slice(node.start, node.end).replace(/\s+/g, ' ') }];
}

/** One text for each place, to compare them by. */
export function idOf({ root, keys }: Place): string {
  return JSON.stringify([root, ...keys]);
}

/** The places that the place is in, itself included, the outermost first. */
export function prefixesOf({ root, keys }: Place): readonly Place[] {
  return keys.map((_, at) => ({ root, keys: keys.slice(0, at + 1) }));
}

/** What every object and every request has. That a kind without them is read so, the API server's schema would tell. */
export function isAlwaysThere({ root, keys }: Place): boolean {
  const path = keys.map((key) => ('text' in key ? key.text : '*')).join('/');
  if (root === 'request') return !/^(?:(?:requestS|s)ubResource|userInfo\/extra)(?:\/|$)/.test(path);
  return /^(?:apiVersion|kind|metadata(?:\/(?:name|uid|creationTimestamp))?|spec(?:\/(?:spec|template|jobTemplate|metadata))*)?$/.test(
    path,
  );
}
