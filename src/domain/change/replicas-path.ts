// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether an object has the replicas of its Scale in /spec/replicas, so that a scale shows there.
import { isObject, type Json, type JsonObject, valueAt } from '../../lib/json.ts';

/** True of Kubernetes' own kinds. A custom resource names a place of its own (specReplicasPath). */
export function scalesInPlace(group: string): boolean {
  return group === '' || group === 'apps';
}

/**
 * True when no other member of the spec holds the same number: else that one may be scaled, and a scale that was
 * written would look lost. The path of a custom resource leads through objects only.
 */
export function isOnlyPlaceOf(replicas: Json | undefined, parent: JsonObject | undefined): boolean {
  return timesIn(valueAt(parent, '/spec'), replicas) === 1;
}

function timesIn(value: Json | undefined, wanted: Json | undefined): number {
  if (!isObject(value)) return value === wanted ? 1 : 0;
  return Object.values(value).reduce<number>((sum, member) => sum + timesIn(member, wanted), 0);
}
