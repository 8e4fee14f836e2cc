// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether an approval covers an attempt, and whether it can be used for it now.

import { digestOf } from '../../lib/digest.ts';
import { defined } from '../../lib/json.ts';
import { type Attempt, approvalNameOf, targetKeyOf } from '../change/attempt.ts';
import { namesChange, versionOf } from '../change/change-digest.ts';
import type { DescribeUnder } from '../change/describe.ts';
import { hasRoomForUse, isSameBase, isUseOf, openUseOf, provesLoss } from '../lifecycle/reservation.ts';
import { type Approval, byAge, type Decision, isEnded, usesOf } from '../model/approval.ts';
import { type Life, lifeOf } from '../model/deadlines.ts';
import type { Labels } from '../model/label-selector.ts';
import { grantOf, type Policy } from '../model/policy.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { isStampedAfter } from '../votes/creation-vote.ts';
import { tally } from '../votes/tally.ts';
import type { Tally } from '../votes/vote.ts';

/** Approvals and decisions on one target, as they were seen; live when read after the request arrived. */
export interface View {
  readonly approvals: readonly Approval[];
  readonly decisions: readonly Decision[];
  readonly isLive: boolean;
  /** A cache knows what became of every approval since then: its own, and those that it has let go. */
  readonly watchedSince?: Date;
}

export interface Question {
  readonly request: AdmissionRequest;
  readonly attempt: Attempt;
  readonly policy: Policy;
  readonly policies: readonly Policy[];
  /** The request as other policies see it. */
  readonly describeUnder: DescribeUnder;
  readonly view: View;
  readonly now: Date;
  /** Where approvals of cluster-scoped targets live, and those that find no room in their target's namespace. */
  readonly ownNamespace: string;
  /** Of the namespace the request is in; absent where they are not known. */
  readonly namespaceLabels?: Labels;
  /** Policies whose own rate leaves room to approve one more request by themselves. */
  readonly autoOpen?: ReadonlySet<string>;
  /** Policies for whose sake this attempt has been refused once already, though nobody knew whether they govern it. */
  readonly refusedFor?: ReadonlySet<string>;
}

/** What an approval is to an attempt. */
export type Standing =
  | { readonly kind: 'Usable'; readonly lost?: number }
  | { readonly kind: 'SameUse' }
  | { readonly kind: 'Undecided' }
  | { readonly kind: 'OtherUse' }
  | { readonly kind: 'Over' };

export interface Candidate {
  readonly approval: Approval;
  readonly tally: Tally;
  readonly life: Life;
  readonly standing: Standing;
}

/** Does the approval cover requester, action and content? Whether it may be used now is another question. */
export function covers(
  approval: Approval,
  { attempt, policy, ownNamespace }: Pick<Question, 'attempt' | 'policy' | 'ownNamespace'>,
): boolean {
  const { spec } = approval;
  const { binding, bindIdentity } = grantOf(policy);
  if (approval.metadata.deletionTimestamp !== undefined) return false;
  // Whoever may make approvals somewhere else must not make them for here.
  const homes = [attempt.action.namespace || ownNamespace, ownNamespace];
  if (!homes.includes(approval.metadata.namespace)) return false;
  // The label only finds; the key is computed again from the spec.
  if (spec.policy.name !== policy.metadata.name || targetKeyOf(spec) !== attempt.targetKey) return false;
  // The target is read in the approval's version to see what became of the write: in another one, a written change
  // would look like a lost one.
  if (spec.action.version !== attempt.action.version) return false;
  const { requester } = attempt;
  if (spec.requester.uid !== undefined && spec.requester.uid !== requester.uid) return false;
  if (bindIdentity === 'Pod' && (requester.pod === undefined || spec.requester.pod?.uid !== requester.pod.uid))
    return false;
  if (
    bindIdentity === 'Credential' &&
    (requester.credential === undefined || spec.requester.credential !== requester.credential)
  ) {
    return false;
  }
  if (spec.action.objectUID !== undefined && spec.action.objectUID !== (attempt.action.objectUID ?? '')) return false;
  const firstUID = usesOf(approval)[0]?.objectUID;
  if (attempt.change.operation !== 'CREATE' && firstUID !== undefined && firstUID !== attempt.change.objectUID)
    return false;
  if (binding === 'Target') return true;
  return namesChange(spec, attempt.change);
}

/** What the approval, which covers the attempt, is to it now. */
export function weigh(approval: Approval, question: Question): Candidate {
  const { attempt, policy, policies, view, now, request } = question;
  const votes = tally(askedBy(approval, attempt), view.decisions, policy, policies, originalsIn(view, approval));
  const life = lifeOf(approval, votes, policy);
  const standing = (): Standing => {
    const open = openUseOf(approval);
    if (isEnded(approval) || votes.stopped !== undefined) return { kind: 'Over' };
    if (open !== undefined) {
      const isSame = isUseOf(open.use, attempt) && isSameBase(open.use.base, attempt.change.base);
      const inTime = life.usableUntil !== undefined && new Date(open.use.reservedAt) < life.usableUntil;
      if (isSame && inTime && life.readmittedUntil !== undefined && now < life.readmittedUntil)
        return { kind: 'SameUse' };
      if (!provesLoss(open.use, attempt, request.oldObject)) return { kind: 'OtherUse' };
    }
    if (!hasRoomForUse(approval)) return { kind: 'Over' };
    if (life.usableUntil === undefined) return { kind: now < life.pendingUntil ? 'Undecided' : 'Over' };
    if (now >= life.usableUntil) return { kind: 'Over' };
    return open === undefined ? { kind: 'Usable' } : { kind: 'Usable', lost: open.index };
  };
  return { approval, tally: votes, life, standing: standing() };
}

/** What an approval does not say of its requester, whoever uses it shows: votes of the same person count for nothing. */
function askedBy(approval: Approval, { requester: { uid, credential } }: Attempt): Approval {
  const { requester } = approval.spec;
  if (requester.uid !== undefined && requester.credential !== undefined) return approval;
  const shown = { uid, ...defined({ credential }), ...requester };
  return { ...approval, spec: { ...approval.spec, requester: shown } };
}

/** Among whom the original is, if the approval is a copy; undefined when the view is too young to know. */
function originalsIn({ approvals, isLive, watchedSince }: View, approval: Approval): readonly Approval[] | undefined {
  return isLive || isStampedAfter(approval, watchedSince) ? approvals : undefined;
}

/** True when it was filed for the same attempt, or has been used for it. */
export function isOfSameAttempt(approval: Approval, attempt: Attempt): boolean {
  const { policy, action, change } = approval.spec;
  const key = digestOf([targetKeyOf(approval.spec), policy.name, action.objectUID ?? '', change?.digest ?? '']);
  return key === attempt.attemptKeys[versionOf(approval.spec)] || usesOf(approval).some((use) => isUseOf(use, attempt));
}

/** True when people have said no to the attempt: a policy that approves by itself does not decide over their heads. */
export function isRefusedByPeople(approval: Approval, attempt: Attempt): boolean {
  const phase = approval.status?.phase;
  return (phase === 'Denied' || phase === 'Revoked') && isOfSameAttempt(approval, attempt);
}

/** The approval of an attempt for which none is filed: what it takes is asked of it. */
export function unfiled(attempt: Attempt, now: Date): Approval {
  return {
    metadata: { name: '', namespace: '', uid: '', resourceVersion: '', creationTimestamp: now.toISOString() },
    spec: {
      policy: { name: attempt.policy },
      requester: attempt.requester,
      action: attempt.action,
      origin: 'Denied',
    },
    seals: { creation: 'Missing', releases: [] },
  };
}

/** The name made from the newest approval of this attempt that can serve it no more. */
export function nextName(question: Pick<Question, 'attempt' | 'view'>, candidates: readonly Candidate[]): string {
  const { attempt, view } = question;
  const over = new Set(
    candidates
      .filter(({ standing }) => standing.kind === 'Over' || standing.kind === 'OtherUse')
      .map(({ approval }) => approval),
  );
  const spent = view.approvals
    .filter((approval) => over.has(approval) || isOfSameAttempt(approval, attempt))
    .sort(byAge);
  const nameAfter = (one: Approval | undefined) =>
    approvalNameOf(attempt.policy, attempt.attemptKey, one?.metadata.uid ?? '');
  // Instants of creation are whole seconds: of two approvals spent within one, the newest by age may be the one whose
  // successor is spent as well. Its name must not be asked for again.
  let name = nameAfter(spent.at(-1));
  for (let tries = 0; tries < spent.length; tries++) {
    const successor = spent.find((approval) => approval.metadata.name === name);
    if (successor === undefined) break;
    name = nameAfter(successor);
  }
  return name;
}
