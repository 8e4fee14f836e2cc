// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// How many approvals of a requester wait for people, whoever filed them.
import type { Caches } from './dependencies.ts';

/** Those of one policy, as far as the cache knows. */
export function pendingOf({ approvals }: Pick<Caches, 'approvals'>, requester: string, policy: string): number {
  return approvals.byIndex('requester', requester).filter(({ spec, status }) => {
    return spec.policy.name === policy && (status?.phase ?? 'Pending') === 'Pending';
  }).length;
}
