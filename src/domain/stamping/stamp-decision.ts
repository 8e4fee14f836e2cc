// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What admission writes on a decision that somebody creates, and which it rejects.
import { defined, isObject, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import { hasTargetChanged } from '../lifecycle/target-drift.ts';
import { type Approval, type Decision, isEnded, type Verdict } from '../model/approval.ts';
import { after } from '../model/deadlines.ts';
import { approvalLabel } from '../model/labels.ts';
import { ownedBy } from '../model/owners.ts';
import { type Policy, requestRulesOf } from '../model/policy.ts';
import type { Requester } from '../model/request.ts';
import type { Seen } from '../model/seen.ts';
import { tally } from '../votes/tally.ts';
import { type CastBy, castOf, mismatchOf } from './cast-vote.ts';
import { objectionToCast } from './may-vote.ts';
import type { Right } from './rbac-verb.ts';
import { missingWarning, refused, type Stamping } from './stamping.ts';

export interface SubmittedDecision {
  readonly object: JsonObject;
  readonly namespace: string;
  readonly caller: Requester;
  /** The approval of the name it gives in its namespace, read live; absent when there is none. */
  readonly approval?: Approval;
  /** The votes on the approval so far. */
  readonly decisions: readonly Decision[];
  /** The policy of the approval; absent when there is none of that name. */
  readonly policy?: Policy;
  readonly policies: readonly Policy[];
  readonly now: Date;
  /** What RBAC says of the caller's verb on the policy. */
  readonly right: Right;
  /** Whom the requesting account names as its owners, read live. */
  readonly owners: readonly string[];
  readonly requesterMay?: string | undefined;
  /** What was seen of the approval's target just now. */
  readonly seen: Seen;
}

const verdicts: readonly Verdict[] = ['Approve', 'Deny', 'Revoke', 'Withdraw', 'Review'];

const changedWarning =
  'stepup: the target has changed since the approval was requested, so its preview may be out of date; look again';

function approveWarnings(
  submitted: SubmittedDecision,
  by: CastBy,
  approval: Approval,
  policy: Policy,
): readonly string[] {
  const { object, decisions, policies, namespace, now } = submitted;
  const pendingUntil = after(new Date(approval.metadata.creationTimestamp), requestRulesOf(policy).pendingTTLSeconds);
  const { name, uid } = approval.metadata;
  const digest = approval.spec.change?.digest;
  const vote: Decision = {
    metadata: { name: '', namespace, uid: '', creationTimestamp: now.toISOString() },
    spec: {
      approval: { name, uid, ...defined({ digest }) },
      verdict: 'Approve',
      ...by,
      bypass: valueAt(object, '/spec/bypass') === true,
      decidedAt: now.toISOString(),
    },
    seal: 'Sealed',
  };
  const votes = tally(approval, [...decisions, vote], policy, policies, []);
  const isLate = votes.approvedAt !== undefined && votes.approvedAt > pendingUntil;
  if (isLate) return [`stepup: too late: the approval had to be decided by ${pendingUntil.toISOString()}`];
  return [...(hasTargetChanged(approval, submitted.seen) === true ? [changedWarning] : []), ...missingWarning(votes)];
}

export function stampDecision(submitted: SubmittedDecision): Stamping {
  const { object, namespace, caller, approval, policy, now, owners } = submitted;
  const spec = object.spec;
  if (!isObject(spec)) return refused('spec: must be an object');
  const verdict = verdicts.find((one) => one === spec.verdict);
  if (verdict === undefined) {
    return refused(`spec.verdict: must be one of ${verdicts.join(', ')}, not ${textAt(spec, '/verdict').slice(0, 32)}`);
  }
  if (spec.decidedBy !== undefined && textAt(spec, '/decidedBy/username') !== caller.username) {
    return refused('spec.decidedBy: stepup sets it to the user who creates the decision; leave it out');
  }
  const mismatch = mismatchOf(spec, namespace, approval);
  if (mismatch !== undefined) return refused(mismatch);
  if (approval === undefined) return refused('there is no such approval');
  if (isEnded(approval) && verdict !== 'Review') {
    return refused(`the approval has ended; its phase is ${approval.status?.phase}`);
  }
  if (policy === undefined) {
    return refused(`there is no StepUpPolicy ${approval.spec.policy.name}, so no vote can count; create it first`);
  }
  const asked = { ...approval, spec: { ...approval.spec, requester: ownedBy(approval.spec.requester, owners) } };
  const cast = castOf({ ...submitted, verdict, spec, policy });
  if (typeof cast === 'string') return refused(cast);
  const objection = objectionToCast(cast.vote, { ...submitted, approval: asked, policy });
  if (objection !== undefined) return refused(objection);
  const { by } = cast;

  // decidedVia is written here or not at all.
  const { decidedVia: _, ...own } = spec;
  const stamped = { ...own, ...by, decidedAt: now.toISOString() };
  return {
    kind: 'Stamped',
    spec: stamped,
    labels: { [approvalLabel]: approval.metadata.uid },
    owner: { name: approval.metadata.name, uid: approval.metadata.uid },
    warnings: verdict === 'Approve' ? approveWarnings(submitted, by, approval, policy) : [],
  };
}
