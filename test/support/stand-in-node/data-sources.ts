// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Secrets and ConfigMaps that pods use, kept current by one watch per object.

import type { AdminClient, KubeObject } from '../control-plane/admin-client.ts';
import { follow } from './follow.ts';

export type DataKind = 'secrets' | 'configmaps';

export interface DataSources {
  /** Contents by key, or undefined while the object does not exist. */
  read(kind: DataKind, namespace: string, name: string): Promise<ReadonlyMap<string, Buffer> | undefined>;
  /** Called after any object that was ever read has changed. */
  onChange(listener: () => void): () => void;
}

interface DataObject extends KubeObject {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
}

export function createDataSources(admin: AdminClient, signal: AbortSignal): DataSources {
  const current = new Map<string, ReadonlyMap<string, Buffer> | undefined>();
  const listeners = new Set<() => void>();
  const set = (key: string, contents: ReadonlyMap<string, Buffer> | undefined) => {
    current.set(key, contents);
    for (const listener of listeners) listener();
  };
  return {
    read: async (kind, namespace, name) => {
      const path = `/api/v1/namespaces/${namespace}/${kind}`;
      const key = `${path}/${name}`;
      if (current.has(key)) return current.get(key);
      const answer = await admin.send('GET', key);
      current.set(key, answer.code === 200 ? contentsOf(kind, answer.body as DataObject) : undefined);
      // Runs until the node stops; `follow` never rejects.
      void follow<DataObject>(
        admin,
        `${path}?fieldSelector=metadata.name%3D${name}`,
        { onChange: (object) => set(key, contentsOf(kind, object)), onDelete: () => set(key, undefined) },
        signal,
      );
      return current.get(key);
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function contentsOf(kind: DataKind, { data = {}, binaryData = {} }: DataObject): ReadonlyMap<string, Buffer> {
  const encoding = kind === 'secrets' ? 'base64' : 'utf8';
  return new Map([
    ...Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)] as const),
    ...Object.entries(binaryData).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ]);
}
