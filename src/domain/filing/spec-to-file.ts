// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The approval that stepup files for a request, with everything that an approver reads.
import type { Attempt } from '../change/attempt.ts';
import { statedOn } from '../change/describe.ts';
import { pastUses } from '../lifecycle/history.ts';
import type { Approval, ApprovalSpec, Preview } from '../model/approval.ts';
import type { Policy } from '../model/policy.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { draftOf } from './draft.ts';
import { previewOf } from './preview.ts';
import { type Background, previewHeader } from './preview-header.ts';

/** A request that needs an approval, and what is known of its target. */
export interface ToFile {
  readonly attempt: Attempt;
  readonly request: AdmissionRequest;
  readonly policy: Policy;
  /** The approvals on its target, ended ones too; absent where nobody has looked. */
  readonly others?: readonly Approval[] | undefined;
}

/** What an approver is shown: who asks for what and why, then the difference. key: of the hashes of secret values. */
export function shownContent(
  { attempt, request, policy }: Omit<ToFile, 'others'>,
  background: Background,
  key: Uint8Array,
): Preview {
  return previewOf(request, key, previewHeader(attempt, request, policy, background), attempt.change.fields);
}

/** owners: whom the requesting account names as its owners. */
export function specToFile(
  toFile: ToFile,
  { ownUsername, key }: { readonly ownUsername: string; readonly key: Uint8Array },
  owners: readonly string[] = [],
): ApprovalSpec {
  const { attempt, request, policy, others } = toFile;
  const [reason, ticket] = [statedOn(request, 'reason'), statedOn(request, 'ticket')];
  const before = others && pastUses(attempt.targetKey, others);
  const preview = shownContent(toFile, { reason, ticket, owners, before }, key);
  return draftOf(attempt, request, policy, preview, ownUsername, owners);
}
