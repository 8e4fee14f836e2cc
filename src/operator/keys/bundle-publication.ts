// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// For how long a bundle has been in all of stepup's webhook configurations, as this leader has seen it.
import type { Clock } from '../../kube/time/clock.ts';

export class BundlePublication {
  readonly #isPublished: (caBundle: string) => boolean;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #seen: { readonly caBundle: string; readonly sinceMs: number } | undefined;

  /** `isPublished`: whether all configurations carry the bundle, given in base64, now. */
  constructor(isPublished: (caBundle: string) => boolean, clock: Pick<Clock, 'monotonicMs'>) {
    this.#isPublished = isPublished;
    this.#clock = clock;
  }

  /** Undefined while some do not carry it. The first look counts as the beginning: a new leader waits once more. */
  forMs(caBundle: string): number | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#isPublished(caBundle)) {
      this.#seen = undefined;
      return undefined;
    }
    if (this.#seen?.caBundle !== caBundle) this.#seen = { caBundle, sinceMs: nowMs };
    return nowMs - this.#seen.sinceMs;
  }
}
