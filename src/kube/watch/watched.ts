// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What reconcilers need of a reflector: its copy, whether the copy is complete, and its changes.

import type { KubeObject } from '../objects/objects.ts';
import type { ObjectView } from './object-store.ts';
import type { ObjectChange } from './reflector.ts';

/** A reflector, also one that has been running for a while: handlers added later see later changes. */
export interface Watched<T extends KubeObject> {
  readonly objects: Pick<ObjectView<T>, 'get' | 'values' | 'size'>;
  readonly synced: Promise<void>;
  onChange(handler: (change: ObjectChange<T>) => void): void;
}

/** Adds the keys of all objects there are, and of each that changes from now on. */
export function enqueueChanges<T extends KubeObject>(
  watched: Watched<T>,
  signal: AbortSignal,
  enqueue: (object: T, change?: ObjectChange<T>) => void,
): void {
  watched.onChange((change) => {
    // A reflector that outlives the leader's term keeps its handlers.
    if (!signal.aborted) enqueue(change.object, change);
  });
  for (const object of watched.objects.values()) enqueue(object);
}
