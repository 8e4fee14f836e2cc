// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps a copy of the objects of one resource: lists them, then watches, and starts again after any failure.

import { defined } from '../../lib/json.ts';
import { ApiError, isGone, statusError } from '../http/api-error.ts';
import type { KubeList, KubeObject } from '../objects/objects.ts';
import type { PageOptions, Selection, WatchOptions } from '../objects/resource-client.ts';
import { type Backoff, backoffMs } from '../time/backoff.ts';
import { type Clock, sleep, systemClock } from '../time/clock.ts';
import { Watchdog } from '../time/watchdog.ts';
import { type Indexers, keyOf, ObjectStore, type ObjectView } from './object-store.ts';
import { type WatchEvent, watchEvents } from './watch-stream.ts';

/** What a reflector reads from: a ResourceClient. */
export interface ListWatch<T extends KubeObject> {
  page(options: PageOptions): Promise<KubeList<T>>;
  watch(options: WatchOptions): Promise<AsyncIterable<Uint8Array>>;
}

/**
 * A change of the copy. `delete` also means that the object left the selection: with a field or label selector the API
 * server then sends DELETED with the OLD object (the last one that matched) under the new resourceVersion, so neither
 * existence nor the present content can be read from `object`. After a relist `object` is the last one seen.
 */
export interface ObjectChange<T extends KubeObject> {
  readonly type: 'set' | 'delete';
  readonly object: T;
  /** What the copy held before. */
  readonly previous: T | undefined;
}

export type WatchEnd = 'timeout' | 'silent' | 'gone' | 'failed';

/** For metrics. */
export interface ReflectorObserver {
  listed?(objects: number): void;
  watchOpened?(): void;
  watchClosed?(end: WatchEnd): void;
  changed?(type: ObjectChange<KubeObject>['type']): void;
}

export interface ReflectorOptions<T extends KubeObject, Index extends string = never> extends Selection {
  readonly source: ListWatch<T>;
  readonly indexBy?: Indexers<T, Index>;
  /** What is kept of an object, to save memory. Must keep `metadata`'s names, `uid` and `resourceVersion`. */
  readonly transform?: (object: T) => T;
  /** Lists and watches that failed, and handlers that threw; the loop goes on. */
  readonly onError?: (error: unknown) => void;
  readonly observer?: ReflectorObserver;
  readonly clock?: Clock;
  /** A watch without any event or bookmark for so long is taken for dead, default 90 s. */
  readonly silenceMs?: number;
}

const pageSize = 500;
const retry: Backoff = { baseMs: 100, capMs: 5_000 };
/** A watch that lived shorter counts as a failure, so that a server that closes at once is not asked in a tight loop. */
const shortWatchMs = 5_000;
/** The API server sends a bookmark every 60 to 75 s (`bookmarkFrequency`, jittered). */
const defaultSilenceMs = 90_000;

export class Reflector<T extends KubeObject, Index extends string = never> {
  /** Resolves after the first list, when its handlers have been called; rejects when stopped before. */
  readonly synced: Promise<void>;
  readonly #options: ReflectorOptions<T, Index>;
  readonly #clock: Clock;
  readonly #store: ObjectStore<T, Index>;
  readonly #handlers: ((change: ObjectChange<T>) => void)[] = [];
  readonly #sync = Promise.withResolvers<void>();
  #hasSynced = false;
  #lastActivityAtMs: number;
  #unbrokenSinceMs: number | undefined;
  /** Where to resume the watch; undefined asks for a list. */
  #resourceVersion: string | undefined;
  #failures = 0;
  #silences = 0;

  constructor(options: ReflectorOptions<T, Index>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#store = new ObjectStore(options.indexBy ?? ({} as Indexers<T, Index>));
    this.#lastActivityAtMs = this.#clock.monotonicMs();
    this.synced = this.#sync.promise;
    // Nobody may be waiting when it rejects.
    this.synced.catch(() => undefined);
  }

  get objects(): ObjectView<T, Index> {
    return this.#store;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** The monotonic instant (`Clock.monotonicMs`) of the last list, event or bookmark: how old the copy may be. */
  get lastActivityAtMs(): number {
    return this.#lastActivityAtMs;
  }

  /**
   * The monotonic instant since which handlers were told of everything that became of selected objects, in order; what a
   * relist skipped is from before. Undefined before the first list.
   */
  get unbrokenSinceMs(): number | undefined {
    return this.#unbrokenSinceMs;
  }

  /** Handlers enqueue and return; call before `run`. */
  onChange(handler: (change: ObjectChange<T>) => void): void {
    this.#handlers.push(handler);
  }

  /** Resolves when the signal aborts; never rejects. Call once. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedAtMs = this.#clock.monotonicMs();
      const error = await this.#listAndWatch(signal);
      if (signal.aborted) break;
      const short = this.#clock.monotonicMs() - startedAtMs < shortWatchMs;
      this.#failures = short ? this.#failures : 0;
      if (short || error !== undefined) {
        this.#failures += 1;
        await sleep(this.#clock, this.#retryDelayMs(error), signal);
      }
    }
    this.#sync.reject(new Error('stopped before the first list'));
  }

  /** One list, where needed, and one watch. Returns what ended it, undefined for the regular end of a watch. */
  async #listAndWatch(signal: AbortSignal): Promise<unknown> {
    try {
      this.#resourceVersion ??= await this.#list(signal);
      await this.#watch(this.#resourceVersion, signal);
      return undefined;
    } catch (error) {
      if (isGone(error)) this.#resourceVersion = undefined;
      if (!signal.aborted) this.#options.onError?.(error);
      return error;
    }
  }

  #retryDelayMs(error: unknown): number {
    const askedSeconds = error instanceof ApiError ? (error.retryAfterSeconds ?? 0) : 0;
    const delayMs = backoffMs(retry, this.#failures, () => this.#clock.random());
    return Math.min(Math.max(askedSeconds * 1000, delayMs), retry.capMs);
  }

  /** Lists everything, then applies it as one step: the copy is never half of two states. */
  async #list(signal: AbortSignal): Promise<string> {
    const { source } = this.#options;
    const listed = new Map<string, T>();
    let page: KubeList<T> | undefined;
    do {
      const token: string | undefined = page?.metadata.continue;
      page = await source.page({ ...this.#selection(), limit: pageSize, signal, ...(token && { continue: token }) });
      for (const object of page.items) listed.set(keyOf(object.metadata), this.#strip(object));
    } while (page.metadata.continue);
    this.#active();
    // A list shows a state between its request and its end: what happened in between may not be in it.
    this.#unbrokenSinceMs = this.#lastActivityAtMs;
    for (const known of [...this.#store.values()]) if (!listed.has(keyOf(known.metadata))) this.#delete(known);
    for (const object of listed.values()) this.#set(object);
    this.#options.observer?.listed?.(listed.size);
    this.#hasSynced = true;
    this.#sync.resolve();
    return page.metadata.resourceVersion;
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { source, observer, silenceMs = defaultSilenceMs } = this.#options;
    const watchdog = new Watchdog(this.#clock, silenceMs);
    const timeoutSeconds = Math.round(300 + 300 * this.#clock.random());
    let end: WatchEnd = 'failed';
    try {
      const ends = AbortSignal.any([signal, watchdog.signal]);
      const stream = await source.watch({ ...this.#selection(), resourceVersion, timeoutSeconds, signal: ends });
      observer?.watchOpened?.();
      for await (const event of watchEvents(stream)) {
        watchdog.feed();
        this.#active();
        this.#apply(event);
      }
      end = 'timeout';
    } catch (error) {
      if (watchdog.signal.aborted) {
        end = 'silent';
        this.#afterSilence();
        throw watchdog.signal.reason;
      }
      end = isGone(error) ? 'gone' : 'failed';
      throw error;
    } finally {
      watchdog.stop();
      observer?.watchClosed?.(end);
    }
  }

  /**
   * One silent watch was a dead connection. Two in a row may mean that the API server has lost the past we resume from
   * (etcd restored from a backup has a smaller revision, and a watch from the future waits for ever): list again.
   */
  #afterSilence(): void {
    this.#silences += 1;
    if (this.#silences >= 2) this.#resourceVersion = undefined;
  }

  #apply(event: WatchEvent): void {
    if (event.type === 'ERROR') throw statusError('watch', 0, event.object);
    const object = event.object as T;
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        this.#set(this.#strip(object));
        break;
      case 'DELETED':
        this.#delete(this.#strip(object));
        break;
      case 'BOOKMARK':
        break;
    }
    this.#resourceVersion = object.metadata.resourceVersion;
  }

  #set(object: T): void {
    const known = this.#store.get(object.metadata);
    // A relist and the first events after a resume repeat what is known.
    if (
      known?.metadata.resourceVersion === object.metadata.resourceVersion &&
      known.metadata.uid === object.metadata.uid
    ) {
      return;
    }
    this.#emit({ type: 'set', object, previous: this.#store.set(object) });
  }

  #delete(object: T): void {
    this.#emit({ type: 'delete', object, previous: this.#store.delete(object.metadata) });
  }

  #emit(change: ObjectChange<T>): void {
    this.#options.observer?.changed?.(change.type);
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#options.onError?.(error);
      }
    }
  }

  #active(): void {
    this.#lastActivityAtMs = this.#clock.monotonicMs();
    this.#silences = 0;
  }

  #strip(object: T): T {
    return this.#options.transform?.(object) ?? object;
  }

  #selection(): Selection {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return {
      ...defined({ namespace, labelSelector, fieldSelector }),
    };
  }
}
