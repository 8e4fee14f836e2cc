// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a walk over a condition finds.
import type { Place } from './cel-values.ts';

/**
 * A place that is looked at: its value, only whether it is there, or (Whole) only whether it equals another place. Named:
 * the condition says its name, whatever becomes of it.
 */
export interface ReadUse {
  readonly place: Place;
  readonly how: 'Value' | 'Presence' | 'Whole' | 'Named';
}

/** Without keys the root itself is absent. */
export interface Unguarded {
  readonly place: Place;
  /** Those on the way to it, and itself, of which nothing says that they are there. */
  readonly unknown: readonly Place[];
}

export interface Reads {
  readonly uses: readonly ReadUse[];
  readonly unguarded: readonly Unguarded[];
}

export interface Report {
  readonly use: (use: ReadUse) => void;
  readonly miss: (unguarded: Unguarded) => void;
}

export const silent: Report = { use: () => {}, miss: () => {} };
