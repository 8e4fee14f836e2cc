// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Delays the events of a watch, for tests that show that no decision needs a fresh cache.
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeObject } from '../kube/objects/objects.ts';
import type { ListWatch } from '../kube/watch/reflector.ts';

/** The same source, with every chunk of its watches delivered so much later; with 0 the source itself. */
export function delayedSource<T extends KubeObject>(source: ListWatch<T>, delayMs: number): ListWatch<T> {
  if (delayMs === 0) return source;
  return {
    page: (options) => source.page(options),
    watch: async (options) => delayed(await source.watch(options), delayMs),
  };
}

async function* delayed(chunks: AsyncIterable<Uint8Array>, delayMs: number): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    await sleep(delayMs);
    yield chunk;
  }
}
