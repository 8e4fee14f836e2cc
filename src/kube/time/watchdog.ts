// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Notices that nothing has happened for too long: the only way to see a half-open connection from the reading side.

import type { Clock } from './clock.ts';

/** Aborts its signal when it has not been fed for `silenceMs`. */
export class Watchdog {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #silenceMs: number;
  #fedAtMs: number;
  #cancel: () => void;

  constructor(clock: Clock, silenceMs: number) {
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#fedAtMs = clock.monotonicMs();
    this.#cancel = clock.after(silenceMs, () => this.#check());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Cheap enough for every event: the timer is moved only when it fires. */
  feed(): void {
    this.#fedAtMs = this.#clock.monotonicMs();
  }

  stop(): void {
    this.#cancel();
  }

  #check(): void {
    const leftMs = this.#fedAtMs + this.#silenceMs - this.#clock.monotonicMs();
    if (leftMs <= 0) {
      this.#controller.abort(new Error(`nothing was received for ${this.#silenceMs} ms`));
      return;
    }
    this.#cancel = this.#clock.after(leftMs, () => this.#check());
  }
}
