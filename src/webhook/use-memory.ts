// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Remembers which approvals were seen used or ended, so that a restored or forged older state and a copy open nothing here.
import { type Approval, isEnded } from '../domain/approval.ts';
import { stampedForSeconds } from '../domain/creation-vote.ts';
import { after, requestCapSeconds } from '../domain/life.ts';

interface Remembered {
  readonly uses: number;
  readonly isEnded: boolean;
  /** The monotonic instant at which that much was known. */
  readonly knownAtMs: number;
  readonly until: Date;
}

export interface Instant {
  readonly now: Date;
  readonly monotonicMs: number;
}

/** The longest window that a policy can give. */
const longestSeconds = 86_400;

export class UseMemory {
  readonly #most: number;
  readonly #seen = new Map<string, Remembered>();
  /** By the nonce of the creator's stamp: the UID of the approval that was seen used or ended. */
  readonly #stamps = new Map<string, { readonly uid: string; readonly until: Date }>();

  #remembersStampsSinceMs = Number.NEGATIVE_INFINITY;

  constructor(most = 10_000) {
    this.#most = most;
  }

  /** Notes that an approval was deleted or has left the live ones, for whatever reason. */
  noteGone(approval: Approval, { now, monotonicMs }: Instant): void {
    this.note(approval, { now, monotonicMs });
    this.#noteStamp(approval, { now, monotonicMs });
  }

  /** The monotonic instant before which stamps may have been forgotten, for want of room. */
  get remembersStampsSinceMs(): number {
    return this.#remembersStampsSinceMs;
  }

  /** Notes uses and end of an approval, never fewer than before. */
  note(approval: Approval, { now, monotonicMs }: Instant): void {
    const uses = approval.status?.uses?.length ?? 0;
    const ended = isEnded(approval);
    if (uses === 0 && !ended) return;
    const { uid } = approval.metadata;
    this.#noteStamp(approval, { now, monotonicMs });
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
    if (this.#knowsOriginal(approval)) return true;
    const seen = this.#seen.get(approval.metadata.uid);
    if (seen === undefined || seen.knownAtMs >= readBeganAtMs) return false;
    return seen.uses > (approval.status?.uses?.length ?? 0) || (seen.isEnded && !isEnded(approval));
  }

  /** A copy that is made later than that does not count anyway. */
  #noteStamp({ metadata, spec }: Approval, { now, monotonicMs }: Instant): void {
    const { nonce } = spec.createdBy ?? {};
    if (nonce === undefined || this.#stamps.has(nonce)) return;
    this.#stamps.set(nonce, { uid: metadata.uid, until: after(now, 2 * stampedForSeconds) });
    for (const [oldest, { until }] of this.#stamps) {
      if (this.#stamps.size <= this.#most && until > now) return;
      if (until > now) this.#remembersStampsSinceMs = monotonicMs;
      this.#stamps.delete(oldest);
    }
  }

  /** True for another object with the same stamp. */
  #knowsOriginal({ metadata, spec }: Approval): boolean {
    const original = this.#stamps.get(spec.createdBy?.nonce ?? '');
    return original !== undefined && original.uid !== metadata.uid;
  }

  #forget(now: Date): void {
    for (const [uid, { until }] of this.#seen) {
      if (this.#seen.size <= this.#most && until > now) return;
      this.#seen.delete(uid);
    }
  }
}
