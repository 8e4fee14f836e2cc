// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Lists the approvals on one target, in every namespace that may hold one.
import { targetLabel } from '../domain/model/labels.ts';
import type { ListOptions, ResourceClient } from '../kube/objects/resource-client.ts';
import type { StepUpApproval } from './kinds.ts';

/**
 * Ended ones too, in the newest state. namespaces: the target's and the operator's own, in either order, also when they are
 * the same. The label only finds: anyone who may change an approval's labels can add it here.
 */
export async function approvalsOnTarget(
  client: Pick<ResourceClient<StepUpApproval>, 'list'>,
  label: string,
  namespaces: readonly string[],
  options: Pick<ListOptions, 'deadlineMs' | 'signal'> = {},
): Promise<readonly StepUpApproval[]> {
  const labelSelector = `${targetLabel}=${label}`;
  const lists = await Promise.all(
    [...new Set(namespaces)].map((namespace) => client.list({ namespace, labelSelector, ...options })),
  );
  return lists.flatMap(({ items }) => items);
}
