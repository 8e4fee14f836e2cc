// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Earlier uses by the same requester on the same target, from the approvals that still exist.

import { targetKeyOf } from '../change/attempt.ts';
import { type Approval, usesOf } from '../model/approval.ts';

/** One use that was not released. */
export interface PastUse {
  readonly approval: string;
  readonly policy: string;
  readonly usedAt: string;
  readonly digest: string;
  readonly phase: string;
  readonly evidence?: string;
}

/** The uses among these approvals for this target key, the newest first. Their label alone proves nothing, so the key is compared. */
export function pastUses(targetKey: string, approvals: readonly Approval[]): readonly PastUse[] {
  return approvals
    .filter(({ spec }) => targetKeyOf(spec) === targetKey)
    .flatMap(usesIn)
    .sort((a, b) => Date.parse(b.usedAt) - Date.parse(a.usedAt));
}

/** True when none of them was under this policy. */
export function isFirstTime(policy: string, uses: readonly PastUse[]): boolean {
  return !uses.some((use) => use.policy === policy);
}

/** The history as one line of a preview, under the requester. */
export function historyLine(policy: string, uses: readonly PastUse[]): string {
  const own = uses.filter((use) => use.policy === policy);
  const [newest] = own;
  if (newest === undefined) return 'history: first time on record';
  return `history: admitted ${own.length === 1 ? 'once' : `${own.length} times`}, last at ${newest.usedAt} (${newest.approval})`;
}

function usesIn(approval: Approval): readonly PastUse[] {
  const { metadata, spec, status, seals } = approval;
  const isReleased = (index: number) =>
    (status?.releases ?? []).some(({ use }, at) => use === index && seals.releases[at] === 'Sealed');
  return usesOf(approval)
    .filter((_, index) => !isReleased(index))
    .map((use) => ({
      approval: metadata.name,
      policy: spec.policy.name,
      usedAt: use.reservedAt,
      digest: use.digest,
      phase: status?.phase ?? 'Pending',
      ...(status?.evidence === undefined ? {} : { evidence: status.evidence }),
    }));
}
