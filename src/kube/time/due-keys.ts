// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keys that become due at an instant, each once, on one timer: tens of thousands of approvals wait for their expiry.

import { type Clock, mostTimerMs } from './clock.ts';

interface DueKey {
  readonly key: string;
  readonly dueAtMs: number;
}

export class DueKeys {
  readonly #clock: Clock;
  readonly #onDue: (key: string) => void;
  /** The instant each key waits for; an entry of the heap that does not agree with it has been replaced. */
  readonly #dueAtMs = new Map<string, number>();
  /** A binary heap, the earliest first. */
  readonly #heap: DueKey[] = [];
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(clock: Clock, onDue: (key: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#dueAtMs.size;
  }

  /** Takes a monotonic instant. When the key already waits for an earlier one, nothing changes. */
  add(key: string, dueAtMs: number): void {
    const known = this.#dueAtMs.get(key);
    if (known !== undefined && known <= dueAtMs) return;
    this.#dueAtMs.set(key, dueAtMs);
    this.#push({ key, dueAtMs });
    this.#arm();
  }

  clear(): void {
    this.#dueAtMs.clear();
    this.#heap.length = 0;
    this.#arm();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first !== undefined && first.dueAtMs === this.#timer?.atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (first !== undefined) {
      const delayMs = Math.min(first.dueAtMs - this.#clock.monotonicMs(), mostTimerMs);
      this.#timer = { atMs: first.dueAtMs, cancel: this.#clock.after(delayMs, () => this.#fire()) };
    }
  }

  #fire(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    for (let first = this.#heap[0]; first !== undefined && first.dueAtMs <= nowMs; first = this.#heap[0]) {
      this.#pop();
      if (this.#dueAtMs.get(first.key) === first.dueAtMs) {
        this.#dueAtMs.delete(first.key);
        this.#onDue(first.key);
      }
    }
    this.#arm();
  }

  #push(entry: DueKey): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.dueAtMs <= entry.dueAtMs) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Removes the first entry. The indexes used are below the length, hence the `!`. */
  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      if (left >= heap.length) break;
      const child = right < heap.length && heap[right]!.dueAtMs < heap[left]!.dueAtMs ? right : left;
      if (heap[child]!.dueAtMs >= last.dueAtMs) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}
