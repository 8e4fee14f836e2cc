// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who can vote on an approval, as far as the policy decides. RBAC is checked when a vote is cast
// (domain/stamping/may-vote.ts).
import { type ApprovalSpec, isYes, type Stamp, type Verdict } from '../model/approval.ts';
import { type Policy, requirementsOf } from '../model/policy.ts';
import { type Identity, isGated } from '../model/subject.ts';
import { objectionToExposure } from './exposure.ts';
import { isApprover, namesServiceAccount } from './quorum.ts';
import { objectionToPerson, personOf } from './same-person.ts';

/** A vote with those who stand behind it. Creating an approval by hand is one, with the verdict Approve. */
export interface Vote {
  readonly verdict: Verdict;
  readonly bypass?: boolean | undefined;
  readonly decidedBy: Stamp;
  /** The authenticated account that passed the vote on, where decidedBy is the person it acts for. */
  readonly decidedVia?: Stamp | undefined;
}

/** What of an approval its voters are held against. */
export interface VotedOn {
  readonly spec: Pick<ApprovalSpec, 'requester' | 'createdBy'>;
}

/** Why this vote does not count; undefined when it does. A Review also needs something to review (break-glass.ts). */
export function objectionToVote(
  vote: Vote,
  approval: VotedOn,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  const { verdict, bypass, decidedBy, decidedVia } = vote;
  // Before whose vote it is: the requester may withdraw, and must not bypass by the same vote.
  if (bypass === true && verdict !== 'Approve') return 'bypass requires the verdict Approve';
  if (verdict === 'Withdraw') {
    const mayWithdraw = [approval.spec.requester.username, approval.spec.createdBy?.username];
    const isTheirs = decidedVia === undefined && mayWithdraw.includes(decidedBy.username);
    return isTheirs ? undefined : 'only the requester or the creator can withdraw an approval';
  }
  const authenticated = decidedVia ?? decidedBy;
  const exposed = isYes(verdict) ? objectionToExposure(authenticated, policy) : undefined;
  return objectionToVoters(vote, approval, policy, gatekeepers) ?? exposed;
}

function objectionToVoters(
  vote: Vote,
  approval: VotedOn,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  const { bypass, decidedBy, decidedVia } = vote;
  if (bypass === true) return objectionToBypass(vote, approval, policy, gatekeepers);
  if (decidedVia === undefined) return objectionToVoter(decidedBy, approval, policy, gatekeepers);
  if (!isNamedAccount(decidedVia.username, policy)) return 'onBehalfOf is only for delegates that the policy names';
  return (
    objectionToAsserted(decidedBy, approval, policy, gatekeepers) ??
    objectionToVoter(decidedVia, approval, policy, gatekeepers)
  );
}

/** Why an identity may not vote on an approval; undefined when it may. */
function objectionToVoter(
  voter: Stamp,
  approval: VotedOn,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  const who = identityOf(voter);
  const barred = objectionToPerson(personOf(voter), approval.spec.requester);
  if (barred !== undefined) return barred;
  const meets = requirementsOf(policy).filter((requirement) => isApprover(requirement, who));
  const isNamed = meets.some((requirement) => namesServiceAccount(requirement, who.username));
  if (!isNamed && isGatedByAny(who, policy, gatekeepers)) {
    return `${who.username} is itself gated by a policy and not named as a delegate`;
  }
  if (meets.length === 0) return `${who.username} is not an approver of policy ${policy.metadata.name}`;
  return undefined;
}

/** Breaking the glass needs no seat in any requirement, but a person of their own who is neither asking nor gated. */
function objectionToBypass(
  { decidedBy, decidedVia }: Vote,
  approval: VotedOn,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  if (policy.spec.bypass?.enabled !== true) return `policy ${policy.metadata.name} does not allow break-glass`;
  if (decidedVia !== undefined) return 'break-glass cannot be used on behalf of another person';
  const barred = objectionToPerson(personOf(decidedBy), approval.spec.requester);
  if (barred !== undefined) return barred;
  const isGatedItself = isGatedByAny(identityOf(decidedBy), policy, gatekeepers);
  return isGatedItself ? `${decidedBy.username} is itself gated by a policy` : undefined;
}

/** The person a delegate speaks for is a claim, and has no groups: it can only be held against the vote. */
function objectionToAsserted(
  person: Stamp,
  approval: VotedOn,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  if (person.username.startsWith('system:')) return 'onBehalfOf must name a person, not an account';
  const barred = objectionToPerson({ username: person.username }, approval.spec.requester);
  if (barred !== undefined) return barred;
  const who = { username: person.username, groups: [] };
  return isGatedByAny(who, policy, gatekeepers) ? `${person.username} is itself gated by a policy` : undefined;
}

/** Gated by any policy, not by this one alone: what one gated account may not do, two must not do for each other. */
function isGatedByAny(who: Identity, policy: Policy, gatekeepers: readonly Policy[]): boolean {
  return [policy, ...gatekeepers].some((gatekeeper) => isGated(gatekeeper.spec.subjects, who));
}

export function identityOf(stamp: Stamp): Identity {
  return { username: stamp.username, groups: stamp.groups ?? [] };
}

/** True when some requirement of the policy names the service account as an approver: a delegate. */
export function isNamedAccount(username: string, policy: Policy): boolean {
  return requirementsOf(policy).some((requirement) => namesServiceAccount(requirement, username));
}
