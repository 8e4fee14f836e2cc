// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Remembers which approvals were seen used or ended, so that a restored or forged older state opens nothing here.
import { type Approval, isEnded } from '../domain/approval.ts';
import { after, requestCapSeconds } from '../domain/life.ts';

interface Remembered {
  readonly uses: number;
  readonly isEnded: boolean;
  /** The monotonic instant at which that much was known. */
  readonly knownAtMs: number;
  readonly until: Date;
}

/** The longest window that a policy can give. */
const longestSeconds = 86_400;

export class UseMemory {
  readonly #most: number;
  readonly #seen = new Map<string, Remembered>();

  constructor(most = 10_000) {
    this.#most = most;
  }

  /** Notes uses and end of an approval, never fewer than before. */
  note(approval: Approval, { now, monotonicMs }: { readonly now: Date; readonly monotonicMs: number }): void {
    const uses = approval.status?.uses?.length ?? 0;
    const ended = isEnded(approval);
    if (uses === 0 && !ended) return;
    const { uid } = approval.metadata;
    const before = this.#seen.get(uid);
    const { usableUntil } = approval.status ?? {};
    const longest = after(now, longestSeconds).getTime();
    const untilMs = usableUntil === undefined ? longest : after(new Date(usableUntil), requestCapSeconds).getTime();
    // Nobody can use it any more, whatever it says.
    if (untilMs <= now.getTime()) return;
    const isNews = before === undefined || uses > before.uses || (ended && !before.isEnded);
    // The order of the map is the order in which they were noted: the oldest goes first.
    this.#seen.delete(uid);
    this.#seen.set(uid, {
      uses: Math.max(uses, before?.uses ?? 0),
      isEnded: ended || before?.isEnded === true,
      knownAtMs: isNews ? monotonicMs : before.knownAtMs,
      until: new Date(Math.min(untilMs, longest)),
    });
    this.#forget(now);
  }

  /**
   * True when the approval was known, before the read that shows it began, to have more uses than it shows or to have
   * ended. What became known during the read proves nothing: the read is just late.
   */
  knowsMore(approval: Approval, readBeganAtMs: number): boolean {
    const seen = this.#seen.get(approval.metadata.uid);
    if (seen === undefined || seen.knownAtMs >= readBeganAtMs) return false;
    return seen.uses > (approval.status?.uses?.length ?? 0) || (seen.isEnded && !isEnded(approval));
  }

  #forget(now: Date): void {
    for (const [uid, { until }] of this.#seen) {
      if (this.#seen.size <= this.#most && until > now) return;
      this.#seen.delete(uid);
    }
  }
}
