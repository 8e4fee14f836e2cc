// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// An approval that is not stored: votes are counted for it to say what one would still need.
import type { Approval, ApprovalSpec } from './approval.ts';
import type { SealCheck } from './seal-check.ts';

/** creation: what its seal would be found to be. */
export function hypothetical(spec: ApprovalSpec, createdAt: Date, creation: SealCheck): Approval {
  const creationTimestamp = createdAt.toISOString();
  return {
    metadata: { name: '', namespace: '', uid: '', resourceVersion: '', creationTimestamp },
    spec,
    seals: { creation, releases: [] },
  };
}
