// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// How many approvals of a requester are pending, whoever filed them.
import type { Caches } from './dependencies.ts';

/** Those of one policy, as far as the cache knows. */
export function pendingOf({ approvals }: Pick<Caches, 'approvals'>, requester: string, policy: string): number {
  return approvals.byIndex('requester', requester).filter(({ spec, status }) => {
    // What a policy has approved by itself never waits, and has no phase until the operator has seen it.
    return spec.policy.name === policy && spec.origin !== 'Auto' && (status?.phase ?? 'Pending') === 'Pending';
  }).length;
}
