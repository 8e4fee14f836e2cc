// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What happens to an approval next: from its votes, its target and the time to a status, events, and when to look
// again.

import { defined, isSameAsSent } from '../../lib/json.ts';
import { targetKeyOf } from '../change/attempt.ts';
import {
  type Abstention,
  type Approval,
  type ApprovalStatus,
  type Decision,
  type End,
  isEnded,
} from '../model/approval.ts';
import { after, type Life, lifeOf, requestCapSeconds } from '../model/deadlines.ts';
import { defaultPendingSeconds, grantOf, type Policy } from '../model/policy.ts';
import type { Seen } from '../model/seen.ts';
import { isUnreviewed, keptFrom, reviewCondition, reviewedStatus } from '../votes/break-glass.ts';
import { withAbstentions } from '../votes/engine-vote.ts';
import { tally } from '../votes/tally.ts';
import type { Tally } from '../votes/vote.ts';
import { type NextPhase, statusOf, summaryOf } from './approval-status.ts';
import { isFiledByUs } from './content-verified.ts';
import { openUseOf } from './reservation.ts';
import { settle } from './settle.ts';
import { tamperedEvent } from './tampered-condition.ts';

export interface Situation {
  readonly approval: Approval;
  readonly decisions: readonly Decision[];
  /** Engines that were called and did not decide, as far as this operator knows. */
  readonly abstentions?: readonly Abstention[];
  /** The current policy; absent when it does not exist. */
  readonly policy?: Policy;
  readonly policies: readonly Policy[];
  /** The other live approvals on the same target; also ended ones if the creator's vote depends on them. */
  readonly siblings: readonly Approval[];
  /** What was seen of the target of an open reservation. */
  readonly seen: Seen;
  readonly retentionSeconds: number;
  readonly now: Date;
}

export interface Plan {
  /** The status to write by compare-and-swap; absent when nothing changes that is worth a write. */
  readonly status?: ApprovalStatus;
  readonly events: readonly PlannedEvent[];
  /** The voters whose votes count, if they were counted. */
  readonly voters?: readonly string[];
  /** When to look again, even if nothing happens. */
  readonly nextAt?: Date;
  /** Its retention period is over. */
  readonly isToBeRemoved: boolean;
  /** Only time says that the admitted change did not happen: look at the target once more and plan again, then write. */
  readonly isToBeConfirmed: boolean;
}

export interface PlannedEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly note: string;
}

export function plan(situation: Situation): Plan {
  const { approval, now, policy, abstentions = [] } = situation;
  if (isEnded(approval)) return afterEnd(situation);
  if (policy === undefined) return withoutPolicy(situation);
  const engines = withAbstentions(approval.status?.engines ?? [], abstentions);
  const told = { ...approval, status: { ...approval.status, engines } };
  const votes = tally(told, situation.decisions, policy, situation.policies, situation.siblings);
  const life = lifeOf(approval, votes, policy);
  const outcome = outcomeOf(situation, votes, life);
  return { ...planWith(situation, statusOf(told, outcome, { votes, life, now }), outcome), voters: votes.voters };
}

/** An ended approval stays ended. A break-glass approval can still be reviewed, and is kept until it is. */
function afterEnd(situation: Situation): Plan {
  const { approval, decisions, policy, policies, siblings, retentionSeconds, now } = situation;
  const none = { events: [], isToBeRemoved: false, isToBeConfirmed: false };
  const votes = policy === undefined ? undefined : tally(approval, decisions, policy, policies, siblings);
  const status = votes === undefined ? undefined : reviewedStatus(approval, votes, now);
  if (status !== undefined) return { ...none, status, events: reviewEvents(approval, status) };
  if (isUnreviewed(approval)) return none;
  const removeAt = after(keptFrom(approval), retentionSeconds);
  return now >= removeAt ? { ...none, isToBeRemoved: true } : { ...none, nextAt: removeAt };
}

/** Without its policy no vote counts, so nothing is decided; a reservation is still settled. */
function withoutPolicy(situation: Situation): Plan {
  const { approval, now } = situation;
  const message = `policy ${approval.spec.policy.name} does not exist, so the approval covers no request`;
  const nothing = { voters: [], decisions: [], exposures: [], tampered: [], missingEngines: [] };
  const none: Tally = { required: 0, received: 0, missing: message, ...nothing };
  // The deadlines come from the policy too. The last known ones only decide how long to wait for it: they allow nothing.
  const waitsUntil = approval.status?.pendingUntil;
  const pendingUntil =
    waitsUntil === undefined
      ? after(new Date(approval.metadata.creationTimestamp), defaultPendingSeconds)
      : new Date(waitsUntil);
  const usableUntil = new Date(approval.status?.usableUntil ?? pendingUntil);
  const overAt = usableUntil > pendingUntil ? usableUntil : pendingUntil;
  const life: Life = { pendingUntil };
  const open = openUseOf(approval);
  if (open !== undefined) {
    const until = new Date(approval.status?.usableUntil ?? open.use.reservedAt);
    const outcome = settled(situation, open, none, {
      pendingUntil,
      usableUntil: until,
      readmittedUntil: after(until, requestCapSeconds),
    });
    return planWith(situation, statusOf(approval, outcome, { votes: none, life, now }), outcome);
  }
  const isOver = now >= overAt;
  const outcome: NextPhase = isOver ? { phase: 'TimedOut', message } : { phase: 'Pending', message, nextAt: overAt };
  return planWith(situation, statusOf(approval, outcome, { votes: none, life, now }), outcome);
}

function outcomeOf(situation: Situation, votes: Tally, life: Life): NextPhase {
  const { approval, now } = situation;
  const open = openUseOf(approval);
  if (open !== undefined) return settled(situation, open, votes, life);
  if (votes.stopped !== undefined) return stoppedBy(votes.stopped);
  if (life.usableUntil !== undefined) {
    if (now >= life.usableUntil) return { phase: 'Expired', message: 'approved but not used in time' };
    return { phase: 'Approved', message: 'approved and not used yet', nextAt: life.usableUntil };
  }
  if (now >= life.pendingUntil) return { phase: 'TimedOut', message: `not decided in time: ${votes.missing} missing` };
  const newer = newerContentOf(situation);
  if (newer !== undefined) return { phase: 'Superseded', message: `replaced by ${newer.metadata.name}` };
  return { phase: 'Pending', message: `${votes.missing} missing`, nextAt: life.pendingUntil };
}

function stoppedBy(stopped: NonNullable<Tally['stopped']>): NextPhase {
  const phases = { Deny: 'Denied', Revoke: 'Revoked', Withdraw: 'Withdrawn' } as const;
  const phase = phases[stopped.verdict];
  return { phase, message: `${phase.toLowerCase()} by ${stopped.by}` };
}

/** A newer approval for the same requester, policy, operation and target supersedes an undecided one. */
function newerContentOf({ approval, siblings, policy }: Situation): Approval | undefined {
  if (approval.spec.origin !== 'Denied') return undefined;
  const key = targetKeyOf(approval.spec);
  return siblings.find(
    (other) =>
      other.metadata.uid !== approval.metadata.uid &&
      other.spec.origin === 'Denied' &&
      isFiledByUs(other) &&
      !isEnded(other) &&
      other.spec.policy.name === approval.spec.policy.name &&
      targetKeyOf(other.spec) === key &&
      isForSameIdentity(approval, other, policy) &&
      isNewer(other, approval),
  );
}

/** If approvals bind to pods or credentials, a request of one pod does not supersede that of another. */
function isForSameIdentity(a: Approval, b: Approval, policy: Policy | undefined): boolean {
  const bindIdentity = policy === undefined ? 'ServiceAccount' : grantOf(policy).bindIdentity;
  switch (bindIdentity) {
    case 'ServiceAccount':
      return true;
    case 'Pod':
      return a.spec.requester.pod?.uid === b.spec.requester.pod?.uid;
    case 'Credential':
      return a.spec.requester.credential === b.spec.requester.credential;
  }
}

/** Creation timestamps are whole seconds: of two approvals from the same second neither is newer, so both stay. */
function isNewer(a: Approval, b: Approval): boolean {
  return a.metadata.creationTimestamp > b.metadata.creationTimestamp;
}

function settled(
  situation: Situation,
  open: NonNullable<ReturnType<typeof openUseOf>>,
  votes: Tally,
  life: Life,
): NextPhase {
  const { approval, now, seen } = situation;
  const { use, index } = open;
  const until = life.readmittedUntil ?? after(new Date(use.reservedAt), requestCapSeconds);
  const isOver = now >= until;
  switch (settle(use, seen)) {
    case 'Happened':
      return { phase: 'Consumed', evidence: 'Observed', message: 'stepup saw the approved change happen' };
    case 'Admitted':
      return { phase: 'Consumed', evidence: 'Admitted', message: 'the approved request was admitted' };
    case 'Untold':
      return {
        phase: 'Consumed',
        evidence: 'Unconfirmed',
        message: 'admitted; stepup can no longer find out whether the change happened',
      };
    case 'Lost': {
      const why = 'the next state of the target does not have the change, so the write lost to another one';
      const release = { use: index, releasedAt: now.toISOString(), why };
      const releases = [...(approval.status?.releases ?? []), release];
      return { ...afterRelease(votes, life, now), releases };
    }
    case 'Stands':
      if (!isOver) return { phase: 'Reserved', message: 'reserved for one request', nextAt: until };
      if (use.base.kind !== 'Creation') {
        return votes.stopped === undefined
          ? { phase: 'Expired', message: 'admitted, but stepup did not see the change happen' }
          : stoppedBy(votes.stopped);
      }
      return { phase: 'Consumed', evidence: 'Unconfirmed', message: 'admitted; stepup never saw the object' };
    case 'Unseen':
      if (!isOver) return { phase: 'Reserved', message: 'reserved for one request', nextAt: until };
      return {
        phase: 'Consumed',
        evidence: 'Unconfirmed',
        message: 'admitted; stepup is not allowed to read this kind',
      };
  }
}

function afterRelease(votes: Tally, life: Life, now: Date): NextPhase {
  if (votes.stopped !== undefined) return stoppedBy(votes.stopped);
  if (life.usableUntil === undefined || now >= life.usableUntil) {
    return { phase: 'Expired', message: 'the admitted change lost to another write, and the approval has expired' };
  }
  return {
    phase: 'Approved',
    message: 'approved again: the admitted change lost to another write',
    nextAt: life.usableUntil,
  };
}

const warningEnds: readonly End[] = ['Denied', 'Revoked', 'TimedOut', 'Expired'];

function planWith(situation: Situation, status: ApprovalStatus, outcome: NextPhase): Plan {
  const { approval, seen } = situation;
  const before = approval.status;
  const isMoved = before?.phase !== outcome.phase;
  const { action, requester } = summaryOf(approval);
  const note = `${action} by ${requester}: ${outcome.message}`;
  const type = warningEnds.some((end) => end === outcome.phase) ? 'Warning' : 'Normal';
  const events = [
    ...(isMoved ? [{ type, reason: outcome.phase, note } as const] : []),
    ...reviewEvents(approval, status),
    ...tamperedEvent(before, status),
  ];
  return {
    ...(isWorthWriting(before, status) ? { status, events } : { events: [] }),
    ...defined({ nextAt: outcome.nextAt }),
    isToBeRemoved: false,
    isToBeConfirmed: outcome.phase === 'Expired' && openUseOf(approval) !== undefined && seen.kind !== 'Nothing',
  };
}

/** A reservation says all that matters by its phase: a write about nothing but its conditions is left to the next one. */
function isWorthWriting(before: ApprovalStatus | undefined, status: ApprovalStatus): boolean {
  const isStillReserved = before?.phase === 'Reserved' && status.phase === 'Reserved';
  if (isStillReserved) return (before.decisions ?? []).length !== (status.decisions ?? []).length;
  return !isSameAsSent(before ?? {}, status);
}

/** Events about the use of break-glass, and about its review. */
function reviewEvents(approval: Approval, status: ApprovalStatus): readonly PlannedEvent[] {
  const condition = reviewCondition(status);
  if (condition === undefined || status.review === approval.status?.review) return [];
  const { action, requester } = summaryOf(approval);
  const type = condition.status === 'True' ? 'Warning' : 'Normal';
  return [{ type, reason: condition.reason, note: `${action} by ${requester}: ${condition.message}` }];
}
