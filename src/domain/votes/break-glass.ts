// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Break-glass: one person approves in place of all votes, and somebody else must review it.
import { defined } from '../../lib/json.ts';
import type { Approval, ApprovalStatus, Condition, Decision, SeenDecision, Stamp } from '../model/approval.ts';
import { isSamePerson, type Person, personOf } from './same-person.ts';
import type { BreakGlass, CountedVote } from './vote.ts';

/** True when the approval was given by a bypass that nobody else has looked at yet. */
export function isUnreviewed({ status }: Pick<Approval, 'status'>): boolean {
  return status?.review === 'Required';
}

/** Everybody who broke the glass, by sealed decisions and by the copies of those that are gone. */
export function bypassersOf({ status }: Pick<Approval, 'status'>, decisions: readonly Decision[]): readonly Person[] {
  const told = (status?.decisions ?? []).filter(({ bypass, counted }) => bypass === true && counted);
  return [
    ...decisions.flatMap(({ spec, seal }) =>
      seal === 'Sealed' && spec.bypass === true && spec.decidedBy ? [personOf(spec.decidedBy)] : [],
    ),
    ...told.map(({ decidedBy }) => ({ username: decidedBy })),
  ];
}

/**
 * Why somebody may not review the approval; undefined when they may, as far as this goes. The account that passes a
 * review on must not have used break-glass either: whom it acts for is only its claim.
 */
export function objectionToReview(
  { decidedBy, decidedVia }: { readonly decidedBy: Stamp; readonly decidedVia?: Stamp | undefined },
  bypassers: readonly Person[],
): string | undefined {
  if (bypassers.length === 0) return 'nobody used break-glass on this approval, so there is nothing to review';
  const speakers = [decidedBy, ...(decidedVia === undefined ? [] : [decidedVia])].map(personOf);
  const own = speakers.find((speaker) => bypassers.some((bypasser) => isSamePerson(bypasser, speaker)));
  return own && `${own.username} used break-glass, so somebody else must review it`;
}

const type = 'ReviewRequired';
/** The schema's bound on decisions in status. */
const mostTold = 64;

/**
 * The members of a status that tell of a bypass; none where there was none. What was told once stays until it is
 * reviewed, whatever has become of the decision or the policy; and a review that is gone, or was never said, is owed again.
 */
export function reviewOf(
  before: ApprovalStatus | undefined,
  { bypassed, reviewed }: BreakGlass,
  now: Date,
): { readonly review?: ApprovalStatus['review']; readonly conditions: readonly Condition[] } {
  const earlier = before === undefined ? undefined : reviewCondition(before);
  const said = reviewed === undefined ? openCondition(bypassed) : doneCondition(reviewed);
  if (said === undefined) {
    return before?.review === undefined ? { conditions: [] } : { review: before.review, conditions: listed(earlier) };
  }
  const isSame = earlier?.status === said.status;
  const lastTransitionTime = isSame ? earlier.lastTransitionTime : now.toISOString();
  const review = said.status === 'True' ? 'Required' : 'Done';
  return { review, conditions: [{ type, ...said, lastTransitionTime }] };
}

/** What people read at a glance: an unreviewed bypass is not to be overlooked. */
export function votesText(received: number, required: number, review: ApprovalStatus['review']): string {
  const votes = `${received}/${required}`;
  if (review === undefined) return votes;
  return `${votes} ${review === 'Required' ? 'unreviewed' : 'reviewed'}`;
}

type Sentence = Pick<Condition, 'status' | 'reason' | 'message'>;

function openCondition(bypassed: CountedVote | undefined): Sentence | undefined {
  if (bypassed === undefined) return undefined;
  const why = bypassed.reason === undefined ? '' : `: ${bypassed.reason}`;
  const message = `${bypassed.by} used break-glass${why}. An approver other than ${bypassed.by} must review it`;
  return { status: 'True', reason: 'Bypassed', message };
}

function doneCondition({ by, reason }: CountedVote): Sentence {
  const why = reason === undefined ? '' : `: ${reason}`;
  return { status: 'False', reason: 'Reviewed', message: `reviewed by ${by}${why}` };
}

function listed(condition: Condition | undefined): readonly Condition[] {
  return condition === undefined ? [] : [condition];
}

/**
 * The status of an ended approval with a bypass or a review that came to light since; undefined when there is none. The
 * votes that were reported stay as they were: what a later policy makes of them changes nothing.
 */
export function reviewedStatus(
  { status }: Approval,
  votes: BreakGlass & { readonly decisions: readonly SeenDecision[] },
  now: Date,
): ApprovalStatus | undefined {
  const { review, conditions } = reviewOf(status, votes, now);
  if (review === status?.review) return undefined;
  const told = new Set((status?.decisions ?? []).map(({ uid }) => uid));
  const isNew = ({ uid, counted, bypass, verdict }: SeenDecision) =>
    counted && !told.has(uid) && (bypass === true || verdict === 'Review');
  const others = (status?.conditions ?? []).filter((condition) => condition.type !== type);
  return {
    ...status,
    ...defined({ review }),
    votes: votesText(status?.received ?? 0, status?.required ?? 0, review),
    decisions: [...votes.decisions.filter(isNew), ...(status?.decisions ?? [])].slice(0, mostTold),
    conditions: [...others, ...conditions],
  };
}

export function reviewCondition(status: ApprovalStatus): Condition | undefined {
  return status.conditions?.find((condition) => condition.type === type);
}

interface Kept {
  readonly metadata: Pick<Approval['metadata'], 'creationTimestamp'>;
  readonly status?: ApprovalStatus;
}

/** When the time of keeping begins: at the end, or at the review of it if that came later. */
export function keptFrom({ status, metadata }: Kept): Date {
  const endedAt = new Date(status?.endedAt ?? metadata.creationTimestamp);
  const review = status === undefined ? undefined : reviewCondition(status);
  const reviewedAt = review?.status === 'False' ? new Date(review.lastTransitionTime) : endedAt;
  return reviewedAt > endedAt ? reviewedAt : endedAt;
}
