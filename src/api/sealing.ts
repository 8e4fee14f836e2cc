// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The current keyring of this process, and the reader and the seals that use it.

import type { Seals } from '../domain/model/seal-check.ts';
import { type ObjectReader, SealedReader } from './sealed-reader.ts';

/** Ask for each member anew whenever it is needed: keys come and go. */
export interface Sealing {
  /** False until there is a key. Before, nothing counts and nothing can be sealed. */
  readonly isKnown: boolean;
  readonly reader: ObjectReader;
  readonly seals: Seals;
}

const noKeys: Seals = {
  sign: () => {
    throw new Error('seal: the keyring has not been loaded yet');
  },
  check: () => 'UnknownKey',
};

/** A sealing whose keys can be set. */
export class CurrentSealing implements Sealing {
  #seals: Seals = noKeys;
  #reader = new SealedReader(noKeys);

  get isKnown(): boolean {
    return this.#seals !== noKeys;
  }

  get reader(): ObjectReader {
    return this.#reader;
  }

  get seals(): Seals {
    return this.#seals;
  }

  set(seals: Seals): void {
    this.#seals = seals;
    this.#reader = new SealedReader(seals);
  }
}
