// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Types of objects that were read, and of objects to write.
import type { KubeObject, ObjectMeta } from './kube-object.ts';

export type { KubeObject } from './kube-object.ts';

/** `metadata` of an object that is about to be written: the API server fills in the rest. */
type NewObjectMeta = Partial<ObjectMeta> & { readonly generateName?: string };

/** `T` before it is stored; `apiVersion` and `kind` are added from the resource when left out. */
export type NewObject<T extends KubeObject> = Omit<T, 'apiVersion' | 'kind' | 'metadata' | 'status'> & {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: NewObjectMeta;
};

/** One page of a list, or a whole one when `metadata.continue` is absent or empty. */
export interface KubeList<T extends KubeObject> {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly T[];
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface Secret extends KubeObject {
  readonly type?: string;
  /** Values in base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export interface APIService extends KubeObject {
  readonly spec?: {
    readonly group?: string;
    readonly version?: string;
    /** Whoever answers for the group; none where the API server does itself. */
    readonly service?: { readonly namespace?: string; readonly name?: string } | null;
  };
}
