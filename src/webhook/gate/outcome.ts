// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The outcome of a review, and the answer to the API server and the requester.
import type { Answer } from '../../api/admission-review.ts';
import type { Attempt } from '../../domain/change/attempt.ts';
import type { Harmless } from '../../domain/change/change.ts';
import type { Denial } from '../../domain/decision/decide.ts';
import {
  denialDetails,
  denialMessage,
  observedMessage,
  observedRefusal,
  refusalDetails,
  refusalMessage,
} from '../../domain/decision/message.ts';
import type { Approval } from '../../domain/model/approval.ts';
import { grantOf, isEnforced, type Policy, requestRulesOf } from '../../domain/model/policy.ts';
import type { DeniedReason } from '../../domain/model/reason.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';

export type Verdict =
  | { readonly outcome: 'NotGoverned'; readonly reason: Harmless }
  | { readonly outcome: 'Allowed'; readonly reason: 'DryRun'; readonly policy: Policy; readonly digest?: string }
  | {
      readonly outcome: 'Allowed';
      readonly reason: 'Reserved' | 'Readmitted';
      readonly policy: Policy;
      /** namespace/name */
      readonly approval: string;
      readonly granted: Approval;
    }
  | AutoApproved
  | {
      readonly outcome: 'Denied';
      readonly reason: Denial['reason'];
      readonly policy: Policy;
      readonly attempt: Attempt;
      readonly denial: Denial;
      readonly namespace: string;
      /** The approvals on the target, ended ones too; absent in mode Observe, where nobody looks. */
      readonly others?: readonly Approval[];
    }
  | Refused
  | WouldDeny;

/** The policy itself has approved it; in mode Observe it only would have, and nothing was recorded. */
interface AutoApproved {
  readonly outcome: 'Allowed';
  readonly reason: 'AutoApproved';
  readonly policy: Policy;
  /** namespace/name */
  readonly approval?: string;
}

/** What a policy in mode Observe lets pass and Enforce would not. */
interface WouldDeny {
  readonly outcome: 'WouldDeny';
  readonly reason: DeniedReason;
  readonly policy: string;
  readonly warning?: string;
  /** It is the policy that would refuse; not stepup that could not tell. */
  readonly isPolicys: boolean;
}

/** A refusal that no approval lifts. */
export interface Refused {
  readonly outcome: 'Refused';
  readonly reason: DeniedReason;
  readonly policy: string;
  readonly hint?: string;
  /**
   * What it is about is not there. Clients are told 404, as they would be without stepup, so that a drain goes on. It
   * is a refusal all the same: let through, the request would end a namesake made in this moment.
   */
  readonly isAbsent?: true;
}

/** The status reason of every refusal that an approval lifts. */
const stepUpRequired = 'StepUpRequired';

export function answerOf(verdict: Verdict, request: AdmissionRequest): Answer {
  switch (verdict.outcome) {
    case 'NotGoverned':
      return {};
    case 'Allowed':
      return verdict.reason === 'DryRun' ? dryRunAnswer(verdict) : allowedAnswer(verdict);
    case 'Denied':
      return deniedAnswer(verdict, request);
    case 'Refused': {
      const { reason, policy, hint, isAbsent } = verdict;
      const message = refusalMessage(policy, reason, hint);
      const code = isAbsent === true ? 404 : 403;
      return {
        refusal: { code, reason, message, details: refusalDetails(policy, reason) },
        auditAnnotations: { policy, outcome: 'Denied', reason },
      };
    }
    case 'WouldDeny': {
      const { reason, policy, warning } = verdict;
      const warnings = warning === undefined ? {} : { warnings: [warning] };
      return { ...warnings, auditAnnotations: { policy, outcome: 'WouldDeny', reason } };
    }
  }
}

/** The verdict on a request where the policy only looks on. */
export function lookedOn(verdict: Verdict): Verdict {
  switch (verdict.outcome) {
    case 'Denied': {
      const { reason, policy, attempt, denial } = verdict;
      const { name } = policy.metadata;
      const warning = observedMessage(attempt, denial);
      return { outcome: 'WouldDeny', reason, policy: name, warning, isPolicys: true };
    }
    case 'Refused': {
      const { reason, policy } = verdict;
      const isPolicys = !unjudged.includes(reason);
      const warning = isPolicys ? { warning: observedRefusal(policy, reason) } : {};
      return { outcome: 'WouldDeny', reason, policy, isPolicys, ...warning };
    }
    default:
      return verdict;
  }
}

/** Refusals that say nothing about the request. */
const unjudged: readonly DeniedReason[] = ['NotReady', 'UnknownPolicy', 'InvalidRequest', 'Failed'];

function dryRunAnswer(verdict: Extract<Verdict, { reason: 'DryRun' }>): Answer {
  const { policy, digest } = verdict;
  const { name } = policy.metadata;
  const isAsked = isEnforced(policy);
  const warnings = [
    `stepup: ${name} ${isAsked ? 'requires' : 'observes; it would require'} approval for the real request`,
  ];
  // What somebody who asks ahead writes into spec.change.digest.
  if (isAsked && digest !== undefined && grantOf(policy).binding === 'Content')
    warnings.push(`stepup: change.digest ${digest}`);
  return { warnings, auditAnnotations: { policy: name, outcome: 'Allowed', reason: 'DryRun' } };
}

function allowedAnswer(verdict: Exclude<Extract<Verdict, { outcome: 'Allowed' }>, { reason: 'DryRun' }>): Answer {
  const { policy, reason, approval } = verdict;
  return {
    auditAnnotations: {
      policy: policy.metadata.name,
      outcome: 'Allowed',
      reason,
      ...(approval === undefined ? {} : { approval }),
    },
  };
}

/** An engine answers in moments, unlike people. */
const engineSeconds = 1;

function deniedAnswer(verdict: Extract<Verdict, { outcome: 'Denied' }>, request: AdmissionRequest): Answer {
  const { policy, attempt, denial, namespace, reason } = verdict;
  const { whenPending, retryAfterSeconds } = requestRulesOf(policy);
  // Clients do not retry a CONNECT, and a dry run must not wait for people.
  const waits = whenPending === 'Retry' && !request.dryRun && request.operation !== 'CONNECT';
  const waitSeconds = denial.waitsForEngines ? engineSeconds : retryAfterSeconds;
  return {
    refusal: {
      code: waits ? 429 : 403,
      reason: stepUpRequired,
      message: denialMessage(attempt, denial, namespace),
      details: denialDetails(attempt, denial, namespace, waits ? waitSeconds : undefined),
    },
    auditAnnotations: {
      policy: policy.metadata.name,
      outcome: 'Denied',
      reason,
      approval: `${namespace}/${denial.approvalName}`,
    },
  };
}
