// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The messages and the machine-readable details that a requester gets; docs/answers.md is the contract.

import { defined } from '../../lib/json.ts';
import type { Attempt } from '../change/attempt.ts';
import { nameOf } from '../change/normalise.ts';
import { type DeniedReason, deniedReasons } from '../model/reason.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { serviceAccountOf } from '../model/subject.ts';
import type { NeedsApproval } from './decide.ts';

/** The one line a requester reads: what is missing, which approval to wait for, how it is approved. */
export function denialMessage(attempt: Attempt, denial: NeedsApproval, namespace: string): string {
  return (
    `stepup: ${attempt.policy} requires approval to ${actionText(attempt.action)}: ${denial.missing}. ` +
    `Approval ${namespace}/${denial.approvalName}. Approve: ${approveCommand(namespace, denial.approvalName)}`
  );
}

/** Approving needs nothing but kubectl and the right. */
export function approveCommand(namespace: string, name: string): string {
  return `kubectl -n ${namespace} get sua ${name} -o jsonpath={.status.approveWith} | kubectl create -f -`;
}

/** The line for a refusal that no approval can lift: why, and what to do. */
export function rejectionMessage(policy: string, reason: DeniedReason, hint = nextSteps[reason]): string {
  return `stepup: ${policy}: ${deniedReasons[reason]}. ${hint}`;
}

const again = 'Send the request again in a moment';

/** What the requester does about a refusal for which nothing more is known. */
export const nextSteps: Readonly<Record<DeniedReason, string>> = {
  ApprovalRequired: 'Have it approved, then send the same request again',
  AlreadyUsed: 'Have the new one approved, then send the same request again',
  WaitingForOthers: 'Have its approval decided too; no approval has been used',
  RateExceeded: 'Send the request again later',
  TargetUnknown: 'Check that it still exists, then retry',
  SeveralEffects: 'Send the two changes one after the other',
  TokenTooLong: 'Request a token that expires sooner',
  TooManyPending: 'No approval was filed: have some decided or withdrawn, or wait until they time out',
  ReasonRequired: 'Set it on the object and retry',
  TicketRequired: 'Set it on the object and retry',
  Contended: `Nothing was admitted. ${again}`,
  NotReady: again,
  UnknownPolicy: `It has just been created or deleted. ${again}`,
  InvalidRequest: 'Report it',
  Failed: `Nothing was admitted; stepup's log has the error. ${again}`,
};

/** For warnings: what a policy in mode Observe would have required. Clients cut warnings that are longer. */
export function observedMessage(attempt: Attempt, denial: NeedsApproval): string {
  const missing = denial.missing.replace(/ missing$/, '');
  const sentence = `would have required approval to ${actionText(attempt.action)}: ${missing}`;
  return cutWarning(`stepup: ${attempt.policy} observes; it ${sentence}`);
}

/** The same for a request that would have been refused before any approval. */
export function observedRejection(policy: string, reason: DeniedReason): string {
  return cutWarning(`stepup: ${policy} observes; it would have denied the request: ${deniedReasons[reason]}`);
}

const mostWarning = 250;

function cutWarning(text: string): string {
  return text.length <= mostWarning ? text : `${text.slice(0, mostWarning - 1)}…`;
}

interface Acted {
  readonly operation: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name: string;
}

/** "UPDATE deployments/scale prod/web" */
export function actionText({ operation, resource, subresource, namespace, name }: Acted): string {
  const kind = subresource ? `${resource}/${subresource}` : resource;
  return `${operation} ${kind} ${namespace ? `${namespace}/${name}` : name}`;
}

/** Requester and action of a request as a short phrase, bounded as the schema bounds them. */
export function phraseOf(request: AdmissionRequest): { readonly requester: string; readonly action: string } {
  const { username } = request.requester;
  const account = serviceAccountOf(username);
  const requester = account === undefined ? username : `${account.namespace}/${account.name}`;
  const action = actionText({ ...request, name: nameOf(request) });
  return { requester: requester.slice(0, 512), action: action.slice(0, 512) };
}

/** metav1.StatusDetails of a denial: what a machine needs to wait for the approval or to point a person at it. */
export function denialDetails(attempt: Attempt, denial: NeedsApproval, namespace: string, retryAfterSeconds?: number) {
  return {
    group: 'stepup.dev',
    kind: 'stepupapprovals',
    name: denial.approvalName,
    ...defined({ retryAfterSeconds }),
    causes: [
      { reason: 'Policy', message: attempt.policy },
      { reason: 'Reason', message: denial.reason },
      { reason: 'Namespace', message: namespace },
      { reason: 'Missing', message: denial.missing },
      { reason: 'ApproveCommand', message: approveCommand(namespace, denial.approvalName) },
    ],
  };
}

/** metav1.StatusDetails of a refusal that no approval lifts; without a policy where it came to none. */
export function rejectionDetails(policy: string | undefined, reason: DeniedReason) {
  return {
    group: 'stepup.dev',
    ...(policy === undefined ? {} : { kind: 'stepuppolicies', name: policy }),
    causes: [
      ...(policy === undefined ? [] : [{ reason: 'Policy', message: policy }]),
      { reason: 'Reason', message: reason },
    ],
  };
}
