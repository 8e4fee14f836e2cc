// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The metrics of the webhook. Labels have closed sets of values; policy is an existing policy, or unknown.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AllowedReason, DeniedReason } from '../domain/model/reason.ts';

export interface DecisionLabels {
  readonly policy: string;
  /** WouldDeny: by a policy in mode Observe. */
  readonly outcome: 'Allowed' | 'Denied' | 'NotGoverned' | 'WouldDeny';
  readonly reason: AllowedReason | DeniedReason;
  readonly isDryRun: boolean;
}

/** Why a call was answered without a decision. */
export type UndecidedReason = 'InvalidRequest' | 'Unreadable' | 'Busy' | 'Failed';

export type ReservationResult = 'reserved' | 'conflict' | 'uncertain' | 'failed';
export type FilingResult = 'created' | 'exists' | 'dropped' | 'failed';

export class WebhookMetrics {
  readonly #reviews: Counter<'path'>;
  readonly #undecided: Counter<'reason'>;
  readonly #decisions: Counter<'policy' | 'outcome' | 'reason' | 'dry_run'>;
  readonly #duration: Histogram;
  readonly #reservations: Counter<'result'>;
  readonly #filings: Counter<'result'>;
  readonly #liveReads: Counter;
  readonly #stamps: Counter<'kind' | 'result'>;
  readonly #certificate: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#reviews = new Counter({
      name: 'stepup_reviews_total',
      help: 'Calls received from the API server.',
      labelNames: ['path'],
      registers,
    });
    fromZero(this.#reviews, 'path', ['gate', 'observe', 'stamp', 'pin', 'watchdog', 'other']);
    this.#undecided = new Counter({
      name: 'stepup_undecided_reviews_total',
      help: 'Calls answered without a decision.',
      labelNames: ['reason'],
      registers,
    });
    fromZero(this.#undecided, 'reason', ['InvalidRequest', 'Unreadable', 'Busy', 'Failed']);
    this.#decisions = new Counter({
      name: 'stepup_decisions_total',
      help: 'Answers about requests.',
      labelNames: ['policy', 'outcome', 'reason', 'dry_run'],
      registers,
    });
    this.#duration = new Histogram({
      name: 'stepup_decision_duration_seconds',
      help: 'Seconds from the whole body of a review to the answer.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.#reservations = new Counter({
      name: 'stepup_reservations_total',
      help: 'Attempts to reserve an approval.',
      labelNames: ['result'],
      registers,
    });
    fromZero(this.#reservations, 'result', ['reserved', 'conflict', 'uncertain', 'failed']);
    this.#filings = new Counter({
      name: 'stepup_filings_total',
      help: 'Approvals filed for denied requests.',
      labelNames: ['result'],
      registers,
    });
    fromZero(this.#filings, 'result', ['created', 'exists', 'dropped', 'failed']);
    this.#liveReads = new Counter({
      name: 'stepup_live_reads_total',
      help: 'Live reads of the approvals of one target.',
      registers,
    });
    this.#stamps = new Counter({
      name: 'stepup_stamps_total',
      help: 'New approvals and votes that were stamped or refused.',
      labelNames: ['kind', 'result'],
      registers,
    });
    for (const kind of ['approval', 'decision'])
      for (const result of ['stamped', 'refused', 'failed']) this.#stamps.inc({ kind, result }, 0);
    this.#certificate = new Gauge({
      name: 'stepup_certificate_expiry_timestamp_seconds',
      help: 'When the serving certificate expires.',
      registers,
    });
  }

  review(path: 'gate' | 'observe' | 'stamp' | 'pin' | 'watchdog' | 'other'): void {
    this.#reviews.inc({ path });
  }

  undecided(reason: UndecidedReason): void {
    this.#undecided.inc({ reason });
  }

  decision({ policy, outcome, reason, isDryRun }: DecisionLabels): void {
    this.#decisions.inc({ policy, outcome, reason, dry_run: isDryRun ? 'true' : 'false' });
  }

  decisionTook(seconds: number): void {
    this.#duration.observe(seconds);
  }

  reservation(result: ReservationResult): void {
    this.#reservations.inc({ result });
  }

  filing(result: FilingResult): void {
    this.#filings.inc({ result });
  }

  liveRead(): void {
    this.#liveReads.inc();
  }

  stamp(kind: 'approval' | 'decision', result: 'stamped' | 'refused' | 'failed'): void {
    this.#stamps.inc({ kind, result });
  }

  certificateEndsAt(instant: Date): void {
    this.#certificate.set(instant.getTime() / 1000);
  }
}

/** From zero on, or nobody would see the first one rise. */
function fromZero<Label extends string>(counter: Counter<Label>, label: Label, values: readonly string[]): void {
  for (const value of values) counter.inc({ [label]: value } as Partial<Record<Label, string>>, 0);
}
