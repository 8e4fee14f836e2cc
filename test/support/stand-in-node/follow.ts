// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Follows a collection: lists it, watches it, and lists again whenever the watch is lost.

import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient, KubeObject } from '../control-plane/admin-client.ts';

export interface Follower<T> {
  readonly onChange: (object: T) => void;
  readonly onDelete: (object: T) => void;
}

/** Runs until aborted. Every change is reported at least once, a deletion also when it happened between two watches. */
export async function follow<T extends KubeObject>(
  admin: AdminClient,
  path: string,
  follower: Follower<T>,
  signal: AbortSignal,
): Promise<void> {
  const known = new Map<string, T>();
  while (!signal.aborted) {
    try {
      const resourceVersion = await relist(admin, path, known, follower);
      await watch(admin, withQuery(path, `watch=true&allowWatchBookmarks=true&resourceVersion=${resourceVersion}`), {
        known,
        follower,
        signal,
      });
    } catch {
      // Tests pause, kill and restart API servers under us: whatever went wrong, list again.
      if (!signal.aborted) await sleep(200);
    }
  }
}

async function relist<T extends KubeObject>(
  admin: AdminClient,
  path: string,
  known: Map<string, T>,
  follower: Follower<T>,
): Promise<string> {
  const { items, metadata } = await admin.list<T>(path);
  const present = new Set(items.map(keyOf));
  for (const [key, object] of known) {
    if (present.has(key)) continue;
    known.delete(key);
    follower.onDelete(object);
  }
  for (const object of items) {
    const before = known.get(keyOf(object));
    known.set(keyOf(object), object);
    if (before?.metadata.resourceVersion !== object.metadata.resourceVersion) follower.onChange(object);
  }
  return metadata.resourceVersion;
}

interface WatchParts<T> {
  readonly known: Map<string, T>;
  readonly follower: Follower<T>;
  readonly signal: AbortSignal;
}

async function watch<T extends KubeObject>(admin: AdminClient, path: string, parts: WatchParts<T>): Promise<void> {
  for await (const { type, object } of admin.watch<T>(path, parts.signal)) {
    if (type === 'ERROR') return;
    if (type === 'BOOKMARK') continue;
    if (type === 'DELETED') {
      parts.known.delete(keyOf(object));
      parts.follower.onDelete(object);
      continue;
    }
    parts.known.set(keyOf(object), object);
    parts.follower.onChange(object);
  }
}

// By UID: an object deleted and created again under its name is another one.
function keyOf({ metadata }: KubeObject): string {
  return metadata.uid ?? `${metadata.namespace}/${metadata.name}`;
}

function withQuery(path: string, query: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}
