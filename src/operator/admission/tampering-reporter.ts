// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reports every change by somebody else in the same way: log, event, metric and condition.
import type { Tampering } from '../../domain/integrity/policy-tampering.ts';
import type { EventRecorder, ObjectReference } from '../../kube/objects/events.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { Log } from '../../observe/log.ts';
import type { OperatorMetrics } from '../../observe/operator-metrics.ts';

export interface TamperingReporterOptions {
  /** A policy has something new to say. */
  readonly onNoticed: () => void;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly metrics: Pick<OperatorMetrics, 'restored' | 'tampering'>;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Noticed {
  /** What was changed: its kind counts in the metric. */
  readonly kind: string;
  readonly name: string;
  readonly what: string;
  /** Whose event it is, where not that of what was changed itself. */
  readonly regarding?: ObjectReference;
  /** False where it could not be put back. Default true. */
  readonly isPutBack?: boolean;
}

export class TamperingReporter {
  readonly #options: TamperingReporterOptions;
  #latest: Tampering | undefined;

  constructor(options: TamperingReporterOptions) {
    this.#options = options;
  }

  /** The latest that this process has seen. */
  get latest(): Tampering | undefined {
    return this.#latest;
  }

  notice({ kind, name, what, regarding, isPutBack = true }: Noticed): void {
    const { events, metrics, log, clock, onNoticed } = this.#options;
    const sentence = `${kind} ${name} was ${what} by someone else${isPutBack ? ' and has been restored' : ''}`;
    this.#latest = { at: clock.now(), what: sentence };
    log.warn({ kind, name, what }, isPutBack ? 'restored' : 'tampered with');
    metrics.tampering(kind);
    if (isPutBack) metrics.restored(kind);
    events.emit({
      regarding: regarding ?? { apiVersion: 'v1', kind, name },
      type: 'Warning',
      action: isPutBack ? 'Restore' : 'Report',
      reason: isPutBack ? 'Restored' : 'Tampered',
      note: sentence,
    });
    onNoticed();
  }
}

/** A Secret of ours that somebody else has changed or deleted. */
export function changedSecret(namespace: string, name: string): Noticed {
  const kind = 'Secret';
  return { kind, name, what: 'changed', regarding: { apiVersion: 'v1', kind, namespace, name } };
}
