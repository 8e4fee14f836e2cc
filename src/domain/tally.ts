// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whose votes count for what, and whether they suffice.
import type { Approval, Decision, SeenDecision, Stamp } from './approval.ts';
import { objectionToStamp } from './creation-vote.ts';
import { exposureOf, objectionToExposure } from './exposure.ts';
import { isSamePerson, type Person, personOf } from './person.ts';
import type { Policy, Requirement } from './policy.ts';
import { bypassersOf, type Glass, objectionToReview } from './review.ts';
import type { Identity } from './subject.ts';
import { identityOf, isApprover, objectionTo, objectionToWord, requirementsOf } from './voter.ts';

export interface Tally extends Glass {
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
  /** Votes that count though the requester could have given them itself, each a sentence. */
  readonly exposures: readonly string[];
}

interface Vote {
  /** Who may sit: for a delegate's vote the delegate. */
  readonly voter: Identity;
  /** Whose vote it is: each has one. */
  readonly person: Person;
  readonly at: Date;
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
  const requirements = requirementsOf(policy);
  const votes: Vote[] = [];
  const seen: SeenDecision[] = [];
  let stopped: Tally['stopped'];
  const exposures: (string | undefined)[] = [];
  let glass: Glass = {};
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
    const word = judged(decision, { approval, policy, gatekeepers, bypassers });
    seen.push(word.seen);
    if (!word.seen.counted) continue;
    const { verdict, bypass, reason } = decision.spec;
    const told = { by: word.person.username, at: word.at, reason };
    if (verdict === 'Approve')
      exposures.push(exposureOf(decision.spec.decidedVia ?? decision.spec.decidedBy ?? nobody));
    if (bypass === true) glass = { bypassed: glass.bypassed ?? told };
    else if (verdict === 'Approve') votes.push(word);
    else if (verdict === 'Review') glass = { ...glass, reviewed: told };
    else stopped ??= { verdict, by: told.by, at: told.at };
  }
  for (const word of objectionsGone(approval, decisions)) {
    seen.push(word);
    stopped ??= { verdict: word.verdict, by: word.decidedBy, at: new Date(word.decidedAt) };
  }
  const counted = withBypass(countVotes(votes, requirements), glass);
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
    ...(stopped === undefined ? {} : { stopped }),
    ...glass,
    decisions: mostTelling(seen),
  };
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
  return (
    objectionTo(createdBy, approval, policy, gatekeepers) ??
    objectionToExposure(createdBy, policy) ??
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
  const objection = objectionToDecision(decision, asked);
  const seen: SeenDecision = {
    name: decision.metadata.name,
    uid: decision.metadata.uid,
    verdict,
    decidedBy: decidedBy?.username ?? '',
    ...(decidedVia === undefined ? {} : { decidedVia: decidedVia.username }),
    decidedAt: at.toISOString(),
    ...(reason === undefined ? {} : { reason }),
    ...(bypass === true ? { bypass } : {}),
    counted: objection === undefined,
    ...(objection === undefined ? {} : { why: cut(objection) }),
  };
  const person = personOf(decidedBy ?? nobody);
  // A delegate sits where it is named itself, whomever it speaks for.
  const voter =
    decidedVia === undefined ? identityOf(decidedBy ?? nobody) : { username: decidedVia.username, groups: [] };
  return { seen, at, voter, person };
}

function objectionToDecision({ spec }: Decision, asked: Asked): string | undefined {
  const { approval, policy, gatekeepers, bypassers } = asked;
  const { decidedBy, verdict } = spec;
  if (decidedBy === undefined) return 'it is not stamped';
  const objection = objectionToWord({ ...spec, decidedBy }, approval, policy, gatekeepers);
  if (objection !== undefined || verdict !== 'Review') return objection;
  return objectionToReview(personOf(decidedBy), bypassers);
}

function countVotes(votes: readonly Vote[], requirements: readonly Requirement[]) {
  const required = requirements.reduce((sum, requirement) => sum + seatsOf(requirement), 0);
  const sorted = [...votes].sort((a, b) => a.at.getTime() - b.at.getTime());
  const counted: Vote[] = [];
  let received = 0;
  let approvedAt: Date | undefined;
  for (const vote of sorted) {
    if (counted.some((earlier) => isSamePerson(earlier.person, vote.person))) continue;
    counted.push(vote);
    received = seated(counted, requirements).length;
    if (received === required && required > 0) approvedAt ??= vote.at;
  }
  return {
    required,
    received,
    missing: missingOf(counted, requirements),
    voters: counted
      .slice(0, mostEntries)
      .map((vote) => vote.person.username)
      .sort(),
    ...(approvedAt === undefined ? {} : { approvedAt }),
  };
}

/** One bypass stands for all that is required; what was received besides is still told. */
function withBypass(votes: ReturnType<typeof countVotes>, { bypassed }: Glass) {
  if (bypassed === undefined) return votes;
  const { approvedAt } = votes;
  const isEarlier = approvedAt !== undefined && approvedAt < bypassed.at;
  const voters = [...new Set([bypassed.by, ...votes.voters])].slice(0, mostEntries).sort();
  return { ...votes, voters, missing: '', approvedAt: isEarlier ? approvedAt : bypassed.at };
}

function seatsOf(requirement: Requirement): number {
  return requirement.count ?? 1;
}

/**
 * The requirements whose seats the votes fill, one entry a seat: each person sits once, and the seats are given so
 * that as many as possible are filled (augmenting paths; a person of two groups must not block the other one's vote).
 */
function seated(votes: readonly Vote[], requirements: readonly Requirement[]): readonly Requirement[] {
  const seats = requirements.flatMap((requirement) => Array.from({ length: seatsOf(requirement) }, () => requirement));
  const sitter: (number | undefined)[] = seats.map(() => undefined);
  const seat = (vote: number, visited: Set<number>): boolean =>
    seats.some((requirement, at) => {
      const who = votes[vote]?.voter;
      if (who === undefined || visited.has(at) || !isApprover(requirement, who)) return false;
      visited.add(at);
      const other = sitter[at];
      if (other !== undefined && !seat(other, visited)) return false;
      sitter[at] = vote;
      return true;
    });
  votes.forEach((_, vote) => {
    seat(vote, new Set());
  });
  return seats.filter((_, at) => sitter[at] !== undefined);
}

function missingOf(votes: readonly Vote[], requirements: readonly Requirement[]): string {
  const filled = seated(votes, requirements);
  const parts = requirements.flatMap((requirement) => {
    const seats = seatsOf(requirement);
    const left = seats - filled.filter((one) => one === requirement).length;
    return left > 0
      ? [`${left} of ${seats} ${seats === 1 ? 'approval' : 'approvals'} by ${approversOf(requirement)}`]
      : [];
  });
  return cut(parts.join(', '));
}

/** The schema's bounds on status; what exceeded one could never be written. */
const mostCharacters = 512;
const mostEntries = 64;

function cut(text: string): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters - 1)}…`;
}

/** Those that count first, so that words that do not cannot push others out. */
function mostTelling(seen: readonly SeenDecision[]): readonly SeenDecision[] {
  if (seen.length <= mostEntries) return seen;
  return [...seen.filter(({ counted }) => counted), ...seen.filter(({ counted }) => !counted)].slice(0, mostEntries);
}

/** Who may meet a requirement, as people read it: the names the policy itself shows to everybody who may read it. */
function approversOf(requirement: Requirement): string {
  const { users = [], groups = [], serviceAccounts = [] } = requirement.approvers ?? {};
  const names = [
    ...groups.map((group) => `group ${group}`),
    ...users.map((user) => `user ${user}`),
    ...serviceAccounts.map(({ namespace, name }) => `service account ${namespace}/${name}`),
  ];
  return requirement.engine === undefined ? names.join(' or ') : `engine ${requirement.engine}`;
}
