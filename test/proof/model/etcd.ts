// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes to the target: compare-and-put, and what every one of them has to keep.

import { openUseOf } from '../../../src/domain/lifecycle/reservation.ts';
import { approvalOf } from '../../support/seals.ts';
import type { Scenario } from './scenario.ts';
import { type Admitted, breaking, oneEffect, present, stored, type Target, type World } from './world.ts';

/** Stores a state of the target, and forgets those that nobody can look at any more. */
export function store(world: World, target: Omit<Target, 'resourceVersion'>, { staleness }: Scenario): World {
  const next: Target = { ...target, resourceVersion: present(world).resourceVersion + 1 };
  return forgetting({ ...world, targets: [...world.targets, next] }, staleness);
}

/** A watch still looks at everything since the state that a use, or a call that may lead to one, goes back to. */
export function forgetting(world: World, staleness: number): World {
  const { targets, flights } = world;
  const open = openUseOf(approvalOf(stored(world)))?.use;
  const bases = flights.flatMap((flight) => (flight.at === 'Asking' ? [flight.orig.resourceVersion] : []));
  if (open !== undefined) bases.push(Number(open.oldResourceVersion ?? 0));
  const recent = present(world).resourceVersion - staleness;
  const kept = targets.filter(({ resourceVersion }) => resourceVersion >= Math.min(recent, ...bases));
  return kept.length === targets.length ? world : { ...world, targets: kept };
}

/** True when the state that the change was computed on is still the present one. */
export function isLandable(world: World, { orig }: Pick<Admitted, 'orig'>): boolean {
  return present(world).resourceVersion === orig.resourceVersion;
}

/** Persists an admitted change, and says what it breaks by that. */
export function commit(world: World, { orig, next, use }: Admitted, scenario: Scenario): World {
  const after = store(world, next, scenario);
  // An object that was going already is gone by the same deletion.
  if (use === undefined || orig.isGoing) return after;
  const counted = { ...after, effects: world.effects + 1 };
  if (counted.effects > 1) return breaking(counted, oneEffect);
  const releases = stored(world).status?.releases ?? [];
  return releases.some((release) => release.use === use) ? breaking(counted, 'a released use never lands') : counted;
}
