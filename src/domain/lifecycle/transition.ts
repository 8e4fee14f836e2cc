// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
import { defined } from '../../lib/json.ts';

// One step in the life of an approval, as the audit record reports it: from which phase to which, by whom and why.

import { versionOf } from '../change/change-digest.ts';
import { type Approval, type ApprovalStatus, type Phase, type SeenDecision, usesOf } from '../model/approval.ts';

export interface Transition {
  readonly approval: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly policy: string;
  readonly requester: string;
  readonly action: {
    readonly operation: string;
    readonly group: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name: string;
  };
  readonly origin?: string;
  readonly digest?: string;
  readonly digestVersion?: string;
  /** Absent in the first record of an approval. */
  readonly from?: Phase;
  readonly to: Phase;
  readonly reason: TransitionReason;
  /** Who caused it. */
  readonly by: readonly Actor[];
  /** The voters whose votes count, in records of an approval that was given or used. */
  readonly approvedBy?: readonly string[];
  /** Of the admission review that used it. */
  readonly requestUID?: string;
}

export interface Actor {
  readonly kind: 'Requester' | 'Creator' | 'Voter' | 'Delegate' | 'BreakGlass' | 'Engine' | 'Policy' | 'Operator';
  readonly name: string;
  /** The account that passed the vote on. */
  readonly via?: string;
}

/** Why: the end itself, the evidence of use, or how it came about. */
export type TransitionReason =
  | 'Filed'
  | 'Asked'
  | 'Applied'
  | 'AutoApproved'
  | 'Approved'
  | 'BreakGlass'
  | 'Reviewed'
  | 'Reserved'
  | 'ReservedAnew'
  | 'Released'
  | 'Observed'
  | 'Admitted'
  | 'Unconfirmed'
  | 'Denied'
  | 'Revoked'
  | 'Withdrawn'
  | 'TimedOut'
  | 'Expired'
  | 'Superseded';

/** The first record of an approval that a policy gave by itself: it is created together with its use. */
export function creationOf(approval: Approval): Transition {
  const { policy } = approval.spec;
  return {
    ...about(approval),
    to: 'Reserved',
    reason: 'AutoApproved',
    by: [{ kind: 'Policy', name: policy.name }],
    ...usedBy(approval, approval.status),
  };
}

/**
 * The step that a written status made from the approval as it was before; undefined if it made none.
 * `voters`: the voters whose votes count, if they were counted.
 */
export function transitionOf(
  approval: Approval,
  status: ApprovalStatus,
  voters: readonly string[] = [],
): Transition | undefined {
  const { phase: to } = status;
  if (to === undefined) return undefined;
  const from = phaseBefore(approval);
  const isUsedAnew = to === 'Reserved' && usesOf({ ...approval, status }).length > usesOf(approval).length;
  const isReview = status.review !== undefined && status.review !== approval.status?.review;
  if (from === to && !isUsedAnew && !isReview) return undefined;
  const reason = reasonOf(approval, status, { from, to, isUsedAnew });
  const approvedBy = reason === 'Approved' || reason === 'BreakGlass' ? { approvedBy: voters } : {};
  return {
    ...about(approval),
    ...defined({ from }),
    to,
    reason,
    by: actorsOf(reason, approval, status, voters),
    ...(isUsedAnew ? usedBy(approval, status) : approvedBy),
  };
}

/** An approval that was created with its use is reserved from the start, even if its status does not say so yet. */
function phaseBefore({ spec, status }: Approval): Phase | undefined {
  return status?.phase ?? (spec.use === undefined ? undefined : 'Reserved');
}

function reasonOf(
  { spec, status: before }: Approval,
  status: ApprovalStatus,
  { from, to, isUsedAnew }: { readonly from: Phase | undefined; readonly to: Phase; readonly isUsedAnew: boolean },
): TransitionReason {
  if (from === to && !isUsedAnew) return status.review === 'Done' ? 'Reviewed' : 'BreakGlass';
  switch (to) {
    case 'Pending':
      return spec.origin === 'Asked' ? 'Asked' : spec.origin === 'Applied' ? 'Applied' : 'Filed';
    case 'Approved':
      if (from === 'Reserved') return 'Released';
      return status.review !== undefined && before?.review === undefined ? 'BreakGlass' : 'Approved';
    case 'Reserved':
      return from === 'Reserved' ? 'ReservedAnew' : 'Reserved';
    case 'Consumed':
      return status.evidence ?? 'Unconfirmed';
    default:
      return to;
  }
}

function actorsOf(
  reason: TransitionReason,
  { spec }: Approval,
  { decisions = [] }: ApprovalStatus,
  voters: readonly string[],
): readonly Actor[] {
  const said = (verdict: SeenDecision['verdict']) =>
    decisions.filter((vote) => vote.counted && vote.verdict === verdict).map(actorOf);
  const requester: Actor = { kind: 'Requester', name: spec.requester.username };
  const creator: Actor = { kind: 'Creator', name: spec.createdBy?.username ?? '' };
  switch (reason) {
    case 'Filed':
    case 'Reserved':
    case 'ReservedAnew':
      return [requester];
    case 'Asked':
    case 'Applied':
      return [creator];
    case 'Approved':
    case 'BreakGlass': {
      const told = said('Approve');
      const isCreators = spec.origin === 'Applied' && voters.includes(creator.name);
      return isCreators && !told.some(({ name }) => name === creator.name) ? [creator, ...told] : told;
    }
    case 'Reviewed':
      return said('Review');
    case 'Denied':
      return said('Deny');
    case 'Revoked':
      return said('Revoke');
    case 'Withdrawn':
      return said('Withdraw');
    default:
      return [{ kind: 'Operator', name: 'stepup' }];
  }
}

function actorOf({ decidedBy, decidedVia, bypass }: SeenDecision): Actor {
  if (decidedBy.startsWith('engine ')) return { kind: 'Engine', name: decidedBy.slice('engine '.length) };
  if (bypass === true) return { kind: 'BreakGlass', name: decidedBy };
  return decidedVia === undefined
    ? { kind: 'Voter', name: decidedBy }
    : { kind: 'Delegate', name: decidedBy, via: decidedVia };
}

function usedBy(approval: Approval, status: ApprovalStatus | undefined): Pick<Transition, 'approvedBy' | 'requestUID'> {
  const use = usesOf(status === undefined ? approval : { ...approval, status }).at(-1);
  return {
    approvedBy: use?.votes ?? [],
    ...(use?.requestUID === undefined ? {} : { requestUID: use.requestUID }),
  };
}

function about({
  metadata,
  spec,
}: Approval): Pick<Transition, 'approval' | 'policy' | 'requester' | 'action' | 'origin' | 'digest' | 'digestVersion'> {
  const { namespace, name, uid } = metadata;
  const { operation, group, resource, subresource, namespace: home, name: target } = spec.action;
  const digest = spec.change?.digest;
  return {
    approval: { namespace, name, uid },
    policy: spec.policy.name,
    requester: spec.requester.username,
    action: {
      operation,
      group: group ?? '',
      resource,
      ...(subresource ? { subresource } : {}),
      ...(home ? { namespace: home } : {}),
      name: target,
    },
    ...defined({ origin: spec.origin }),
    ...(digest === undefined ? {} : { digest, digestVersion: versionOf(spec) }),
  };
}
