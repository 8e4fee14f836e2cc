// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Labels and annotations that a policy's CEL reads: taking one away takes the object out of the policy's reach.
import { pointerToken } from '../../lib/json.ts';
import type { PolicySpec } from '../model/policy.ts';
import type { Operation } from '../model/request.ts';
import { readsOf } from './cel-reads.ts';
import type { ReadUse } from './cel-report.ts';
import type { PlaceKey } from './cel-values.ts';

export interface ConditionLabels {
  /** JSON pointers, sorted; to all labels or annotations where the expression does not say which. */
  readonly pointers: readonly string[];
  /** Names of the conditions that read one of the new object only: whoever takes it away is not seen. */
  readonly onNewOnly: readonly string[];
}

type CelCondition = NonNullable<PolicySpec['conditions']>[number];

/** The labels and annotations that the conditions read: rather one too many than one too few. */
export function conditionLabelsOf({ conditions = [] }: Pick<PolicySpec, 'conditions'>): ConditionLabels {
  const pointers = conditions.flatMap(({ expression }) => operations.flatMap((one) => pointersIn(expression, one)));
  return { pointers: [...new Set(pointers)].sort(), onNewOnly: conditions.filter(isBlind).map(({ name }) => name) };
}

const operations: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];
const all = ['/metadata/annotations', '/metadata/labels'];

function pointersIn(expression: string, operation: Operation): readonly string[] {
  return readsOf(expression, operation)?.uses.flatMap(pointersOf) ?? pointersNamedIn(expression);
}

/** Of what cannot be read: all of the maps that it names, and of metadata where it names that alone. */
function pointersNamedIn(expression: string): readonly string[] {
  const named = all.filter((pointer) => expression.includes(pointer.slice('/metadata/'.length)));
  return named.length === 0 && expression.includes('metadata') ? all : named;
}

/** True when an update can take something away that the condition reads, and the condition sees only what is left. */
function isBlind({ expression }: CelCondition): boolean {
  const uses = readsOf(expression, 'UPDATE')?.uses;
  if (uses === undefined) return false;
  const read = (root: string) => uses.filter(({ place }) => place.root === root).flatMap(pointersOf);
  const old = read('oldObject');
  return read('object').some((pointer) => !old.some((seen) => pointer === seen || pointer.startsWith(`${seen}/`)));
}

function pointersOf({ place, how }: ReadUse): readonly string[] {
  if (place.root !== 'object' && place.root !== 'oldObject') return [];
  const texts = place.keys.map(textOfKey);
  const at = texts.findIndex(
    (text, index) => isMetadata(text, index) && index + 1 < texts.length && isMap(texts[index + 1]),
  );
  if (at === -1) {
    // The whole of it, in which they are; that it equals another object says nothing of what it holds.
    return how === 'Value' && texts.length < 2 && texts.every(isMetadata) ? all : [];
  }
  // has(object.metadata.labels) asks for no key; that it was the last one is seen where the key is read. A name leads on
  // to a key, or something is made of it that says how it is looked at.
  if ((how === 'Presence' || how === 'Named') && texts.length === at + 2) return [];
  const parent = ['', ...texts.slice(0, at), 'metadata'];
  // Of items of a list, which no pointer names.
  if (parent.includes(undefined)) return [];
  const [map, key] = texts.slice(at + 1);
  const maps = map === undefined ? ['annotations', 'labels'] : [map];
  return maps.map((name) =>
    [...parent, name, ...(key === undefined ? [] : [key])].map((one) => pointerToken(one ?? '')).join('/'),
  );
}

function textOfKey(key: PlaceKey): string | undefined {
  return 'text' in key ? key.text : undefined;
}

/** A key that only the request tells may be any: of the object it may be metadata, of that one of the maps. */
function isMetadata(text: string | undefined, index: number): boolean {
  return text === 'metadata' || (text === undefined && index === 0);
}

function isMap(text: string | undefined): boolean {
  return text === undefined || text === 'labels' || text === 'annotations';
}
