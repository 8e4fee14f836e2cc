// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The outcome of a review, and the answer to the API server and the requester.
import type { Answer } from '../../api/admission-review.ts';
import type { Attempt } from '../../domain/change/attempt.ts';
import type { Harmless } from '../../domain/change/change.ts';
import type { NeedsApproval } from '../../domain/decision/decide.ts';
import {
  denialDetails,
  denialMessage,
  observedMessage,
  observedRejection,
  rejectionDetails,
  rejectionMessage,
} from '../../domain/decision/message.ts';
import type { Approval } from '../../domain/model/approval.ts';
import { grantOf, isEnforced, type Policy, requestRulesOf } from '../../domain/model/policy.ts';
import type { DeniedReason } from '../../domain/model/reason.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import { defined } from '../../lib/json.ts';

export type GateOutcome =
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
      readonly outcome: 'NeedsApproval';
      readonly reason: NeedsApproval['reason'];
      readonly policy: Policy;
      readonly attempt: Attempt;
      readonly denial: NeedsApproval;
      readonly namespace: string;
      /** The approvals on the target, ended ones too; absent in mode Observe, where they are not read. */
      readonly others?: readonly Approval[];
    }
  | Rejected
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
  /** True if the policy would deny it, and not because stepup could not decide. */
  readonly isPolicys: boolean;
}

/** A denial that no approval lifts. */
export interface Rejected {
  readonly outcome: 'Rejected';
  readonly reason: DeniedReason;
  readonly policy: string;
  readonly hint?: string;
  /**
   * The target does not exist. Clients get 404, as they would without stepup, so that a drain goes on. It
   * is a denial all the same: if admitted, the request would end a new object of the same name.
   */
  readonly isAbsent?: true;
}

/** The status reason of every denial that an approval lifts. */
const stepUpRequired = 'StepUpRequired';

export function answerOf(outcome: GateOutcome, request: AdmissionRequest): Answer {
  switch (outcome.outcome) {
    case 'NotGoverned':
      return {};
    case 'Allowed':
      return outcome.reason === 'DryRun' ? dryRunAnswer(outcome) : allowedAnswer(outcome);
    case 'NeedsApproval':
      return deniedAnswer(outcome, request);
    case 'Rejected': {
      const { reason, policy, hint, isAbsent } = outcome;
      const message = rejectionMessage(policy, reason, hint);
      const code = isAbsent === true ? 404 : 403;
      return {
        refusal: { code, reason, message, details: rejectionDetails(policy, reason) },
        auditAnnotations: { policy, outcome: 'Denied', reason },
      };
    }
    case 'WouldDeny': {
      const { reason, policy, warning } = outcome;
      const warnings = warning === undefined ? {} : { warnings: [warning] };
      return { ...warnings, auditAnnotations: { policy, outcome: 'WouldDeny', reason } };
    }
  }
}

/** The outcome on a request where the policy only looks on. */
export function lookedOn(outcome: GateOutcome): GateOutcome {
  switch (outcome.outcome) {
    case 'NeedsApproval': {
      const { reason, policy, attempt, denial } = outcome;
      const { name } = policy.metadata;
      const warning = observedMessage(attempt, denial);
      return { outcome: 'WouldDeny', reason, policy: name, warning, isPolicys: true };
    }
    case 'Rejected': {
      const { reason, policy } = outcome;
      const isPolicys = !unjudged.includes(reason);
      const warning = isPolicys ? { warning: observedRejection(policy, reason) } : {};
      return { outcome: 'WouldDeny', reason, policy, isPolicys, ...warning };
    }
    default:
      return outcome;
  }
}

/** Denials that say nothing about the request. */
const unjudged: readonly DeniedReason[] = ['NotReady', 'UnknownPolicy', 'InvalidRequest', 'Failed'];

function dryRunAnswer(outcome: Extract<GateOutcome, { reason: 'DryRun' }>): Answer {
  const { policy, digest } = outcome;
  const { name } = policy.metadata;
  const isAsked = isEnforced(policy);
  const warnings = [
    `stepup: ${name} ${isAsked ? 'requires' : 'observes; it would require'} approval for the real request`,
  ];
  // The value of spec.change.digest for an approval that is requested ahead.
  if (isAsked && digest !== undefined && grantOf(policy).binding === 'Content')
    warnings.push(`stepup: change.digest ${digest}`);
  return { warnings, auditAnnotations: { policy: name, outcome: 'Allowed', reason: 'DryRun' } };
}

function allowedAnswer(outcome: Exclude<Extract<GateOutcome, { outcome: 'Allowed' }>, { reason: 'DryRun' }>): Answer {
  const { policy, reason, approval } = outcome;
  return {
    auditAnnotations: {
      policy: policy.metadata.name,
      outcome: 'Allowed',
      reason,
      ...defined({ approval }),
    },
  };
}

/** An engine answers in moments, unlike people. */
const engineSeconds = 1;

function deniedAnswer(outcome: Extract<GateOutcome, { outcome: 'NeedsApproval' }>, request: AdmissionRequest): Answer {
  const { policy, attempt, denial, namespace, reason } = outcome;
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
