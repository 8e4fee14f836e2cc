// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Why was I denied? One function from a request, the policies and the approvals to a decision. It starts undecided;
// only a reason of allowedReasons allows.

import { defined } from '../../lib/json.ts';
import { isOnce, isUseOf, openUseOf, reservedStatus } from '../lifecycle/reservation.ts';
import { type Approval, type ApprovalStatus, byAge, type Use } from '../model/approval.ts';
import type { Policy } from '../model/policy.ts';
import { waitsForEngines } from '../votes/engine-vote.ts';
import { tally } from '../votes/tally.ts';
import { autoAnswer } from './auto-approval.ts';
import { type Candidate, covers, nextName, type Question, unfiled, weigh } from './candidate.ts';
import { missingElsewhere, type Waiting } from './other-policies.ts';

export type Outcome =
  | {
      readonly outcome: 'Allowed';
      readonly reason: 'Reserved';
      readonly approval: Approval;
      readonly status: ApprovalStatus;
    }
  | { readonly outcome: 'Allowed'; readonly reason: 'Readmitted'; readonly approval: Approval }
  | AutoApproval
  | NeedsApproval
  /** The policy asks no people either. */
  | { readonly outcome: 'Rejected'; readonly reason: 'RateExceeded' };

/** The policy approves it by itself: once the approval of that name is created with that use. */
export interface AutoApproval {
  readonly outcome: 'Allowed';
  readonly reason: 'AutoApproved';
  readonly approvalName: string;
  readonly use: Use;
}

export interface NeedsApproval {
  readonly outcome: 'NeedsApproval';
  readonly reason: 'ApprovalRequired' | 'AlreadyUsed' | 'WaitingForOthers';
  /** One sentence without full stop: what is missing. */
  readonly missing: string;
  /** The approval to wait for, by name in the namespace where approvals of this target live. */
  readonly approvalName: string;
  /** The approval of that name where there is one; absent means that it is to be filed. */
  readonly approval?: Approval;
  /** A reservation of this very change is about to be settled: deciding again shortly may end otherwise. */
  readonly isSettling: boolean;
  /** It is another policy's, which files it itself. */
  readonly isElsewhere?: true;
  /** Only engines have not answered yet: asking again within a second may end otherwise. */
  readonly waitsForEngines: boolean;
  /** Refused for the sake of this policy, though nobody knows whether it governs the request: not to be done again. */
  readonly mayGovern?: string;
}

export function decide(question: Question): Outcome {
  const { attempt, now } = question;
  const candidates = question.view.approvals
    .filter((approval) => covers(approval, question))
    .sort(byAge)
    .map((approval) => weigh(approval, question));

  const readmitted = candidates.find(({ standing }) => standing.kind === 'SameUse');
  if (readmitted !== undefined) return { outcome: 'Allowed', reason: 'Readmitted', approval: readmitted.approval };

  for (const { approval, standing, ...by } of candidates) {
    if (standing.kind !== 'Usable') continue;
    const waiting = missingElsewhere(question, approval);
    if (waiting !== undefined) return needsApproval(question, candidates, waiting);
    const lost = standing.lost === undefined ? {} : { lost: standing.lost };
    return {
      outcome: 'Allowed',
      reason: 'Reserved',
      approval,
      status: reservedStatus(approval, attempt, { ...by, now, ...lost }),
    };
  }
  const auto = autoAnswer(question, candidates);
  switch (auto.kind) {
    case 'Approves':
      return { outcome: 'Allowed', reason: 'AutoApproved', approvalName: auto.approvalName, use: auto.use };
    case 'Waits':
      return elsewhere(auto.waiting);
    case 'Spent':
      if ((question.policy.spec.approval.require ?? []).length === 0)
        return { outcome: 'Rejected', reason: 'RateExceeded' };
      return spentRate(question.policy, needsApproval(question, candidates, undefined));
    case 'Leaves':
      return needsApproval(question, candidates, undefined);
  }
}

/** The policy itself would approve, and only another one's approval is to be waited for. */
function elsewhere({ missing, approvalName, approval }: Waiting): NeedsApproval {
  return {
    outcome: 'NeedsApproval',
    reason: 'WaitingForOthers',
    missing,
    approvalName,
    ...defined({ approval }),
    isSettling: false,
    isElsewhere: true,
    waitsForEngines: false,
  };
}

function spentRate({ spec }: Policy, denial: NeedsApproval): NeedsApproval {
  const { ratePerHour } = spec.approval.auto ?? {};
  return { ...denial, missing: `the rate of ${ratePerHour} per hour is used up; ${denial.missing}` };
}

function needsApproval(
  question: Question,
  candidates: readonly Candidate[],
  waiting: Waiting | undefined,
): NeedsApproval {
  const { attempt, policy, policies, view, now } = question;
  const pending = candidates.find(({ standing }) => standing.kind === 'Undecided' || standing.kind === 'Usable');
  const reserved = candidates.filter(({ standing }) => standing.kind === 'OtherUse');
  const isOwn = reserved.some(({ approval }) => isUseOf(openUseOf(approval)?.use, attempt));
  const name = pending?.approval.metadata.name ?? nextName(question, candidates);
  const approval = pending?.approval ?? view.approvals.find((one) => one.metadata.name === name);
  const reason =
    waiting !== undefined
      ? 'WaitingForOthers'
      : pending === undefined && reserved.length > 0
        ? 'AlreadyUsed'
        : 'ApprovalRequired';
  const votes = pending?.tally ?? tally(unfiled(attempt, now), [], policy, policies);
  return {
    outcome: 'NeedsApproval',
    reason,
    missing:
      waiting?.missing ??
      (reason === 'AlreadyUsed'
        ? `the previous approval is reserved or consumed; ${votes.missing} missing`
        : `${votes.missing} missing`),
    approvalName: name,
    ...defined({ approval }),
    waitsForEngines: waiting === undefined && waitsForEngines(votes, pending?.approval.status?.engines ?? []),
    isSettling: isOwn && pending === undefined && !isOnce(attempt.change.base),
    ...(waiting?.mayGovern === undefined ? {} : { mayGovern: waiting.mayGovern }),
  };
}
