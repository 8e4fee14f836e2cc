// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The status of an approval for people and clients: phase, votes, deadlines, conditions, and how to approve.

import { defined } from '../../lib/json.ts';
import {
  type Approval,
  type ApprovalStatus,
  type Condition,
  type Evidence,
  isEnded,
  type Phase,
} from '../model/approval.ts';
import type { Life } from '../model/deadlines.ts';
import { serviceAccountOf } from '../model/subject.ts';
import { reviewOf, votesText } from '../votes/break-glass.ts';
import { exposedCondition } from '../votes/exposure.ts';
import type { Tally } from '../votes/vote.ts';
import { contentCondition, isSeenByUs } from './content-verified.ts';
import { tamperedCondition } from './tampered-condition.ts';

/** The new phase of an approval and why, for its status. */
export interface NextPhase {
  readonly phase: Phase;
  readonly message: string;
  readonly nextAt?: Date;
  readonly evidence?: Evidence;
  readonly releases?: ApprovalStatus['releases'];
}

export function statusOf(
  approval: Approval,
  outcome: NextPhase,
  { votes, life, now }: { readonly votes: Tally; readonly life: Life; readonly now: Date },
): ApprovalStatus {
  const { engines: said = [], ...before } = approval.status ?? {};
  const engines = said.filter(({ name }) => votes.missingEngines.includes(name));
  const { review, conditions: reviewConditions } = reviewOf(before, votes, now);
  const isEnd = isEnded({ status: { phase: outcome.phase } });
  return {
    ...before,
    phase: outcome.phase,
    votes: votesText(votes.received, votes.required, review),
    required: votes.required,
    received: votes.received,
    missing: votes.missing,
    summary: summaryOf(approval),
    pendingUntil: life.pendingUntil.toISOString(),
    ...(life.approvedAt === undefined ? {} : { approvedAt: life.approvedAt.toISOString() }),
    ...(life.usableUntil === undefined ? {} : { usableUntil: life.usableUntil.toISOString() }),
    ...(isEnd ? { endedAt: now.toISOString() } : {}),
    ...defined({ evidence: outcome.evidence, review, releases: outcome.releases }),
    decisions: votes.decisions,
    ...(engines.length === 0 ? {} : { engines }),
    approveWith: approveWithOf(approval),
    conditions: [
      ...conditionsOf(outcome, before.conditions ?? [], now),
      contentCondition(approval, isSeenByUs(approval), now),
      ...reviewConditions,
      ...exposedCondition(votes.exposures, before.conditions ?? [], now),
      ...tamperedCondition(votes.tampered, before.conditions ?? [], now),
    ],
  };
}

/** Requester and action as short phrases, for columns and messages. */
export function summaryOf(approval: Pick<Approval, 'spec'>): { readonly requester: string; readonly action: string } {
  const { requester, action } = approval.spec;
  const account = serviceAccountOf(requester.username);
  const resource = action.subresource ? `${action.resource}/${action.subresource}` : action.resource;
  return {
    requester: account === undefined ? requester.username : `${account.namespace}/${account.name}`,
    action: `${action.operation} ${resource} ${action.name}`,
  };
}

/** A complete vote that approves, as one line of JSON, so that approving needs only kubectl. */
export function approveWithOf(approval: Approval): string {
  const { name, namespace, uid } = approval.metadata;
  const { digest } = approval.spec.change ?? {};
  return JSON.stringify({
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpDecision',
    metadata: { generateName: `${name}-`, namespace },
    spec: { approval: { name, uid, ...defined({ digest }) }, verdict: 'Approve' },
  });
}

const conditionOf: Record<string, readonly Phase[]> = {
  Ready: ['Approved', 'Reserved', 'Consumed'],
  Approved: ['Approved', 'Reserved', 'Consumed', 'Expired'],
  Denied: ['Denied', 'Revoked'],
  Consumed: ['Consumed'],
  Expired: ['Expired', 'TimedOut'],
};

function conditionsOf(outcome: NextPhase, before: readonly Condition[], now: Date): readonly Condition[] {
  return Object.entries(conditionOf).map(([type, phases]) => {
    const status = phases.includes(outcome.phase) ? 'True' : 'False';
    const earlier = before.find((condition) => condition.type === type);
    const isSame = earlier?.status === status;
    return {
      type,
      status,
      reason: outcome.evidence ?? outcome.phase,
      message: outcome.message,
      lastTransitionTime: isSame ? earlier.lastTransitionTime : now.toISOString(),
    };
  });
}
