// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A request that needs approval under a policy, and the time there is to find one.
import type { Attempt } from '../../domain/change/attempt.ts';
import type { DescribeUnder } from '../../domain/change/describe.ts';
import type { Approval } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';

/** A request that needs an approval under a policy. */
export interface Governed {
  readonly request: AdmissionRequest;
  readonly attempt: Attempt;
  readonly policy: Policy;
  readonly policies: readonly Policy[];
  /** The request as other policies see it. */
  readonly describeUnder: DescribeUnder;
  /** The approvals on its target, ended ones too, once they have been read live. */
  readonly others?: readonly Approval[];
}

export interface Limit {
  readonly signal: AbortSignal;
  /** The monotonic instant after which the API server no longer waits for the answer. */
  readonly endsAtMs: number;
}
