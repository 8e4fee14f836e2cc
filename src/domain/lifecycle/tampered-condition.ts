// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The condition and the event that report parts of an approval without a valid seal.
import type { ApprovalStatus, Condition } from '../model/approval.ts';

export const tamperedType = 'Tampered';
const mostSentences = 4;

/** The condition while something has no valid seal; none otherwise. */
export function tamperedCondition(
  tampered: readonly string[],
  before: readonly Condition[],
  now: Date,
): readonly Condition[] {
  if (tampered.length === 0) return [];
  const more = tampered.length - mostSentences;
  const message = `${tampered.slice(0, mostSentences).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
  const earlier = before.find(({ type }) => type === tamperedType);
  const lastTransitionTime = earlier?.lastTransitionTime ?? now.toISOString();
  return [{ type: tamperedType, status: 'True', reason: 'NotSealed', message, lastTransitionTime }];
}

/** A warning event when the condition is new or its message has changed. */
export function tamperedEvent(before: ApprovalStatus | undefined, status: ApprovalStatus) {
  const messageOf = (of: ApprovalStatus | undefined) =>
    of?.conditions?.find(({ type }) => type === tamperedType)?.message;
  const message = messageOf(status);
  const isNews = message !== undefined && message !== messageOf(before);
  return isNews ? [{ type: 'Warning', reason: tamperedType, note: `ignored: ${message}`.slice(0, 1024) } as const] : [];
}
