// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who can vote on an approval, as far as the policy decides. RBAC is checked when the vote is created.
import type { Approval, ApprovalSpec, Stamp, Verdict } from '../model/approval.ts';
import { type Policy, requirementsOf } from '../model/policy.ts';
import { type Identity, isGated } from '../model/subject.ts';
import { objectionToExposure } from './exposure.ts';
import { isApprover, namesServiceAccount } from './quorum.ts';
import { objectionToPerson, personOf } from './same-person.ts';

/** A word with those who stand behind it. */
export interface Word {
  readonly verdict: Verdict;
  readonly bypass?: boolean | undefined;
  readonly decidedBy: Stamp;
  /** The authenticated account that passed the word on, where decidedBy is whom it speaks for. */
  readonly decidedVia?: Stamp | undefined;
}

type Asked = { readonly spec: { readonly requester: ApprovalSpec['requester'] } };

/** Why this word does not count; undefined when it does. A Review also needs something to review (review.ts). */
export function objectionToWord(
  word: Word,
  approval: Approval,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  const { verdict, bypass, decidedBy, decidedVia } = word;
  // Before whose word it is: the requester may withdraw, and must not break the glass by the same word.
  if (bypass === true && verdict !== 'Approve') return 'bypass requires the verdict Approve';
  if (verdict === 'Withdraw') {
    const mayWithdraw = [approval.spec.requester.username, approval.spec.createdBy?.username];
    const isTheirs = decidedVia === undefined && mayWithdraw.includes(decidedBy.username);
    return isTheirs ? undefined : 'only the requester or the creator can withdraw an approval';
  }
  const authenticated = decidedVia ?? decidedBy;
  const isYes = verdict === 'Approve' || verdict === 'Review';
  const exposed = isYes ? objectionToExposure(authenticated, policy) : undefined;
  return objectionToSpeaker(word, approval, policy, gatekeepers) ?? exposed;
}

function objectionToSpeaker(
  word: Word,
  approval: Approval,
  policy: Policy,
  gatekeepers: readonly Policy[],
): string | undefined {
  const { bypass, decidedBy, decidedVia } = word;
  if (bypass === true) return objectionToBypass(word, approval, policy, gatekeepers);
  if (decidedVia === undefined) return objectionTo(decidedBy, approval, policy, gatekeepers);
  if (!isNamedAccount(decidedVia.username, policy)) return 'onBehalfOf is only for delegates that the policy names';
  return (
    objectionToAsserted(decidedBy, approval, policy, gatekeepers) ??
    objectionTo(decidedVia, approval, policy, gatekeepers)
  );
}

/** Why an identity may not vote on an approval; undefined when it may. */
export function objectionTo(
  voter: Stamp,
  approval: Asked,
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
  { decidedBy, decidedVia }: Word,
  approval: Asked,
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
  approval: Asked,
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
