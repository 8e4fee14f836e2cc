// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Counts the votes on an approval: which of them count, for what, and whether they are enough.

import { defined } from '../../lib/json.ts';
import type { Approval, Decision, SeenDecision, Stamp } from '../model/approval.ts';
import { type Policy, requirementsOf } from '../model/policy.ts';
import { objectionToSeal, type SealCheck } from '../model/seal-check.ts';
import { tallyByPolicy } from './auto-vote.ts';
import { bypassersOf, objectionToReview } from './break-glass.ts';
import { objectionToStamp } from './creation-vote.ts';
import { identityOf, objectionToVote } from './eligibility.ts';
import { missingEnginesOf, objectionToEngine, voterOf } from './engine-vote.ts';
import { exposureOf } from './exposure.ts';
import { countVotes, cut, mostEntries } from './quorum.ts';
import { type Person, personOf } from './same-person.ts';
import type { ApprovingVote, BreakGlass, Tally } from './vote.ts';

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
  const requirements = requirementsOf(policy);
  const votes: ApprovingVote[] = [];
  const seen: SeenDecision[] = [];
  let stopped: Tally['stopped'];
  const exposures: (string | undefined)[] = [];
  let breakGlass: BreakGlass = {};
  const about = decisions.filter((one) => isAbout(one, approval)).sort(byInstant);
  const bypassers = bypassersOf(approval, about);

  const { origin, createdBy } = approval.spec;
  const objection = objectionToCreator(approval, policy, gatekeepers, others);
  if (origin === 'Applied' && objection === undefined && createdBy !== undefined) {
    const at = new Date(approval.metadata.creationTimestamp);
    votes.push({ voter: identityOf(createdBy), person: personOf(createdBy), at });
    exposures.push(exposureOf(createdBy));
  }
  for (const decision of about) {
    const cast = judged(decision, { approval, policy, gatekeepers, bypassers });
    seen.push(cast.seen);
    if (!cast.seen.counted) continue;
    const { verdict, bypass, reason } = decision.spec;
    const told = { by: cast.person.username, at: cast.at, reason };
    if (verdict === 'Approve')
      exposures.push(exposureOf(decision.spec.decidedVia ?? decision.spec.decidedBy ?? nobody));
    if (bypass === true) breakGlass = { bypassed: breakGlass.bypassed ?? told };
    else if (verdict === 'Approve') votes.push(cast);
    else if (verdict === 'Review') breakGlass = { ...breakGlass, reviewed: told };
    else stopped ??= { verdict, by: told.by, at: told.at };
  }
  for (const one of objectionsGone(approval, decisions)) {
    seen.push(one);
    stopped ??= { verdict: one.verdict, by: one.decidedBy, at: new Date(one.decidedAt) };
  }
  const given =
    origin === 'Auto'
      ? tallyByPolicy(approval, policy)
      : countVotes(votes, requirements, approval.status?.engines ?? []);
  const counted = withBypass(given, breakGlass);
  const told = exposures.filter((exposure) => exposure !== undefined);
  const besides = [
    ...(objection === undefined ? [] : [`the creator's vote does not count (${objection})`]),
    ...told.slice(0, 1),
  ];
  const missing = counted.missing === '' ? '' : cut([...besides, counted.missing].join('; '));
  return {
    ...counted,
    missing,
    exposures: told,
    ...defined({ stopped }),
    ...breakGlass,
    decisions: mostTelling(seen),
    tampered: tamperedIn(approval, decisions),
    missingEngines: origin === 'Auto' || breakGlass.bypassed !== undefined ? [] : missingEnginesOf(policy.spec, votes),
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
    ...(status?.preview === undefined ? [] : sentence('the preview in status', seals.preview ?? 'Missing')),
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
 * The votes that stopped the approval and no longer exist. One denial is final: whoever may delete a decision takes
 * back no denial of an approval that is reserved and has not reached its end. Status is believed here, for it only closes.
 */
function objectionsGone({ status }: Approval, decisions: readonly Decision[]): readonly Stop[] {
  const isStop = (vote: SeenDecision): vote is Stop => ['Deny', 'Revoke', 'Withdraw'].includes(vote.verdict);
  const left = new Set(decisions.map(({ metadata }) => metadata.uid));
  return (status?.decisions ?? []).filter((vote): vote is Stop => vote.counted && isStop(vote) && !left.has(vote.uid));
}

/** Why it is no vote that somebody created the approval; undefined when it is one, or was not meant to be. */
function objectionToCreator(
  approval: Approval,
  policy: Policy,
  gatekeepers: readonly Policy[],
  others: readonly Approval[] | undefined,
): string | undefined {
  const { origin, createdBy } = approval.spec;
  if (origin === undefined) return "it was created while the API server did not call stepup's webhook; create it again";
  if (origin !== 'Applied') return undefined;
  if (createdBy === undefined) return 'it is not stamped; create it again';
  const unsealed = objectionToSeal(approval.seals.creation);
  if (unsealed !== undefined) return `${unsealed}; create it again`;
  return (
    objectionToVote({ verdict: 'Approve', decidedBy: createdBy }, approval, policy, gatekeepers) ??
    objectionToStamp(approval, others)
  );
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

const nobody: Stamp = { username: '' };

interface Asked {
  readonly approval: Approval;
  readonly policy: Policy;
  readonly gatekeepers: readonly Policy[];
  readonly bypassers: readonly Person[];
}

function judged(decision: Decision, asked: Asked) {
  const { verdict, decidedBy, decidedVia, bypass, reason } = decision.spec;
  const at = decidedAtOf(decision);
  // A delegate sits where it is named itself, whomever it speaks for.
  const sitter =
    decidedVia === undefined ? identityOf(decidedBy ?? nobody) : { username: decidedVia.username, groups: [] };
  const voter = voterOf(decision.spec, sitter);
  const person = voter.engine === undefined ? personOf(decidedBy ?? nobody) : { username: voter.username };
  const objection = objectionToDecision(decision, voter.engine, asked);
  const seen: SeenDecision = {
    name: decision.metadata.name,
    uid: decision.metadata.uid,
    verdict,
    decidedBy: person.username,
    ...(decidedVia === undefined ? {} : { decidedVia: decidedVia.username }),
    decidedAt: at.toISOString(),
    ...defined({ reason }),
    ...(bypass === true ? { bypass } : {}),
    counted: objection === undefined,
    ...(objection === undefined ? {} : { why: cut(objection) }),
  };
  return { seen, at, voter, person };
}

function objectionToDecision({ spec, seal }: Decision, engine: string | undefined, asked: Asked): string | undefined {
  const { approval, policy, gatekeepers, bypassers } = asked;
  const { decidedBy, verdict } = spec;
  if (decidedBy === undefined) return 'it is not stamped';
  if (engine !== undefined) return objectionToSeal(seal) ?? objectionToEngine(engine, verdict, policy);
  const objection = objectionToSeal(seal) ?? objectionToVote({ ...spec, decidedBy }, approval, policy, gatekeepers);
  if (objection !== undefined || verdict !== 'Review') return objection;
  return objectionToReview({ ...spec, decidedBy }, bypassers);
}

/** One bypass stands for all that is required; what was received besides is still told. */
function withBypass(votes: ReturnType<typeof tallyByPolicy>, { bypassed }: BreakGlass) {
  if (bypassed === undefined) return votes;
  const { approvedAt } = votes;
  const isEarlier = approvedAt !== undefined && approvedAt < bypassed.at;
  const voters = [...new Set([bypassed.by, ...votes.voters])].slice(0, mostEntries).sort();
  return { ...votes, voters, missing: '', approvedAt: isEarlier ? approvedAt : bypassed.at };
}

/** Those that count first, so that votes that do not count cannot push others out. */
function mostTelling(seen: readonly SeenDecision[]): readonly SeenDecision[] {
  if (seen.length <= mostEntries) return seen;
  return [...seen.filter(({ counted }) => counted), ...seen.filter(({ counted }) => !counted)].slice(0, mostEntries);
}
