// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether stepup itself has seen the content of an approval. An approval that somebody else filed has unverified
// content until stepup sees a request with it.

import { type Attempt, targetKeyOf } from '../change/attempt.ts';
import { namesChange } from '../change/change-digest.ts';
import type { Approval, ApprovalStatus, Condition, Preview } from '../model/approval.ts';
import type { Seals } from '../model/seal-check.ts';
import { previewStatement } from '../seals/seal.ts';

const type = 'ContentVerified';

/**
 * True when the attempt has the content of an approval that somebody else filed, and no request had it before.
 * An approval that binds to its target alone has no content before it is used.
 */
export function showsContentOf(approval: Approval, attempt: Attempt, { isUse }: { readonly isUse: boolean }): boolean {
  const { spec } = approval;
  if (isFiledByUs(approval) || isSeenByUs(approval)) return false;
  if (spec.policy.name !== attempt.policy || targetKeyOf(spec) !== attempt.targetKey) return false;
  return spec.change?.digest === undefined ? isUse : namesChange(spec, attempt.change);
}

/** The status with the sealed preview of the request; nothing else changes. */
export function statusWithContent(approval: Approval, preview: Preview, seals: Seals, now: Date): ApprovalStatus {
  const { conditions = [] } = approval.status ?? {};
  const seen = { ...preview, verifiedAt: now.toISOString() };
  return {
    ...approval.status,
    preview: { ...seen, seal: seals.sign(previewStatement(approval.metadata.uid, seen)) },
    conditions: [...conditions.filter((condition) => condition.type !== type), contentCondition(approval, true, now)],
  };
}

/** Whether stepup itself has seen the content that the approval shows. */
export function contentCondition(approval: Approval, isSeen: boolean, now: Date): Condition {
  const told = sentenceOn(approval, isSeen);
  const before = approval.status?.conditions?.find((condition) => condition.type === type);
  const lastTransitionTime = before?.status === told.status ? before.lastTransitionTime : now.toISOString();
  return { type, ...told, lastTransitionTime };
}

function sentenceOn(approval: Approval, isSeen: boolean): Pick<Condition, 'status' | 'reason' | 'message'> {
  if (isFiledByUs(approval)) {
    return { status: 'True', reason: 'Filed', message: 'stepup filed the approval from the request itself' };
  }
  if (isSeen) return { status: 'True', reason: 'Seen', message: 'stepup has seen a request with this content' };
  if (approval.spec.change?.digest === undefined) {
    const message = 'content not verified: the approval binds to its target and covers any content';
    return { status: 'False', reason: 'NoDigest', message };
  }
  const message =
    'content not verified: stepup has not seen a request with this digest yet; have the requester send the change as a dry run';
  return { status: 'False', reason: 'NotSeen', message };
}

/** Checked by the seal on the preview: other clients can write the status too. */
export function isSeenByUs({ status, seals }: Approval): boolean {
  return status?.preview !== undefined && seals.preview === 'Sealed';
}

/** Checked by the sealed stamp: without it, the origin could have been written without admission. */
export function isFiledByUs({ spec, seals }: Approval): boolean {
  return (spec.origin === 'Denied' || spec.origin === 'Auto') && seals.creation === 'Sealed';
}
