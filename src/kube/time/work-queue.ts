// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A queue of keys: each key is processed by one worker at a time, however often it was added meanwhile.

import { type Backoff, backoffMs } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';
import { DueKeys } from './due-keys.ts';

export interface WorkQueueOptions {
  /** Reads the present state and acts on it. A rejection is retried with backoff, for as long as the queue runs. */
  readonly process: (key: string, signal: AbortSignal) => Promise<void>;
  /** Keys under way at once, default 4. */
  readonly concurrency?: number;
  /** Default 0.5 s, doubling to 60 s. */
  readonly backoff?: Backoff;
  /** Called for each rejection, `failures` in a row for this key, before it is retried. */
  readonly onError?: (key: string, error: unknown, failures: number) => void;
  readonly clock?: Clock;
}

const defaultBackoff: Backoff = { baseMs: 500, capMs: 60_000 };

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #clock: Clock;
  /** Ready keys in the order they were added: a Set keeps that order and each key once. */
  readonly #ready = new Set<string>();
  /** Keys under way; true when the key was added again meanwhile. */
  readonly #active = new Map<string, boolean>();
  readonly #failures = new Map<string, number>();
  readonly #later: DueKeys;
  #running: AbortSignal | undefined;
  #isScheduled = false;
  #idle: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#later = new DueKeys(this.#clock, (key) => this.add(key));
  }

  /** Keys that are ready and not yet under way. */
  get size(): number {
    return this.#ready.size;
  }

  /** Keys that wait for their instant. */
  get waiting(): number {
    return this.#later.size;
  }

  /** Processes the key as soon as a worker is free; when it is under way, once more afterwards. */
  add(key: string): void {
    if (this.#active.has(key)) {
      this.#active.set(key, true);
      return;
    }
    this.#ready.add(key);
    this.#pump();
  }

  /** Adds the key after a while. Of several waits for one key the earliest is kept. Throws when the delay is no number. */
  addAfter(key: string, delayMs: number): void {
    if (!Number.isFinite(delayMs)) {
      // An instant that could not be parsed would stay first for ever and hold up all others.
      throw new RangeError(`schedule ${key}: ${delayMs} is not a delay`);
    }
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    this.#later.add(key, this.#clock.monotonicMs() + delayMs);
  }

  /** Adds the key at an instant of the wall clock, or now when that has passed. Throws on an invalid Date. */
  addAt(key: string, instant: Date): void {
    this.addAfter(key, instant.getTime() - this.#clock.now().getTime());
  }

  /** Works until the signal aborts; resolves when nothing is under way any more. Keys left are dropped. */
  async run(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running = signal;
    this.#idle = resolve;
    signal.addEventListener('abort', () => this.#stopWhenIdle(), { once: true });
    this.#pump();
    this.#stopWhenIdle();
    await promise;
    this.#later.clear();
    this.#ready.clear();
  }

  /**
   * Starts one key in the next turn of the event loop, and so on. Keys that need no I/O would otherwise follow each other
   * without a pause, and whatever else this process answers would wait for ten thousand of them.
   */
  #pump(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#startNext();
    });
  }

  #startNext(): void {
    const signal = this.#running;
    const { concurrency = 4 } = this.#options;
    if (signal === undefined || signal.aborted || this.#active.size >= concurrency) return;
    const { value: key } = this.#ready.keys().next();
    if (key === undefined) return;
    this.#ready.delete(key);
    this.#active.set(key, false);
    // It catches whatever processing throws.
    void this.#work(key, signal);
    this.#pump();
  }

  async #work(key: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.process(key, signal);
      this.#failures.delete(key);
    } catch (error) {
      this.#retry(key, error, signal);
    }
    const again = this.#active.get(key) === true;
    this.#active.delete(key);
    if (again) this.#ready.add(key);
    this.#pump();
    this.#stopWhenIdle();
  }

  #retry(key: string, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    this.#options.onError?.(key, error, failures);
    this.addAfter(
      key,
      backoffMs(this.#options.backoff ?? defaultBackoff, failures, () => this.#clock.random()),
    );
  }

  #stopWhenIdle(): void {
    if (this.#running?.aborted && this.#active.size === 0) this.#idle?.();
  }
}
