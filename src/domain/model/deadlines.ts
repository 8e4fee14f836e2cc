// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The deadlines of an approval, computed from votes and policy. The status is never a source for them.

import type { Approval } from './approval.ts';
import { grantOf, type Policy, requestRulesOf } from './policy.ts';

/** After this the API server has given up on any request (its cap, measured). */
export const requestCapSeconds = 34;

export interface Life {
  /** Until then it can be decided. */
  readonly pendingUntil: Date;
  /** Set once there are enough votes, in time. */
  readonly approvedAt?: Date;
  /** The end of the use window; a reservation must be made before it. */
  readonly usableUntil?: Date;
  /** Until then a reservation that was made in time can be re-admitted. */
  readonly readmittedUntil?: Date;
}

/** votes: the instant of the last required vote; absent while votes are missing. */
export function lifeOf(approval: Approval, votes: { readonly approvedAt?: Date }, policy: Policy): Life {
  const pendingUntil = after(new Date(approval.metadata.creationTimestamp), requestRulesOf(policy).pendingTTLSeconds);
  const { approvedAt } = votes;
  if (approvedAt === undefined || approvedAt > pendingUntil) return { pendingUntil };
  const ttlSeconds = Math.min(grantOf(policy).ttlSeconds, approval.spec.ttlSeconds ?? Number.POSITIVE_INFINITY);
  const usableUntil = after(approvedAt, ttlSeconds);
  return { pendingUntil, approvedAt, usableUntil, readmittedUntil: after(usableUntil, requestCapSeconds) };
}

export function after(instant: Date, seconds: number): Date {
  return new Date(instant.getTime() + seconds * 1000);
}
