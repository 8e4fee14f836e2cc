// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Typed calls on the objects of one resource. Types describe the raw JSON; nothing is converted or dropped.

import { defined } from '../../lib/json.ts';
import { ApiError } from '../http/api-error.ts';
import type { ApiRequest, RestClient } from '../http/rest.ts';
import type { KubeList, KubeObject, NewObject } from './objects.ts';
import { apiVersionOf, collectionPath, creationPath, type ObjectKey, objectPath, type Resource } from './resource.ts';

export interface CallOptions {
  /** Default: the RestClient's. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions extends CallOptions {
  /** Validate and admit, but store nothing. */
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  /** Told the warnings of the answer, also of one that refuses. */
  readonly onWarnings?: (warnings: readonly string[]) => void;
}

export interface ApplyOptions extends WriteOptions {
  readonly fieldManager: string;
  /** Take over fields that another manager owns, instead of a conflict. */
  readonly force?: boolean;
}

export interface DeleteOptions extends CallOptions {
  readonly dryRun?: boolean;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
}

/** Which objects; all namespaces when `namespace` is left out. */
export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListOptions extends Selection, CallOptions {
  /** Default: the newest state. */
  readonly resourceVersion?: string;
  /** Objects per page, default 500. */
  readonly limit?: number;
}

export interface PageOptions extends ListOptions {
  readonly continue?: string;
}

export interface WatchOptions extends Selection, CallOptions {
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
}

const mergePatch = 'application/merge-patch+json';
/** JSON is YAML; the API server knows no other content type for server-side apply in JSON. */
const applyPatch = 'application/apply-patch+yaml';

export class ResourceClient<T extends KubeObject> {
  readonly resource: Resource;
  readonly #rest: Pick<RestClient, 'request' | 'stream'>;

  constructor(rest: Pick<RestClient, 'request' | 'stream'>, resource: Resource) {
    this.#rest = rest;
    this.resource = resource;
  }

  async get(key: ObjectKey, options: CallOptions = {}): Promise<T> {
    return this.#call('get', key, { method: 'GET', path: objectPath(this.resource, key) }, options);
  }

  /** All objects selected, following continue tokens. 410 (isGone) when they expire meanwhile: list again. */
  async list(options: ListOptions = {}): Promise<KubeList<T>> {
    const pages = [await this.page(options)];
    let { metadata } = pages[0]!;
    while (metadata.continue) {
      const page = await this.page({ ...options, continue: metadata.continue });
      pages.push(page);
      metadata = page.metadata;
    }
    return { metadata, items: pages.flatMap(({ items }) => items) };
  }

  /** One page of a list. */
  async page(options: PageOptions = {}): Promise<KubeList<T>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, limit = 500, ...rest } = options;
    const list = (await this.#rest.request({
      method: 'GET',
      path: collectionPath(this.resource, namespace),
      query: {
        labelSelector,
        fieldSelector,
        limit,
        continue: options.continue,
        // A continue token carries the resourceVersion; the API server refuses both together.
        resourceVersion: options.continue ? undefined : resourceVersion,
      },
      attempt: `list ${this.resource.plural}${namespace === undefined ? '' : ` in ${namespace}`}`,
      ...callLimits(rest),
    })) as KubeList<T>;
    // Items of a list of a built-in kind carry neither.
    const type = { apiVersion: apiVersionOf(this.resource), kind: this.resource.kind };
    return { metadata: list.metadata, items: (list.items ?? []).map((item) => ({ ...type, ...item })) };
  }

  /** The raw lines of a watch with bookmarks, for watch-stream.ts; usually a Reflector is what you want. */
  async watch(options: WatchOptions): Promise<AsyncIterable<Uint8Array>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, ...rest } = options;
    return this.#rest.stream({
      method: 'GET',
      path: collectionPath(this.resource, namespace),
      query: {
        labelSelector,
        fieldSelector,
        resourceVersion,
        timeoutSeconds,
        watch: true,
        allowWatchBookmarks: true,
      },
      attempt: `watch ${this.resource.plural}${namespace === undefined ? '' : ` in ${namespace}`}`,
      ...callLimits(rest),
    });
  }

  /** Rejects with isAlreadyExists when the name is taken. */
  async create(object: NewObject<T>, options: WriteOptions = {}): Promise<T> {
    const { namespace, name, generateName } = object.metadata;
    return this.#call(
      'create',
      { ...defined({ namespace }), name: name ?? generateName ?? '' },
      { method: 'POST', path: creationPath(this.resource, namespace), body: this.#typed(object) },
      options,
    );
  }

  /** Writes the object if `metadata.resourceVersion` is still the stored one, else rejects with isConflict. */
  async replace(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#put('replace', object, undefined, options);
  }

  /** Like `replace`, for `status` alone: the API server ignores all other fields. */
  async replaceStatus(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#put('replace status of', object, 'status', options);
  }

  /** JSON merge patch (RFC 7396): `null` removes a field. Conditional when the patch has `metadata.resourceVersion`. */
  async mergePatch(key: ObjectKey, patch: object, options: WriteOptions = {}): Promise<T> {
    const path = objectPath(this.resource, key);
    return this.#call('patch', key, { method: 'PATCH', path, body: patch, contentType: mergePatch }, options);
  }

  /** Server-side apply: creates the object, or makes the manager's fields what they are here. */
  async apply(object: NewObject<T> & { readonly metadata: ObjectKey }, options: ApplyOptions): Promise<T> {
    const key = object.metadata;
    return this.#call(
      'apply',
      key,
      {
        method: 'PATCH',
        path: objectPath(this.resource, key),
        query: { force: options.force },
        body: this.#typed(object),
        contentType: applyPatch,
      },
      options,
    );
  }

  /** Resolves when the deletion is accepted; finalizers may keep the object for longer. */
  async delete(key: ObjectKey, options: DeleteOptions = {}): Promise<void> {
    const { preconditions, propagationPolicy } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(preconditions && { preconditions }),
      ...(propagationPolicy && { propagationPolicy }),
    };
    await this.#call('delete', key, { method: 'DELETE', path: objectPath(this.resource, key), body }, options);
  }

  async #put(verb: string, object: T, subresource: string | undefined, options: WriteOptions): Promise<T> {
    if (!object.metadata.resourceVersion) {
      // Without one the API server overwrites whatever is stored.
      const attempt = `${verb} ${this.#nameOf(object.metadata)}`;
      throw new ApiError({ kind: 'status', attempt, status: 400, detail: 'metadata.resourceVersion is missing' });
    }
    const path = objectPath(this.resource, object.metadata, subresource);
    return this.#call(verb, object.metadata, { method: 'PUT', path, body: this.#typed(object) }, options);
  }

  async #call(verb: string, key: ObjectKey, request: ApiRequest, options: WriteOptions): Promise<T> {
    const { dryRun, fieldManager, onWarnings } = options;
    const answer = await this.#rest.request({
      ...request,
      query: { ...request.query, dryRun: dryRun ? 'All' : undefined, fieldManager },
      attempt: `${verb} ${this.#nameOf(key)}`,
      ...(onWarnings && { onWarnings }),
      ...callLimits(options),
    });
    // The API server answers with objects of the resource asked for; its schema vouches for the rest of T.
    return answer as T;
  }

  #typed(object: object): object {
    return { apiVersion: apiVersionOf(this.resource), kind: this.resource.kind, ...object };
  }

  #nameOf(key: ObjectKey): string {
    return `${this.resource.plural} ${key.namespace === undefined ? '' : `${key.namespace}/`}${key.name}`;
  }
}

function callLimits({ deadlineMs, signal }: CallOptions): CallOptions {
  return { ...defined({ deadlineMs }), ...(signal && { signal }) };
}
