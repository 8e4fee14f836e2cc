// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One task that is done again whenever there is a reason to: a work queue of a single key.

import type { KubeObject } from '../objects/objects.ts';
import type { Clock } from '../time/clock.ts';
import { WorkQueue } from '../time/work-queue.ts';
import { enqueueChanges, type Watched } from './watched.ts';

export interface RepeatedTaskOptions {
  /** Reads the present state and acts on it; never twice at a time. A rejection is retried with backoff. */
  readonly process: () => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
}

const key = 'task';

export class RepeatedTask {
  readonly #queue: WorkQueue;

  constructor({ process, onError, clock }: RepeatedTaskOptions) {
    this.#queue = new WorkQueue({ process, clock, onError: (_, error) => onError(error) });
  }

  /** Does it as soon as possible; when it is under way, once more afterwards. */
  check(): void {
    this.#queue.add(key);
  }

  /** Does it after a while, or before if there is another reason to. */
  checkAfter(delayMs: number): void {
    this.#queue.addAfter(key, delayMs);
  }

  /** Does it now, and after each change of what is watched, until the signal aborts. */
  async run(signal: AbortSignal, watched: readonly Watched<KubeObject>[] = []): Promise<void> {
    for (const one of watched) enqueueChanges(one, signal, () => this.check());
    this.check();
    await this.#queue.run(signal);
  }
}
