// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Bounds a walk over a condition: every replica walks the conditions of every policy, and texts and places can multiply.
import type { Value } from './cel-values.ts';

/** A condition as people write one takes some hundred. */
const mostSteps = 5_000;
/** The API server's own parser goes some 250 deep. */
const mostDeep = 300;

export class TooLong extends Error {}

/** What is left of one walk, its inner walks included. */
export class WalkBudget {
  #left = mostSteps;
  #deep = 0;

  /** What work comes to, paid by the size of it. Throws TooLong once the budget is used up. */
  spend(work: () => Value): Value {
    this.#deep += 1;
    if (this.#deep > mostDeep || this.#left < 0) throw new TooLong();
    const value = work();
    this.#left -= sizeOf(value);
    this.#deep -= 1;
    return value;
  }
}

function sizeOf({ places, texts, elements }: Value): number {
  const [element] = elements;
  return 1 + places.length + texts.length + (element === undefined ? 0 : sizeOf(element));
}
