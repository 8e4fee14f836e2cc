// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// When an approval counts that a policy gave by itself.
import type { Approval } from '../model/approval.ts';
import type { Policy } from '../model/policy.ts';
import { objectionToSeal } from '../model/seal-check.ts';
import { isOfAnother } from './creation-vote.ts';
import type { Tally } from './vote.ts';

/** The tally of what was approved by policy: no votes are needed, as long as the policy still says so. */
export function tallyByPolicy(
  approval: Approval,
  policy: Policy,
): Pick<Tally, 'required' | 'received' | 'missing' | 'voters' | 'approvedAt'> {
  const { metadata, spec, seals } = approval;
  const unsealed = objectionToSeal(seals.creation);
  if (unsealed !== undefined)
    return { required: 1, received: 0, missing: `the policy's approval (${unsealed})`, voters: [] };
  if (policy.spec.approval.auto === undefined || spec.use === undefined) {
    const missing = `policy ${policy.metadata.name} no longer approves by itself`;
    return { required: 1, received: 0, missing, voters: [] };
  }
  // The seal goes with a copy, and the watch might tell once more of a write that lost: each would serve again.
  if (isOfAnother(approval, spec.use.reservedAt)) {
    const missing = `the policy's approval (it is a copy of one that was given at ${spec.use.reservedAt})`;
    return { required: 1, received: 0, missing, voters: [] };
  }
  return { required: 0, received: 0, missing: '', voters: [], approvedAt: new Date(metadata.creationTimestamp) };
}
