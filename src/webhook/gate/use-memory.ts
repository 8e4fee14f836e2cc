// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Remembers which approvals were used or have ended, so that neither a restored or forged older state nor a copy can be
// used.
import { type Approval, isEnded, usesOf } from '../../domain/model/approval.ts';
import { after, requestCapSeconds } from '../../domain/model/deadlines.ts';
import { stampedForSeconds } from '../../domain/votes/creation-vote.ts';

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

/** The longest use window that a policy can have. */
const longestSeconds = 86_400;

export class UseMemory {
  readonly #most: number;
  readonly #seen = new Map<string, Remembered>();
  /** Those applied by hand that were seen used, or go, by the nonce of their stamp. */
  readonly #originals = new Map<string, { readonly approval: Approval; readonly until: Date }>();

  #remembersSinceMs = Number.NEGATIVE_INFINITY;

  constructor(most = 10_000) {
    this.#most = most;
  }

  /** Notes that an approval was deleted or has left the live ones, for whatever reason. */
  noteGone(approval: Approval, { now, monotonicMs }: Instant): void {
    this.note(approval, { now, monotonicMs });
    this.#noteOriginal(approval, { now, monotonicMs });
  }

  /** The monotonic instant before which originals may have been forgotten, for want of room. */
  get remembersSinceMs(): number {
    return this.#remembersSinceMs;
  }

  /** Notes uses and end of an approval, never fewer than before. */
  note(approval: Approval, { now, monotonicMs }: Instant): void {
    const uses = usesOf(approval).length;
    const ended = isEnded(approval);
    if (uses === 0 && !ended) return;
    const { uid } = approval.metadata;
    this.#noteOriginal(approval, { now, monotonicMs });
    const before = this.#seen.get(uid);
    const { usableUntil } = approval.status ?? {};
    const longest = after(now, longestSeconds).getTime();
    const untilMs = usableUntil === undefined ? longest : after(new Date(usableUntil), requestCapSeconds).getTime();
    // It can no longer be used, whatever its status.
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
    return seen.uses > usesOf(approval).length || (seen.isEnded && !isEnded(approval));
  }

  /** The originals of copies among these that are not among them, as they were last seen. */
  originalsOf(approvals: readonly Approval[]): readonly Approval[] {
    const uids = new Set(approvals.map(({ metadata }) => metadata.uid));
    const known = approvals.map(({ spec }) => this.#originals.get(spec.createdBy?.nonce ?? '')?.approval);
    return [...new Set(known)].filter((one): one is Approval => one !== undefined && !uids.has(one.metadata.uid));
  }

  /** Until a copy that is made then does not count anyway. */
  #noteOriginal({ metadata, spec, status = {}, seals }: Approval, { now, monotonicMs }: Instant): void {
    const { nonce } = spec.createdBy ?? {};
    if (nonce === undefined) return;
    const known = this.#originals.get(nonce)?.approval ?? { metadata, spec: { ...spec, change: {} }, status, seals };
    // The order of the map is the order in which they were noted: the oldest goes first.
    this.#originals.delete(nonce);
    this.#originals.set(nonce, { approval: known, until: after(now, 2 * stampedForSeconds) });
    for (const [oldest, { until }] of this.#originals) {
      if (this.#originals.size <= this.#most && until > now) return;
      if (until > now) this.#remembersSinceMs = monotonicMs;
      this.#originals.delete(oldest);
    }
  }

  #forget(now: Date): void {
    for (const [uid, { until }] of this.#seen) {
      if (this.#seen.size <= this.#most && until > now) return;
      this.#seen.delete(uid);
    }
  }
}
