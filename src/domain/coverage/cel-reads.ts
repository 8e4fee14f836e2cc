// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One walk over a condition: which places it looks at, and which of them may be absent with nothing in front that asks.
// A missing key is an error to CEL, and an error refuses the request. What is how was measured on a real API server.

import { type CelNode, parsedCel } from '../../lib/parse-cel.ts';
import type { Operation } from '../model/request.ts';
import { TooLong, WalkBudget } from './cel-budget.ts';
import {
  absentIn,
  type Guarding,
  isNull,
  type KnownPlaces,
  placesAfter,
  rootNamed,
  type There,
  truthOf,
  type World,
} from './cel-guards.ts';
import { type Reads, type ReadUse, type Report, silent, type Unguarded } from './cel-report.ts';
import {
  deepest,
  eitherOf,
  idOf,
  isAlwaysThere,
  isOptional,
  isTextValue,
  joinedValues,
  keysOf,
  listValueOf,
  open,
  type Place,
  type PlaceKey,
  prefixesOf,
  textsOf,
  type Value,
  within,
} from './cel-values.ts';

/**
 * What the condition reads in a request of that operation; undefined where it cannot be told: the parser does not know it, or
 * it takes too long.
 */
export function readsOf(expression: string, operation: Operation): Reads | undefined {
  const node = parsedCel(expression);
  if (node === undefined) return undefined;
  const uses = new Map<string, ReadUse>();
  const unguarded = new Map<string, Unguarded>();
  const report = {
    use: (use: ReadUse) => uses.set(`${use.how} ${idOf(use.place)}`, use),
    miss: (one: Unguarded) => unguarded.set(idOf(one.place), one),
  };
  const walk = new Walk(operation, report, { truths: new Map(), places: new Map() }, new WalkBudget());
  try {
    walk.use(walk.meaningOf(node, { variables: new Map(), there: new Set() }));
  } catch (error) {
    if (error instanceof TooLong) return undefined;
    throw error;
  }
  return { uses: [...uses.values()], unguarded: [...unguarded.values()] };
}

interface Scope {
  readonly variables: ReadonlyMap<string, Value>;
  readonly there: There;
}

type Call = Extract<CelNode, { op: 'rcall' }>;
const macros = /^(?:all|exists|exists_one|existsOne|map|filter|transformList|transformMap|transformMapEntry)$/;

class Walk {
  readonly #operation: Operation;
  readonly #report: Report;
  readonly #known: KnownPlaces;
  readonly #budget: WalkBudget;

  constructor(operation: Operation, report: Report, known: KnownPlaces, budget: WalkBudget) {
    this.#operation = operation;
    this.#report = report;
    this.#known = known;
    this.#budget = budget;
  }

  /** All of the value is looked at. */
  use(value: Value, how: ReadUse['how'] = 'Value'): void {
    for (const place of value.places) this.#report.use({ place, how });
    for (const element of value.elements) this.use(element);
  }

  /** Throws TooLong once the steps of the whole walk are used up. */
  meaningOf(node: CelNode, scope: Scope): Value {
    return this.#budget.spend(() => this.#meaningOf(node, scope));
  }

  #meaningOf(node: CelNode, scope: Scope): Value {
    switch (node.op) {
      case 'value':
        return typeof node.args === 'string' ? textsOf(node.args) : open;
      case 'id':
        return scope.variables.get(node.args) ?? rootNamed(node.args);
      case '.':
      case '.?':
        return this.#member(this.meaningOf(node.args[0], scope), [{ text: node.args[1] }], node.op === '.?', scope);
      case '[]':
      case '[?]':
        return this.#indexed(node.args, node.op === '[?]', scope);
      case 'list':
        return listValueOf(...node.args.map((one) => this.meaningOf(one, scope)));
      case '?:': {
        const [condition, yes, no] = node.args;
        this.use(this.meaningOf(condition, scope));
        const branches = [
          this.meaningOf(yes, this.#after(condition, true, scope)),
          this.meaningOf(no, this.#after(condition, false, scope)),
        ];
        const truth = truthOf(condition, this.#world(scope));
        if (truth === undefined) return eitherOf(...branches);
        return eitherOf(...branches.slice(truth ? 0 : 1, truth ? 1 : 2));
      }
      case '&&':
      case '||': {
        // A term that decides absorbs an error of the other one, whichever stands first.
        const [left, right] = node.args;
        const goesOn = node.op === '&&';
        this.use(this.meaningOf(left, this.#after(right, goesOn, scope, 'Exactly')));
        this.use(this.meaningOf(right, this.#after(left, goesOn, scope)));
        return open;
      }
      case '==':
      case '!=': {
        const sides = node.args.map((side) => this.meaningOf(side, scope));
        const how = node.args.some(isNull) || sides.every(({ places, isOpen }) => places.length > 0 && !isOpen);
        for (const side of sides) this.use(side, how ? 'Whole' : 'Value');
        return open;
      }
      case 'in': {
        const [key, where] = node.args;
        const text = this.meaningOf(key, scope);
        this.use(text);
        const value = this.meaningOf(where, scope);
        this.#usePresence(within(value, keysOf(key, text)));
        for (const element of value.elements) this.use(element);
        return open;
      }
      case '+':
        return this.#sum(node.args, scope);
      case 'call':
        return this.#called(node.args[0], node.args[1], scope);
      case 'rcall':
        return this.#calledOn(node, scope);
      case 'map':
        for (const value of node.args.flat()) this.use(this.meaningOf(value, scope));
        return open;
      case '!_':
      case '-_':
        this.use(this.meaningOf(node.args, scope));
        return open;
      default:
        for (const side of node.args) this.use(this.meaningOf(side, scope));
        return open;
    }
  }

  #indexed([base, index]: readonly [CelNode, CelNode], optional: boolean, scope: Scope): Value {
    const value = this.meaningOf(base, scope);
    const key = this.meaningOf(index, scope);
    this.use(key);
    const isNumber = index.op === 'value' && typeof index.args !== 'string';
    if (!isNumber) return this.#member(value, keysOf(index, key), optional, scope);
    this.use({ ...value, elements: [] });
    return eitherOf(...value.elements, ...(value.places.length > 0 || value.isOpen ? [open] : []));
  }

  /** Members of what the value can be: an error where one is absent, unless the way to it is optional. */
  #member(value: Value, keys: readonly PlaceKey[], optional: boolean, scope: Scope): Value {
    if (value.places.some((place) => place.keys.length >= deepest)) {
      this.use(value);
      return open;
    }
    const places = within(value, keys).map((place) => ({ ...place, isOptional: place.isOptional || optional }));
    for (const place of places) {
      this.#report.use({ place, how: 'Named' });
      if (!place.isOptional) this.#need(place, scope);
    }
    const others = value.isOpen || value.texts.length > 0 ? [open] : [];
    return eitherOf(...(places.length > 0 ? [{ ...open, places, isOpen: false }] : []), ...value.elements, ...others);
  }

  #usePresence(places: readonly Place[]): void {
    for (const place of places) this.#report.use({ place, how: 'Presence' });
  }

  #need(place: Place, { there }: Scope): void {
    if (there === undefined) return;
    const root = { root: place.root, keys: [] };
    if (absentIn[place.root].includes(this.#operation) && !there.has(idOf(root))) {
      if (place.keys.length === 1) this.#report.miss({ place: root, unknown: [] });
      return;
    }
    const isKnown = (one: Place) =>
      isAlwaysThere(one) || there.has(idOf(one)) || (one.root === 'request' && this.#hasSubresource(one));
    if (!isKnown(place)) this.#report.miss({ place, unknown: prefixesOf(place).filter((one) => !isKnown(one)) });
  }

  /** A connection is always to a subresource. */
  #hasSubresource({ keys: [key] }: Place): boolean {
    return this.#operation === 'CONNECT' && key !== undefined && 'text' in key && key.text !== 'userInfo';
  }

  #sum([left, right]: readonly [CelNode, CelNode], scope: Scope): Value {
    const sides = [this.meaningOf(left, scope), this.meaningOf(right, scope)] as const;
    const sum = joinedValues(...sides);
    if (!isTextValue(sum)) for (const side of sides) this.use(side);
    return sum;
  }

  #called(name: string, args: readonly CelNode[], scope: Scope): Value {
    const [only] = args;
    if (name === 'has' && only?.op === '.') {
      this.#usePresence(within(this.meaningOf(only.args[0], scope), [{ text: only.args[1] }]));
      return open;
    }
    const values = args.map((one) => this.meaningOf(one, scope));
    if (name === 'dyn' && values[0] !== undefined) return values[0];
    for (const value of values) this.use(value);
    return open;
  }

  #calledOn({ args: [name, on, args] }: Call, scope: Scope): Value {
    const target = this.meaningOf(on, scope);
    const [first, second] = args;
    if (macros.test(name) && first?.op === 'id') return this.#expanded(name, target, args, scope);
    if ((name === 'optMap' || name === 'optFlatMap') && first?.op === 'id' && second !== undefined) {
      this.#usePresence(target.places);
      const there = scope.there && new Set([...scope.there, ...target.places.flatMap(prefixesOf).map(idOf)]);
      const variables = new Map(scope.variables).set(first.args, isOptional(target, false));
      return isOptional(this.meaningOf(second, { variables, there }), true);
    }
    const values = args.map((one) => this.meaningOf(one, scope));
    switch (name) {
      case 'ofNonZeroValue':
        // Whether there is anything in it.
        for (const value of values) this.use(value);
        return isOptional(eitherOf(...values), true);
      case 'of':
        if (on.op === 'id' && on.args === 'optional') return isOptional(eitherOf(...values), true);
        break;
      case 'or':
        return eitherOf(target, ...values);
      case 'orValue':
        return eitherOf(isOptional(target, false), ...values);
      case 'value':
        for (const place of target.places) this.#need(place, scope);
        return isOptional(target, false);
    }
    for (const value of [target, ...values]) this.use(value);
    return open;
  }

  /** A macro goes over the keys of a map or the elements of a list; with two variables, over both. */
  #expanded(name: string, range: Value, args: readonly CelNode[], scope: Scope): Value {
    for (const place of range.places) this.#report.use({ place, how: 'Value' });
    const element =
      range.places.length > 0 || range.isOpen ? eitherOf(...range.elements, open) : eitherOf(...range.elements);
    const isPair = name.startsWith('transform') || (name !== 'map' && args.length === 3);
    const names = args.slice(0, isPair ? 2 : 1).flatMap((one) => (one.op === 'id' ? [one] : []));
    const [key, value] = names.map((one) => ({ name: one.args, symbol: `${one.args}@${one.start}` }));
    const variables = new Map(scope.variables);
    if (key !== undefined) variables.set(key.name, { ...(isPair ? open : element), symbol: key.symbol });
    if (value !== undefined) variables.set(value.name, { ...element, symbol: value.symbol });
    const keys = key === undefined ? [] : within(range, [{ symbol: key.symbol }]).map(idOf);
    let inner: Scope = { variables, there: scope.there && new Set([...scope.there, ...keys]) };
    const body = args.slice(names.length);
    for (const condition of body.slice(0, -1)) {
      this.use(this.meaningOf(condition, inner));
      inner = this.#after(condition, true, inner);
    }
    const result = body.slice(-1).map((one) => this.meaningOf(one, inner));
    if (name === 'map') return listValueOf(...result);
    for (const one of result) this.use(one);
    return name === 'filter' ? listValueOf(...range.elements) : open;
  }

  /** The scope of what is reached only where the condition is so. Exactly: only where it is so without an error. */
  #after(condition: CelNode, isTrue: boolean, scope: Scope, how: Guarding = 'Fully'): Scope {
    if (this.#report === silent || scope.there === undefined) return scope;
    const known = placesAfter(condition, isTrue, this.#world(scope), how);
    return { ...scope, there: known && new Set([...scope.there, ...known]) };
  }

  #world(scope: Scope): World {
    const quiet = new Walk(this.#operation, silent, this.#known, this.#budget);
    return { operation: this.#operation, meaningOf: (node) => quiet.meaningOf(node, scope), known: this.#known };
  }
}
