// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Votes that the requester could have cast itself: the policy says whether they are reported or do not count.
import type { Condition, Stamp } from '../model/approval.ts';
import type { Policy } from '../model/policy.ts';

const type = 'Exposed';

/** What the requester could do when the vote was given; undefined when nothing was found. */
export function exposureOf({ username, requesterMay }: Stamp): string | undefined {
  return requesterMay === undefined ? undefined : `the requester can ${requesterMay}, and so vote as ${username}`;
}

/** Why such a vote does not count; undefined when the policy only warns. */
export function objectionToExposure(voter: Stamp, policy: Policy): string | undefined {
  return policy.spec.approval.requesterTooPowerful === 'Refuse' ? exposureOf(voter) : undefined;
}

/** The condition for people; none while no vote was exposed. */
export function exposedCondition(
  exposures: readonly string[],
  before: readonly Condition[],
  now: Date,
): readonly Condition[] {
  const [message] = exposures;
  if (message === undefined) return [];
  const earlier = before.find((condition) => condition.type === type);
  const lastTransitionTime = earlier?.status === 'True' ? earlier.lastTransitionTime : now.toISOString();
  return [{ type, status: 'True', reason: 'RequesterTooPowerful', message, lastTransitionTime }];
}
