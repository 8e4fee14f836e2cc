// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a policy approves by itself (approval.auto). Each use has an approval of its own, created together with the use.

import type { Attempt } from '../change/attempt.ts';
import { digestVersion } from '../change/change-digest.ts';
import { useOf } from '../lifecycle/reservation.ts';
import type { Approval, ApprovalSpec } from '../model/approval.ts';
import { hypothetical } from '../model/hypothetical.ts';
import { type Candidate, isRefusedByPeople, nextName, type Question } from './candidate.ts';
import { missingElsewhere, type Waiting } from './other-policies.ts';

/** What the policy itself says to a request that nothing covers. */
export type AutoAnswer =
  /** approvalName: the approval to create with this use, which is its reservation. */
  | { readonly kind: 'Approves'; readonly approvalName: string; readonly use: NonNullable<ApprovalSpec['use']> }
  | { readonly kind: 'Waits'; readonly waiting: Waiting }
  /** The rate is spent. */
  | { readonly kind: 'Spent' }
  /** It is for people. */
  | { readonly kind: 'Leaves' };

/** Only on a live view: what people have said must be known. */
export function autoAnswer(question: Question, candidates: readonly Candidate[]): AutoAnswer {
  const { attempt, policy, view, now, autoOpen } = question;
  if (policy.spec.approval.auto === undefined) return { kind: 'Leaves' };
  // Once it waits for people, or they have refused it, the policy does not decide over their heads.
  const isAsked = candidates.some(({ standing }) => standing.kind === 'Undecided');
  const isRefused = view.approvals.some((one) => isRefusedByPeople(one, attempt));
  if (isAsked || isRefused) return { kind: 'Leaves' };
  if (autoOpen?.has(policy.metadata.name) !== true) return { kind: 'Spent' };
  const waiting = missingElsewhere(question, byPolicyOf(attempt, now));
  if (waiting !== undefined) return { kind: 'Waits', waiting };
  const approvalName = nextName(question, candidates);
  return { kind: 'Approves', approvalName, use: useOf(attempt, digestVersion, now, []) };
}

/** The approval that is about to be made, as the group asks about it. */
function byPolicyOf(attempt: Attempt, now: Date): Approval {
  const { policy, requester, action } = attempt;
  return hypothetical({ policy: { name: policy }, requester, action, origin: 'Auto' }, now, 'Sealed');
}
