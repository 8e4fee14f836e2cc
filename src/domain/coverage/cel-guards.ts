// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What is known where a part of a condition is true or false: which places are there, and that a request of one operation
// never comes so far.
import type { CelNode } from '../../lib/parse-cel.ts';
import type { Operation } from '../model/request.ts';
import {
  idOf,
  isTextValue,
  keysOf,
  open,
  type Place,
  prefixesOf,
  type Root,
  rootOf,
  type Value,
  within,
} from './cel-values.ts';

/** Ids of places that are known to be there. Undefined: this is never reached. */
export type There = ReadonlySet<string> | undefined;

/**
 * Fully: all places without which the part is not so. Exactly: those without which it is not so, and no error either. Of two
 * terms only the one that is looked at after the other may count on what the other would have stumbled over.
 */
export type Guarding = 'Exactly' | 'Fully';

export interface World {
  readonly operation: Operation;
  readonly meaningOf: (node: CelNode) => Value;
  readonly known: KnownPlaces;
}

/** What was found out already: without it, nested terms would be looked at again and again. */
export interface KnownPlaces {
  readonly truths: Map<CelNode, boolean | undefined>;
  readonly places: Map<CelNode, Map<string, There>>;
}

export const absentIn: Readonly<Record<Root, readonly Operation[]>> = {
  object: ['DELETE'],
  oldObject: ['CREATE', 'CONNECT'],
  // The API server declares it and never fills it in (measured).
  namespaceObject: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'],
  request: [],
};

export function rootNamed(name: string): Value {
  return isWholeRoot(name) ? rootOf(name) : open;
}

function isWholeRoot(name: string): name is Root {
  return Object.hasOwn(absentIn, name);
}

export function placesAfter(node: CelNode, isTrue: boolean, world: World, how: Guarding): There {
  const { places } = world.known;
  const known = places.get(node) ?? new Map<string, There>();
  const key = `${isTrue} ${how}`;
  if (!known.has(key)) known.set(key, foundAfter(node, isTrue, world, how));
  places.set(node, known);
  return known.get(key);
}

function foundAfter(node: CelNode, isTrue: boolean, world: World, how: Guarding): There {
  if (truthOf(node, world) === !isTrue) return undefined;
  const after = (one: CelNode, so: boolean) => placesAfter(one, so, world, how);
  switch (node.op) {
    case '!_':
      return after(node.args, !isTrue);
    case '&&':
    case '||': {
      const [left, right] = node.args;
      const combine = isTrue === (node.op === '&&') ? both : either;
      return combine(after(left, isTrue), after(right, isTrue));
    }
    case '?:': {
      const [condition, yes, no] = node.args;
      return either(both(after(condition, true), after(yes, isTrue)), both(after(condition, false), after(no, isTrue)));
    }
    default:
      return prefixIdsOf(guardedBy(node, isTrue, world, how), how);
  }
}

/** The places that one term asks for. */
function guardedBy(node: CelNode, isTrue: boolean, { meaningOf }: World, how: Guarding): readonly Place[] {
  if (node.op === '==' || node.op === '!=') {
    const [side] = node.args.filter((one) => !isNull(one));
    if (side === undefined || !node.args.some(isNull) || isTrue !== (node.op === '!=')) return [];
    return meaningOf(side).places.filter(({ keys }) => keys.length === 0 || how === 'Fully');
  }
  if (!isTrue) return [];
  if (node.op === 'in') return within(meaningOf(node.args[1]), keysOf(node.args[0], meaningOf(node.args[0])));
  if (node.op === 'call') {
    const [name, [only]] = node.args;
    return name === 'has' && only?.op === '.' ? within(meaningOf(only.args[0]), [{ text: only.args[1] }]) : [];
  }
  return node.op === 'rcall' && node.args[0] === 'hasValue' ? meaningOf(node.args[1]).places : [];
}

function prefixIdsOf(places: readonly Place[], how: Guarding): ReadonlySet<string> {
  // has(object.x) is false where there is no object; has(object.x.y) is an error.
  const roots = places
    .filter(({ keys }) => how === 'Fully' || keys.length <= 1)
    .map(({ root }) => ({ root, keys: [] }));
  return new Set([...roots, ...(how === 'Fully' ? places.flatMap(prefixesOf) : places)].map(idOf));
}

/** What the part always is in a request of this operation. */
export function truthOf(node: CelNode, world: World): boolean | undefined {
  const { truths } = world.known;
  if (!truths.has(node)) truths.set(node, foundTruth(node, world));
  return truths.get(node);
}

function foundTruth(node: CelNode, world: World): boolean | undefined {
  switch (node.op) {
    case 'value':
      return typeof node.args === 'boolean' ? node.args : undefined;
    case '!_':
      return not(truthOf(node.args, world));
    case '&&':
    case '||': {
      const truths = node.args.map((one) => truthOf(one, world));
      const deciding = node.op === '||';
      if (truths.includes(deciding)) return deciding;
      return truths.includes(undefined) ? undefined : !deciding;
    }
    case '==':
      return areEqual(node.args, world);
    case '!=':
      return not(areEqual(node.args, world));
    case 'in': {
      const [text, list] = node.args.map(world.meaningOf);
      if (text === undefined || list === undefined || !isOperation(text)) return undefined;
      if (list.places.length > 0 || list.isOpen || !list.elements.every(isTextValue)) return undefined;
      return list.elements.some(({ texts }) => texts.includes(world.operation));
    }
    default:
      return undefined;
  }
}

/** Of the operation with a text, and of an object with null. */
function areEqual(sides: readonly CelNode[], { operation, meaningOf }: World): boolean | undefined {
  const values = sides.map(meaningOf);
  const text = values.find(isTextValue);
  if (text !== undefined && values.some(isOperation)) {
    return text.texts.length === 1 ? text.texts.includes(operation) : undefined;
  }
  const [side] = values.filter((_, at) => !isNull(sides[at]));
  if (side === undefined || !sides.some(isNull) || side.isOpen || side.elements.length > 0) return undefined;
  if (side.places.length === 0 || side.places.some(({ root, keys }) => keys.length > 0 || root === 'request'))
    return undefined;
  const absent = side.places.filter(({ root }) => absentIn[root].includes(operation));
  if (absent.length === 0) return false;
  return absent.length === side.places.length ? true : undefined;
}

function not(truth: boolean | undefined): boolean | undefined {
  return truth === undefined ? undefined : !truth;
}

export function isNull(node: CelNode | undefined): boolean {
  return node?.op === 'value' && node.args === null;
}

const operationId = idOf({ root: 'request', keys: [{ text: 'operation' }] });

function isOperation({ places: [place, another], isOpen }: Value): boolean {
  return !isOpen && place !== undefined && another === undefined && idOf(place) === operationId;
}

function both(one: There, other: There): There {
  return one && other && new Set([...one, ...other]);
}

function either(one: There, other: There): There {
  if (one === undefined || other === undefined) return one ?? other;
  return new Set([...one].filter((id) => other.has(id)));
}
