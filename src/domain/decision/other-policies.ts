// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// If several policies govern a request, no approval is reserved before each policy has one. Otherwise calls in parallel
// would reserve and deny in turn forever (ADR 0006), or use up an approval for nothing.

import { type Attempt, attemptOf } from '../change/attempt.ts';
import { type CoverageRow, labelsOf, rowsFor, speaksOfObject } from '../coverage/coverage.ts';
import { askingOf } from '../coverage/shared-policy.ts';
import { isOnce } from '../lifecycle/reservation.ts';
import type { Approval } from '../model/approval.ts';
import { selects } from '../model/label-selector.ts';
import { isEnforced, isReady, type Policy } from '../model/policy.ts';
import { isNamespaceObject } from '../model/request.ts';
import { exemptionOf, isExemptNamespace, isGated } from '../model/subject.ts';
import { tally } from '../votes/tally.ts';
import {
  type Candidate,
  covers,
  isOfSameAttempt,
  isRefusedByPeople,
  nextName,
  type Question,
  unfiled,
  weigh,
} from './candidate.ts';

/** What a request still lacks under another policy. */
export interface Waiting {
  /** One sentence without full stop. */
  readonly missing: string;
  /** The approval to have decided there, by name in the namespace where approvals of this target live. */
  readonly approvalName: string;
  /** Where there is one already. */
  readonly approval?: Approval;
  /** Its name, where only the API server knows whether it governs the request: it has CEL of its own. */
  readonly mayGovern?: string;
}

interface Other {
  /** The policy under which the other one asks. */
  readonly policy: Policy;
  readonly attempt: Attempt;
  /** Unknown: the labels of the namespace are not known here. Maybe: only the API server evaluates a policy's own CEL. */
  readonly isAsked: 'Yes' | 'Maybe' | 'Unknown';
}

/**
 * What is missing under the other policies that are asked about this request too, before `usable` is reserved.
 *
 * A policy with CEL of its own may not govern the request after all. It does where it has a live approval for it. Where
 * it has none, that is told without memory for an approval that was filed on a denial: the denied try was sent to every
 * policy that governs it, so each has an approval since then or did not govern it. For one that was made by hand there
 * was no such try. A request that another try could not follow (a CREATE, whose next try has another UID) is then
 * refused once: if the policy governs it, its own denial files what is missing; if it does not, the next try passes.
 */
export function missingElsewhere(question: Question, usable: Approval): Waiting | undefined {
  for (const other of others(question)) {
    const { name } = other.policy.metadata;
    const asked: Question = { ...question, attempt: other.attempt, policy: other.policy };
    const covering = question.view.approvals
      .filter((approval) => covers(approval, asked))
      .map((approval) => weigh(approval, asked));
    const group = covering.filter(({ standing }) => standing.kind !== 'Over');
    if (group.some(({ standing }) => standing.kind === 'Usable' || standing.kind === 'SameUse')) continue;
    // A policy that approves by itself is satisfied, unless people are asked already, or have said no: what a cache
    // does not hold.
    const isAsked = group.some(({ standing }) => standing.kind === 'Undecided');
    const { approvals, isLive } = question.view;
    const isLeft = isAsked || !isLive || approvals.some((approval) => isRefusedByPeople(approval, other.attempt));
    if (!isLeft && question.autoOpen?.has(name) === true) continue;
    const [waiting] = group;
    if (waiting !== undefined) {
      const { approval } = waiting;
      const missing = `policy ${name} is not satisfied: ${lackOf(waiting)}`;
      return { missing, approvalName: approval.metadata.name, approval };
    }
    const approvalName = nextName(asked, covering);
    if (other.isAsked === 'Yes' || hasGovernedSince(asked, usable)) {
      const { missing } = tally(unfiled(other.attempt, question.now), [], other.policy, question.policies);
      return { missing: `policy ${name} is not satisfied: ${missing || 'its approval'} missing`, approvalName };
    }
    if (other.isAsked === 'Unknown' || !isOnce(question.attempt.change.base) || question.refusedFor?.has(name))
      continue;
    // Nothing waits for people here: if the other policy governs it, its own denial files what is missing.
    if (usable.spec.origin === 'Auto') continue;
    // A cache holds no ended approvals, so it cannot tell; a refusal is decided again on a live view.
    if (usable.spec.origin === 'Denied' && question.view.isLive) continue;
    return {
      missing: `policy ${name} may govern the request too and has not decided on it yet; send the request again`,
      approvalName,
      mayGovern: name,
    };
  }
  return undefined;
}

function lackOf({ tally: votes }: Candidate): string {
  return votes.missing === '' ? 'its approval is in use' : `${votes.missing} missing`;
}

/** An approval of the other policy for this attempt has ended since the usable one was made: it governed it then. */
function hasGovernedSince({ view, attempt, now }: Question, usable: Approval): boolean {
  const since = new Date(usable.metadata.creationTimestamp);
  return view.approvals.some(
    (approval) => isOfSameAttempt(approval, attempt) && new Date(approval.status?.endedAt ?? now) >= since,
  );
}

/** The other policies that the API server asks about the request, as far as that can be told here. */
function others(question: Question): readonly Other[] {
  const { request, policies, policy } = question;
  const found = new Map<string, Other>();
  for (const other of [...policies].sort(byName)) {
    if (!isEnforced(other) || !isReady(other) || !isGated(other.spec.subjects, request.requester)) continue;
    const rows = rowsFor(other, request).map((row) => ({ row, isIn: isInReach(row, other, question) }));
    if (!rows.some(({ isIn }) => isIn !== false)) continue;
    const { effective, selectorKeys } = askingOf(other, request, () => policies);
    const { name } = effective.metadata;
    if (name === policy.metadata.name) continue;
    const described = question.describeUnder(other, selectorKeys);
    if (described.kind !== 'Privileged') continue;
    const hasCEL = (other.spec.conditions ?? []).length > 0;
    const asked = rows.filter(({ isIn }) => isIn === true);
    const isCertain = asked.some(({ row }) => !hasCEL || !speaksOfObject(row.shape));
    const isAsked = isCertain ? 'Yes' : asked.length > 0 ? 'Maybe' : 'Unknown';
    const attempt = attemptOf(name, request, described.change);
    if (!found.has(name) || isCertain) found.set(name, { policy: effective, attempt, isAsked });
  }
  return [...found.values()];
}

function byName(a: Policy, b: Policy): number {
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

/** Do the row's scope and selector hold for the request, as the API server judges them? Undefined: not known here. */
function isInReach(
  { reach }: CoverageRow,
  policy: Policy,
  { request, namespaceLabels, ownNamespace }: Question,
): boolean | undefined {
  const selector = policy.spec.namespaceSelector;
  switch (reach) {
    case 'AllNamespaces':
    case 'ClusterScoped':
      return true;
    case 'ExemptNamespaces':
      return isExemptNamespace(exemptionOf(policy.spec.subjects, ownNamespace), request.namespace);
    case 'SelectedNamespaces':
      return selector !== undefined && selects(selector, labelsOf(request.object ?? request.oldObject));
    case 'Selected':
      if (selector === undefined) return true;
      // Rules of such a policy have scope Namespaced.
      if (isNamespaceObject(request) || request.namespace === '') return false;
      return namespaceLabels === undefined ? undefined : selects(selector, namespaceLabels);
  }
}
