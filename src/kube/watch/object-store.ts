// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Objects by namespace and name, with secondary indexes: the copy of a reflector.

import type { KubeObject } from '../objects/objects.ts';
import type { ObjectKey } from '../objects/resource.ts';

/** For each index, the keys under which an object is found. */
export type Indexers<T, Index extends string> = Readonly<Record<Index, (object: T) => readonly string[]>>;

/** The reading side of an ObjectStore. Objects are shared: never change them. */
export interface ObjectView<T extends KubeObject, Index extends string = never> {
  readonly size: number;
  get(key: ObjectKey): T | undefined;
  values(): IterableIterator<T>;
  byIndex(index: Index, key: string): readonly T[];
}

/** `namespace/name`, or the name alone for cluster-scoped objects. */
export function keyOf({ namespace, name }: ObjectKey): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export class ObjectStore<T extends KubeObject, Index extends string = never> implements ObjectView<T, Index> {
  readonly #objects = new Map<string, T>();
  readonly #indexes: readonly {
    readonly name: Index;
    readonly keysOf: (object: T) => readonly string[];
    readonly entries: Map<string, Map<string, T>>;
  }[];

  constructor(indexBy: Indexers<T, Index>) {
    const names = Object.keys(indexBy) as Index[];
    this.#indexes = names.map((name) => ({ name, keysOf: indexBy[name], entries: new Map() }));
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(keyOf(key));
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  byIndex(index: Index, key: string): readonly T[] {
    const found = this.#indexes.find(({ name }) => name === index)?.entries.get(key);
    return found === undefined ? [] : [...found.values()];
  }

  /** Returns the object that was there before. */
  set(object: T): T | undefined {
    const previous = this.delete(object.metadata);
    const id = keyOf(object.metadata);
    this.#objects.set(id, object);
    for (const { keysOf, entries } of this.#indexes) {
      for (const key of keysOf(object)) {
        const bucket = entries.get(key);
        if (bucket === undefined) entries.set(key, new Map([[id, object]]));
        else bucket.set(id, object);
      }
    }
    return previous;
  }

  /** Returns the object that was removed. */
  delete(key: ObjectKey): T | undefined {
    const id = keyOf(key);
    const previous = this.#objects.get(id);
    if (previous === undefined) return undefined;
    this.#objects.delete(id);
    for (const { keysOf, entries } of this.#indexes) {
      for (const indexKey of keysOf(previous)) {
        const bucket = entries.get(indexKey);
        bucket?.delete(id);
        if (bucket?.size === 0) entries.delete(indexKey);
      }
    }
    return previous;
  }
}
