// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The RBAC verbs approve and bypass on a policy: RBAC says who can vote at all, the policy says whose votes count.
import type { JsonObject } from '../../lib/json.ts';

export type RightVerb = 'approve' | 'bypass';

/** The API server's answer about a caller. why: one sentence for the caller, without full stop. */
export type Right = { readonly isGranted: true } | { readonly isGranted: false; readonly why: string };

/** The verb that a decision takes; none to withdraw, which is the requester's and the creator's own. */
export function verbFor(spec: JsonObject): RightVerb | undefined {
  if (spec.verdict === 'Withdraw') return undefined;
  return spec.bypass === true ? 'bypass' : 'approve';
}

const roles: Readonly<Record<RightVerb, string>> = { approve: 'stepup-approver', bypass: 'stepup-break-glass' };

/** What somebody without the verb is told, and which role has it. */
export function lackSentence(username: string, verb: RightVerb, policy: string): string {
  return (
    `user "${username}" cannot "${verb}" stepuppolicies "${policy}": ` +
    `bind the ClusterRole ${roles[verb]} to them with a ClusterRoleBinding`
  );
}
