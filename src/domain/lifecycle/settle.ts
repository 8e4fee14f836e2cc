// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether a reserved write happened, by evidence only, never by elapsed time or by absence (ADR 0003).

import { type JsonObject, textAt } from '../../lib/json.ts';
import { generationOf } from '../change/base.ts';
import { showsEffect } from '../change/content.ts';
import type { Use } from '../model/approval.ts';
import type { Seen } from '../model/seen.ts';

export type Settlement =
  /** The target shows the effect. */
  | 'Happened'
  /** The reserved write lost its compare-and-swap and can never win it. */
  | 'Lost'
  /** The state that would show it has passed without being seen. */
  | 'Untold'
  /** Nothing has happened yet; it still may. */
  | 'Stands'
  /** stepup cannot see the target, so it cannot find out. */
  | 'Unseen'
  /** The effect leaves no state behind; the admission itself is the evidence. */
  | 'Admitted';

export function settle(use: Use, seen: Seen): Settlement {
  const { base } = use;
  if (base.kind === 'Request') return 'Admitted';
  if (seen.kind === 'Nothing') return 'Unseen';
  switch (base.kind) {
    case 'Deletion':
      return isGoneOrGoing(use, seen) ? 'Happened' : 'Stands';
    case 'Creation':
      return seen.kind === 'State' && uidOf(seen.object) === base.uid ? 'Happened' : 'Stands';
    case 'Generation':
    case 'Scale':
      return base.generation === undefined
        ? afterResourceVersion(use, seen)
        : afterGeneration(use, seen, base.generation);
    case 'ResourceVersion':
      return afterResourceVersion(use, seen);
  }
}

/** True when no later state can change the result. */
export function isConclusive(settlement: Settlement): boolean {
  return settlement === 'Happened' || settlement === 'Lost' || settlement === 'Untold';
}

/** A deletionTimestamp proves the deletion only if the object had none before; otherwise the use has the effect to look for. */
function isGoneOrGoing({ base, effect }: Use, seen: Seen): boolean {
  if (seen.kind !== 'State' || uidOf(seen.object) !== base.uid) return true;
  if (effect !== undefined) return showsEffect(effect, seen.object);
  return textAt(seen.object, '/metadata/deletionTimestamp') !== '';
}

function afterGeneration(use: Use, seen: Seen, generation: number): Settlement {
  if (seen.kind !== 'State' || uidOf(seen.object) !== use.base.uid) return 'Untold';
  const now = generationOf(seen.object) ?? 0;
  if (now <= generation) return 'Stands';
  if (now > generation + 1 || use.effect === undefined) return 'Untold';
  return showsEffect(use.effect, seen.object) ? 'Happened' : 'Lost';
}

function afterResourceVersion(use: Use, seen: Seen): Settlement {
  if (seen.kind !== 'State' || uidOf(seen.object) !== use.base.uid) return 'Untold';
  if (textAt(seen.object, '/metadata/resourceVersion') === use.oldResourceVersion) return 'Stands';
  if (!seen.isNext || use.effect === undefined) return 'Untold';
  return showsEffect(use.effect, seen.object) ? 'Happened' : 'Lost';
}

function uidOf(object: JsonObject): string {
  return textAt(object, '/metadata/uid');
}
