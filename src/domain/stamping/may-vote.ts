// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// May somebody cast this vote? One answer for a decision and for an approval that is applied by hand.
import type { Approval, Decision } from '../model/approval.ts';
import type { Policy } from '../model/policy.ts';
import { bypassersOf, isUnreviewed, objectionToReview } from '../votes/break-glass.ts';
import { objectionToVote, type Vote, type VotedOn } from '../votes/eligibility.ts';
import type { Right } from './rbac-verb.ts';

export interface Casting {
  /** With the owners of the requesting account as they are now. */
  readonly approval: VotedOn & Pick<Approval, 'status'>;
  /** The votes on it so far. */
  readonly decisions: readonly Decision[];
  readonly policy: Policy;
  readonly policies: readonly Policy[];
  /** What RBAC says of the caller's verb on the policy. */
  readonly right: Right;
}

/** Why the caller may not cast the vote, by the policy and then by RBAC; undefined when they may. */
export function objectionToCast(vote: Vote, casting: Casting): string | undefined {
  const { approval, policy, policies, right } = casting;
  return (
    objectionToVote(vote, approval, policy, policies) ??
    (vote.verdict === 'Review' ? objectionToReviewing(vote, casting) : undefined) ??
    (right.isGranted ? undefined : right.why)
  );
}

function objectionToReviewing(vote: Vote, { approval, decisions }: Casting): string | undefined {
  const objection = objectionToReview(vote, bypassersOf(approval, decisions));
  if (objection !== undefined) return objection;
  const isOver = approval.status?.review !== undefined && !isUnreviewed(approval);
  return isOver ? 'the approval has been reviewed already' : undefined;
}
