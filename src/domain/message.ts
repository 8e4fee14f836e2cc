// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The sentence and the machine-readable details that a refused requester gets.

import type { Attempt } from './attempt.ts';
import type { Denial } from './decide.ts';
import { type DeniedReason, deniedReasons } from './reason.ts';

/** The one line a requester reads: what is missing, which approval to wait for, how it is approved. */
export function denialMessage(attempt: Attempt, denial: Denial, namespace: string): string {
  const { action } = attempt;
  const resource = action.subresource ? `${action.resource}/${action.subresource}` : action.resource;
  const target = action.namespace ? `${action.namespace}/${action.name}` : action.name;
  return (
    `stepup: ${attempt.policy} requires approval to ${action.operation} ${resource} ${target}: ${denial.missing}. ` +
    `Approval ${namespace}/${denial.approvalName}. Approve: ${approveCommand(namespace, denial.approvalName)}`
  );
}

/** Approving needs nothing but kubectl and the right. */
export function approveCommand(namespace: string, name: string): string {
  return `kubectl -n ${namespace} get sua ${name} -o jsonpath={.status.approveWith} | kubectl create -f -`;
}

/** The line for a refusal that no approval can lift. */
export function refusalMessage(policy: string, reason: DeniedReason, hint = ''): string {
  return `stepup: ${policy}: ${deniedReasons[reason]}${hint === '' ? '' : `. ${hint}`}`;
}

/** metav1.StatusDetails of a denial: what a machine needs to wait for the approval or to point a person at it. */
export function denialDetails(attempt: Attempt, denial: Denial, namespace: string, retryAfterSeconds?: number) {
  return {
    group: 'stepup.dev',
    kind: 'stepupapprovals',
    name: denial.approvalName,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    causes: [
      { reason: 'Policy', message: attempt.policy },
      { reason: 'Namespace', message: namespace },
      { reason: 'Missing', message: denial.missing },
      { reason: 'ApproveCommand', message: approveCommand(namespace, denial.approvalName) },
    ],
  };
}
