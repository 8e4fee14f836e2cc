// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The condition Tampered of a policy: somebody changed what stepup depends on, and a person has to look into it.
import type { Condition } from '../model/approval.ts';

/** On a policy: the instant up to which somebody has looked. */
export const clearedAnnotation = 'stepup.dev/tampered-cleared';

/** A change by somebody else, restored if that is possible. */
export interface Tampering {
  readonly at: Date;
  /** One sentence, without a full stop. */
  readonly what: string;
}

export interface TamperedCondition {
  readonly type: 'Tampered';
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  /** For status True: the instant of the latest tampering. */
  readonly lastTransitionTime: string;
}

export interface Watchful {
  readonly metadata: {
    readonly creationTimestamp: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** Deletions in a loop are reported once, not with a write for each. */
const onceInMs = 1_000;
const never = Number.NEGATIVE_INFINITY;

/**
 * The new condition, from the one that the policy has and the latest tampering that this process has seen; undefined for
 * none. Only a person clears it, by an annotation with an instant that is not before the tampering (design, section 5). An
 * instant in the future clears nothing: otherwise one annotation would clear later tampering too.
 */
export function policyTamperedCondition(
  policy: Watchful,
  seen: Tampering | undefined,
  now: Date,
): TamperedCondition | undefined {
  const stored = (policy.status?.conditions ?? []).find(({ type }) => type === 'Tampered');
  const reportedAt = stored?.status === 'True' ? instantOf(stored.lastTransitionTime) : never;
  const clearedAt = clearedIn(policy, now);
  const seenAt = seen !== undefined && concerns(policy, seen, stored, clearedAt) ? seen.at.getTime() : never;
  if (Math.max(reportedAt, seenAt) === never) return stored && asTampered(stored, 'False');
  if (clearedAt >= Math.max(reportedAt, seenAt)) {
    const message = `cleared by annotation ${clearedAnnotation} at ${new Date(clearedAt).toISOString()}`;
    return { type: 'Tampered', status: 'False', reason: 'Cleared', message, lastTransitionTime: now.toISOString() };
  }
  if (seen === undefined || seenAt <= reportedAt + onceInMs) return stored && asTampered(stored, 'True');
  const at = seen.at.toISOString();
  const message =
    `${seen.what} at ${at}; find out who did it in the audit log, then clear this: ` +
    `kubectl annotate stepuppolicies --all --overwrite ${clearedAnnotation}="$(date -u +%FT%TZ)"`;
  return { type: 'Tampered', status: 'True', reason: 'ChangedByOthers', message, lastTransitionTime: at };
}

/** False for tampering before the policy was created, and for tampering that has been cleared. */
function concerns(policy: Watchful, { at }: Tampering, stored: Condition | undefined, clearedAt: number): boolean {
  if (at.getTime() < instantOf(policy.metadata.creationTimestamp)) return false;
  if (stored?.status !== 'False') return true;
  // If the annotation has been removed since, what it cleared stays cleared.
  return at.getTime() > (clearedAt === never ? instantOf(stored.lastTransitionTime) : clearedAt);
}

function clearedIn({ metadata }: Watchful, now: Date): number {
  const instant = instantOf(metadata.annotations?.[clearedAnnotation]);
  return instant <= now.getTime() ? instant : never;
}

function asTampered(
  { reason, message, lastTransitionTime }: Omit<Condition, 'type' | 'status'>,
  status: 'True' | 'False',
): TamperedCondition {
  return { type: 'Tampered', status, reason, message, lastTransitionTime };
}

/** An unreadable instant clears nothing. */
function instantOf(text: string | undefined): number {
  const instant = Date.parse(text ?? '');
  return Number.isNaN(instant) ? never : instant;
}
