// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whose votes count for what, and whether they suffice.
import type { Approval, Decision, SeenDecision, Stamp } from './approval.ts';
import { tallyByPolicy } from './by-policy.ts';
import { objectionToStamp } from './creation-vote.ts';
import { missingEnginesOf, objectionToEngine, voterOf } from './engine-vote.ts';
import type { Policy } from './policy.ts';
import { countVotes, cut, isApprover, mostEntries, namesServiceAccount, type Vote } from './quorum.ts';
import { objectionToSeal, type SealCheck } from './seal.ts';
import { type Identity, isGated } from './subject.ts';

export interface Tally {
  readonly required: number;
  readonly received: number;
  /** One sentence naming what is missing; empty when nothing is. */
  readonly missing: string;
  /** The instant at which the last vote that was needed came in; absent while votes are missing. */
  readonly approvedAt?: Date;
  /** The voters counted, sorted. */
  readonly voters: readonly string[];
  /** The first word that ended the approval, if any. */
  readonly stopped?: { readonly verdict: 'Deny' | 'Revoke' | 'Withdraw'; readonly by: string; readonly at: Date };
  readonly decisions: readonly SeenDecision[];
  /** What bears no seal of ours, each a sentence. */
  readonly tampered: readonly string[];
  /** Engines whose approval is missing. */
  readonly missingEngines: readonly string[];
}

/**
 * Counts the votes for an approval under the policy as it is now. `others`: all approvals on its target, read live; the
 * creator's own vote counts for nothing without them.
 */
export function tally(
  approval: Approval,
  decisions: readonly Decision[],
  policy: Policy,
  gatekeepers: readonly Policy[],
  others?: readonly Approval[],
): Tally {
  const requirements = policy.spec.approval.require ?? [];
  const votes: Vote[] = [];
  const seen: SeenDecision[] = [];
  let stopped: Tally['stopped'];

  const { origin, createdBy } = approval.spec;
  const objection = objectionToCreator(approval, policy, gatekeepers, others);
  if (origin === 'Applied' && objection === undefined)
    votes.push({ voter: identityOf(createdBy), at: new Date(approval.metadata.creationTimestamp) });
  for (const decision of decisions.filter((one) => isAbout(one, approval)).sort(byInstant)) {
    const word = judged(decision, approval, policy, gatekeepers);
    seen.push(word.seen);
    if (!word.seen.counted) continue;
    const { verdict } = decision.spec;
    if (verdict === 'Approve') votes.push({ voter: word.voter, at: word.at });
    if (verdict === 'Deny' || verdict === 'Revoke' || verdict === 'Withdraw') {
      stopped ??= { verdict, by: word.voter.username, at: word.at };
    }
  }
  for (const word of objectionsGone(approval, decisions)) {
    seen.push(word);
    stopped ??= { verdict: word.verdict, by: word.decidedBy, at: new Date(word.decidedAt) };
  }
  const counted =
    origin === 'Auto'
      ? tallyByPolicy(approval, policy)
      : countVotes(votes, requirements, approval.status?.engines ?? []);
  const isToBeSaid = objection !== undefined && counted.missing !== '';
  return {
    ...counted,
    ...(isToBeSaid ? { missing: cut(`the creator's vote does not count (${objection}); ${counted.missing}`) } : {}),
    ...(stopped === undefined ? {} : { stopped }),
    decisions: mostTelling(seen),
    tampered: tamperedIn(approval, decisions),
    missingEngines: origin === 'Auto' ? [] : missingEnginesOf(policy.spec, votes),
  };
}

/** What was written past stepup: none of it counts, and people should know. */
function tamperedIn(approval: Approval, decisions: readonly Decision[]): readonly string[] {
  const { seals, status } = approval;
  const sentence = (what: string, check: SealCheck) => {
    const objection = objectionToSeal(check);
    return objection === undefined ? [] : [`${what}: ${objection}`];
  };
  return [
    ...sentence('the approval itself', seals.creation),
    ...(status?.releases ?? []).flatMap(({ use }, index) =>
      sentence(`the release of use ${use}`, seals.releases[index] ?? 'Missing'),
    ),
    ...decisions
      .filter(({ spec }) => spec.approval.uid === approval.metadata.uid)
      .flatMap(({ metadata, seal }) => sentence(`decision ${metadata.name}`, seal)),
  ];
}

type Stop = SeenDecision & { readonly verdict: NonNullable<Tally['stopped']>['verdict'] };

/**
 * The words that stopped the approval and are no longer there. One denial is final: whoever may delete a decision takes
 * back no denial of an approval that is reserved and has not reached its end. Status is believed here, for it only closes.
 */
function objectionsGone({ status }: Approval, decisions: readonly Decision[]): readonly Stop[] {
  const isStop = (word: SeenDecision): word is Stop => ['Deny', 'Revoke', 'Withdraw'].includes(word.verdict);
  const left = new Set(decisions.map(({ metadata }) => metadata.uid));
  return (status?.decisions ?? []).filter((word): word is Stop => word.counted && isStop(word) && !left.has(word.uid));
}

/** Why it is no vote that somebody created the approval; undefined when it is one, or was not meant to be. */
function objectionToCreator(
  approval: Approval,
  policy: Policy,
  gatekeepers: readonly Policy[],
  others: readonly Approval[] | undefined,
): string | undefined {
  const { origin, createdBy } = approval.spec;
  if (origin === undefined) return "it was created while stepup's webhook was away; create it again";
  if (origin !== 'Applied') return undefined;
  if (createdBy === undefined) return 'it is not stamped; create it again';
  const unsealed = objectionToSeal(approval.seals.creation);
  if (unsealed !== undefined) return `${unsealed}; create it again`;
  return objectionTo(createdBy, approval, policy, gatekeepers) ?? objectionToStamp(approval, others);
}

/** True when a decision speaks of this very approval and of the digest it carries. */
function isAbout(decision: Decision, approval: Approval): boolean {
  const { name, uid, digest } = decision.spec.approval;
  return (
    name === approval.metadata.name &&
    uid === approval.metadata.uid &&
    decision.metadata.namespace === approval.metadata.namespace &&
    digest === approval.spec.change?.digest
  );
}

function byInstant(a: Decision, b: Decision): number {
  return decidedAtOf(a).getTime() - decidedAtOf(b).getTime() || a.metadata.uid.localeCompare(b.metadata.uid);
}

function decidedAtOf(decision: Decision): Date {
  const at = new Date(decision.spec.decidedAt ?? decision.metadata.creationTimestamp);
  return Number.isNaN(at.getTime()) ? new Date(decision.metadata.creationTimestamp) : at;
}

function judged(decision: Decision, approval: Approval, policy: Policy, gatekeepers: readonly Policy[]) {
  const { verdict, decidedBy, reason } = decision.spec;
  const at = decidedAtOf(decision);
  const voter = voterOf(decision.spec, identityOf(decidedBy));
  const objection =
    decidedBy === undefined
      ? 'it is not stamped'
      : (objectionToSeal(decision.seal) ??
        (voter.engine === undefined
          ? objectionToWord(verdict, decidedBy, approval, policy, gatekeepers)
          : objectionToEngine(voter.engine, verdict, policy)));
  const seen: SeenDecision = {
    name: decision.metadata.name,
    uid: decision.metadata.uid,
    verdict,
    decidedBy: voter.username,
    decidedAt: at.toISOString(),
    ...(reason === undefined ? {} : { reason }),
    counted: objection === undefined,
    ...(objection === undefined ? {} : { why: cut(objection) }),
  };
  return { seen, at, voter };
}

/** Why this word of this person does not count; undefined when it does. */
export function objectionToWord(
  verdict: Decision['spec']['verdict'],
  decidedBy: Stamp,
  approval: Approval,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  if (verdict === 'Withdraw') {
    const mayWithdraw = [approval.spec.requester.username, approval.spec.createdBy?.username];
    return mayWithdraw.includes(decidedBy.username) ? undefined : 'only the requester or the creator may withdraw';
  }
  return objectionTo(decidedBy, approval, policy, gatekeepers);
}

/** Why an identity may not vote on an approval; undefined when it may. */
export function objectionTo(
  voter: Stamp,
  approval: { readonly spec: { readonly requester: { readonly username: string } } },
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  const who = identityOf(voter);
  if (who.username === approval.spec.requester.username) return 'the requester may not approve its own action';
  const requirements = policy.spec.approval.require ?? [];
  const meets = requirements.filter((requirement) => isApprover(requirement, who));
  const isNamed = meets.some((requirement) => namesServiceAccount(requirement, who.username));
  // Gated by any policy, not by this one alone: what one gated account may not do, two must not do for each other.
  if (!isNamed && [policy, ...gatekeepers].some((gatekeeper) => isGated(gatekeeper.spec.subjects, who))) {
    return `${who.username} is gated itself and not named as a delegate`;
  }
  if (meets.length === 0) return `${who.username} is no approver of policy ${policy.metadata.name}`;
  return undefined;
}

function identityOf(stamp: Stamp | undefined): Identity {
  return { username: stamp?.username ?? '', groups: stamp?.groups ?? [] };
}

/** Those that count first, so that words that do not cannot push others out. */
function mostTelling(seen: readonly SeenDecision[]): readonly SeenDecision[] {
  if (seen.length <= mostEntries) return seen;
  return [...seen.filter(({ counted }) => counted), ...seen.filter(({ counted }) => !counted)].slice(0, mostEntries);
}
