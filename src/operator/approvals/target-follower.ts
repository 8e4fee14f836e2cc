// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Follows one object by name and reports each of its states in order, without a gap.

import type { Seen } from '../../domain/model/seen.ts';
import { isGone, statusError } from '../../kube/http/api-error.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ObjectKey } from '../../kube/objects/resource.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import { backoffMs } from '../../kube/time/backoff.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import { Watchdog } from '../../kube/time/watchdog.ts';
import { watchEvents } from '../../kube/watch/watch-stream.ts';
import { defined, type JsonObject } from '../../lib/json.ts';

export interface FollowTargetOptions {
  readonly client: Pick<ResourceClient<KubeObject>, 'page' | 'watch'>;
  readonly target: ObjectKey;
  /** The first state offered is the one after it; without it, the present one. */
  readonly after?: string;
  /** What a deletion is offered as: the last state still proves that a creation happened. */
  readonly deletedAs: 'Absent' | 'State';
  /** Takes what was seen; true ends the following. */
  readonly offer: (seen: Seen) => boolean;
  readonly clock: Clock;
}

const silenceMs = 90_000;
const mostFailures = 5;
const backoff = { baseMs: 200, capMs: 5_000 };

/** Resolves when an offer was taken or the signal aborts; rejects when the object cannot be followed. */
export async function followTarget(options: FollowTargetOptions, signal: AbortSignal): Promise<void> {
  const { after, offer, clock } = options;
  let from = after;
  let isNext = after !== undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (from === undefined) {
        const { resourceVersion, seen } = await lookAt(options, signal);
        // The state that was reserved on: what follows it is the next one.
        isNext = seen.kind === 'State' && after !== undefined && resourceVersionOf(seen.object) === after;
        if (offer(seen)) return;
        from = resourceVersion;
      }
      for await (const { resourceVersion, seen } of changesAfter(options, from, isNext, signal)) {
        from = resourceVersion;
        failures = 0;
        if (seen === undefined) continue;
        isNext = false;
        if (offer(seen)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      if (failures > mostFailures) throw error;
      if (isGone(error)) from = undefined;
      else
        await sleep(
          clock,
          backoffMs(backoff, failures, () => clock.random()),
          signal,
        );
    }
  }
}

/** The present state, by a list of one name, which also says from where to watch. */
export async function lookAt(
  { client, target }: Pick<FollowTargetOptions, 'client' | 'target'>,
  signal: AbortSignal,
): Promise<{ readonly resourceVersion: string; readonly seen: Seen }> {
  const { metadata, items } = await client.page({ ...selectionOf(target), limit: 1, signal });
  const [object] = items;
  return {
    resourceVersion: metadata.resourceVersion,
    seen: object === undefined ? { kind: 'Absent' } : stateOf(object, false),
  };
}

async function* changesAfter(
  options: FollowTargetOptions,
  resourceVersion: string,
  isNext: boolean,
  signal: AbortSignal,
) {
  const { client, target, deletedAs, clock } = options;
  const watchdog = new Watchdog(clock, silenceMs);
  try {
    const stream = await client.watch({
      ...selectionOf(target),
      resourceVersion,
      timeoutSeconds: 300,
      signal: AbortSignal.any([signal, watchdog.signal]),
    });
    let isFirst = isNext;
    for await (const event of watchEvents(stream)) {
      watchdog.feed();
      if (event.type === 'ERROR') throw statusError('watch', 0, event.object);
      const object = event.object as KubeObject;
      const version = object.metadata.resourceVersion;
      if (event.type === 'BOOKMARK') {
        yield { resourceVersion: version, seen: undefined };
        continue;
      }
      const isGoneNow = event.type === 'DELETED' && deletedAs === 'Absent';
      const seen: Seen = isGoneNow ? { kind: 'Absent' } : stateOf(object, isFirst);
      isFirst = false;
      yield { resourceVersion: version, seen };
    }
  } finally {
    watchdog.stop();
  }
}

function selectionOf({ namespace, name }: ObjectKey) {
  return { ...defined({ namespace }), fieldSelector: `metadata.name=${name}` };
}

function stateOf(object: KubeObject, isNext: boolean): Seen {
  // Raw JSON of the API: JsonObject is exactly that.
  return { kind: 'State', object: object as unknown as JsonObject, isNext };
}

function resourceVersionOf(object: JsonObject): unknown {
  return (object as unknown as KubeObject).metadata.resourceVersion;
}
