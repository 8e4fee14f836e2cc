// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether votes fill all seats of a policy's requirements.

import { defined } from '../../lib/json.ts';
import type { Abstention } from '../model/approval.ts';
import type { Requirement } from '../model/policy.ts';
import { serviceAccountOf } from '../model/subject.ts';
import { missingEngine } from './engine-vote.ts';
import { isSamePerson } from './same-person.ts';
import type { ApprovingVote, Voter } from './vote.ts';

/** abstentions: why engines have not voted, to be told with what is missing. */
export function countVotes(
  votes: readonly ApprovingVote[],
  requirements: readonly Requirement[],
  abstentions: readonly Abstention[],
) {
  const required = requirements.reduce((sum, requirement) => sum + seatsOf(requirement), 0);
  const sorted = [...votes].sort((a, b) => a.at.getTime() - b.at.getTime());
  const counted: ApprovingVote[] = [];
  let received = 0;
  let approvedAt: Date | undefined;
  for (const vote of sorted) {
    if (counted.some((earlier) => isSameVote(earlier, vote))) continue;
    counted.push(vote);
    received = seated(counted, requirements).length;
    if (received === required && required > 0) approvedAt ??= vote.at;
  }
  return {
    required,
    received,
    missing: missingOf(counted, requirements, abstentions),
    voters: counted
      .slice(0, mostEntries)
      .map((vote) => vote.person.username)
      .sort(),
    ...defined({ approvedAt }),
  };
}

/** A person whose name reads like an engine's is not that engine. */
function isSameVote(a: ApprovingVote, b: ApprovingVote): boolean {
  if (a.voter.engine !== undefined || b.voter.engine !== undefined) return a.voter.engine === b.voter.engine;
  return isSamePerson(a.person, b.person);
}

function seatsOf(requirement: Requirement): number {
  return requirement.count ?? 1;
}

/**
 * The requirements whose seats the votes fill, one entry a seat: each person sits once, and the seats are given so
 * that as many as possible are filled (augmenting paths; a person of two groups must not block the other one's vote).
 */
function seated(votes: readonly ApprovingVote[], requirements: readonly Requirement[]): readonly Requirement[] {
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

function missingOf(
  votes: readonly ApprovingVote[],
  requirements: readonly Requirement[],
  abstentions: readonly Abstention[],
): string {
  const filled = seated(votes, requirements);
  const parts = requirements.flatMap((requirement) => {
    const seats = seatsOf(requirement);
    const left = seats - filled.filter((one) => one === requirement).length;
    if (left > 0 && requirement.engine !== undefined) return [missingEngine(requirement.engine, abstentions)];
    return left > 0
      ? [`${left} of ${seats} ${seats === 1 ? 'approval' : 'approvals'} by ${approversOf(requirement)}`]
      : [];
  });
  return cut(parts.join(', '));
}

export function isApprover(requirement: Requirement, who: Voter): boolean {
  if (requirement.engine !== undefined || who.engine !== undefined) return requirement.engine === who.engine;
  const { users = [], groups = [] } = requirement.approvers ?? {};
  return (
    users.includes(who.username) ||
    groups.some((group) => who.groups.includes(group)) ||
    namesServiceAccount(requirement, who.username)
  );
}

export function namesServiceAccount(requirement: Requirement, username: string): boolean {
  const account = serviceAccountOf(username);
  return (requirement.approvers?.serviceAccounts ?? []).some(
    ({ namespace, name }) => account?.namespace === namespace && account.name === name,
  );
}

/** Who may meet a requirement, as people read it: the names the policy itself shows to everybody who may read it. */
function approversOf(requirement: Requirement): string {
  const { users = [], groups = [], serviceAccounts = [] } = requirement.approvers ?? {};
  const names = [
    ...groups.map((group) => `group ${group}`),
    ...users.map((user) => `user ${user}`),
    ...serviceAccounts.map(({ namespace, name }) => `service account ${namespace}/${name}`),
  ];
  return names.join(' or ');
}

/** The schema's bounds on status; what exceeded one could never be written. */
const mostCharacters = 512;
export const mostEntries = 64;

export function cut(text: string): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters - 1)}…`;
}
