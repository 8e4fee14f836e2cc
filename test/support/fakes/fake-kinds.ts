// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The three kinds in memory, with the compare-and-swap and the label selectors of the API server, and a cache that a
// test can hold back.
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../../src/api/kinds.ts';
import { ApiError } from '../../../src/kube/http/api-error.ts';
import type { KubeObject, NewObject } from '../../../src/kube/objects/objects.ts';
import type { ObjectKey } from '../../../src/kube/objects/resource.ts';
import type { ListOptions } from '../../../src/kube/objects/resource-client.ts';
import { type Indexers, keyOf, ObjectStore } from '../../../src/kube/watch/object-store.ts';

let lastUID = 0;
let lastVersion = 1000;

class FakeResource<T extends KubeObject & { readonly status?: unknown }, Index extends string = never> {
  readonly cache: ObjectStore<T, Index>;
  readonly calls: string[] = [];
  /** Runs before each call takes effect; what it throws is the call's outcome. */
  before: (verb: string, object?: T | NewObject<T>) => void | Promise<void> = () => undefined;
  /** The cache follows at once unless it is held back. */
  isHeldBack = false;
  readonly #objects = new Map<string, T>();
  readonly #type: { readonly apiVersion: string; readonly kind: string };
  readonly #now: () => Date;

  constructor(kind: string, indexBy: Indexers<T, Index>, now: () => Date) {
    this.#type = { apiVersion: 'stepup.dev/v1alpha1', kind };
    this.cache = new ObjectStore(indexBy);
    this.#now = now;
  }

  get all(): readonly T[] {
    return [...this.#objects.values()];
  }

  count(verb: string): number {
    return this.calls.filter((call) => call === verb).length;
  }

  async get(key: ObjectKey): Promise<T> {
    await this.#call('get');
    return this.#stored(key);
  }

  async list({ namespace, labelSelector = '' }: ListOptions = {}) {
    await this.#call('list');
    const items = this.all.filter(
      ({ metadata }) => metadata.namespace === namespace && isSelected(labelSelector, metadata.labels ?? {}),
    );
    return { metadata: { resourceVersion: `${lastVersion}` }, items };
  }

  async create(object: NewObject<T>): Promise<T> {
    await this.#call('create', object);
    if (this.#objects.has(keyOf(object.metadata as ObjectKey))) throw status(409, 'AlreadyExists');
    return this.put(object);
  }

  async replaceStatus(object: T): Promise<T> {
    await this.#call('replaceStatus', object);
    const stored = this.#stored(object.metadata);
    const { uid, resourceVersion } = stored.metadata;
    if (uid !== object.metadata.uid || resourceVersion !== object.metadata.resourceVersion) {
      throw status(409, 'Conflict');
    }
    return this.#store({ ...stored, status: object.status });
  }

  /** Stores an object as an API server would, without being counted. */
  put(object: NewObject<T> & { readonly status?: T['status'] }): T {
    lastUID += 1;
    const metadata = {
      uid: `uid-${lastUID}`,
      creationTimestamp: this.#now().toISOString(),
      generation: 1,
      ...object.metadata,
    };
    return this.#store({ ...this.#type, ...object, metadata } as unknown as T);
  }

  /** Writes over what is there, as another writer would. */
  change(key: ObjectKey, change: (object: T) => T): T {
    return this.#store(change(this.#stored(key)));
  }

  remove(key: ObjectKey): void {
    this.#objects.delete(keyOf(key));
    if (!this.isHeldBack) this.cache.delete(key);
  }

  async #call(verb: string, object?: T | NewObject<T>): Promise<void> {
    this.calls.push(verb);
    await this.before(verb, object);
  }

  #stored(key: ObjectKey): T {
    const stored = this.#objects.get(keyOf(key));
    if (stored === undefined) throw status(404, 'NotFound');
    return stored;
  }

  #store(object: T): T {
    lastVersion += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: `${lastVersion}` } };
    this.#objects.set(keyOf(stored.metadata), stored);
    if (!this.isHeldBack) this.cache.set(stored);
    return stored;
  }
}

export function status(code: number, reason: string, causes: readonly { reason: string }[] = []): ApiError {
  return new ApiError({ kind: 'status', attempt: 'test', detail: reason, status: code, reason, details: { causes } });
}

export function uncertain(): ApiError {
  return new ApiError({ kind: 'network', attempt: 'test', detail: 'connection reset' });
}

function isSelected(selector: string, labels: Readonly<Record<string, string>>): boolean {
  const among = /^(\S+) in \((.*)\)$/.exec(selector);
  if (among !== null) return (among[2] ?? '').split(',').includes(labels[among[1] ?? ''] ?? '-');
  const [key = '', value] = selector.split('=');
  return selector === '' || labels[key] === value;
}

export function fakeKinds(now: () => Date) {
  return {
    policies: new FakeResource<StepUpPolicy>('StepUpPolicy', {}, now),
    approvals: new FakeResource<StepUpApproval, 'target' | 'requester'>(
      'StepUpApproval',
      {
        target: ({ metadata }) => [metadata.labels?.['stepup.dev/target'] ?? ''],
        requester: ({ spec }) => [spec.requester.username],
      },
      now,
    ),
    decisions: new FakeResource<StepUpDecision, 'approval'>(
      'StepUpDecision',
      { approval: ({ spec }) => [spec.approval.uid] },
      now,
    ),
  };
}
