// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Gives equal values one representative and a number, so that worlds are compared by numbers.

export class Interner<T extends object> {
  readonly #byText = new Map<string, T>();
  readonly #ids = new Map<T, number>();

  /** The representative of a value. */
  same(value: T): T {
    if (this.#ids.has(value)) return value;
    const text = JSON.stringify(value);
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    this.#byText.set(text, value);
    this.#ids.set(value, this.#ids.size);
    return value;
  }

  idOf(value: T): number {
    const id = this.#ids.get(this.same(value));
    if (id === undefined) throw new Error('a representative has an id');
    return id;
  }
}
