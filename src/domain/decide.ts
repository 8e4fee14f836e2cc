// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Why was I denied? One function from a request, the policies and the approvals that were seen to a decision.
// It starts undecided; only a reason of allowedReasons allows.
import { type Approval, type ApprovalStatus, isEnded, type Decision as Word } from './approval.ts';
import { type Attempt, approvalNameOf, attemptOf, targetKeyOf } from './attempt.ts';
import { type ChangeContext, changeOf, type Harmless } from './change.ts';
import { rowsFor } from './coverage.ts';
import { digestOf, digestVersion } from './digest.ts';
import { valueAt } from './json.ts';
import { type Life, lifeOf } from './life.ts';
import { grantOf, isEnforced, isReady, type Policy } from './policy.ts';
import type { DeniedReason } from './reason.ts';
import type { AdmissionRequest } from './request.ts';
import { hasRoomForUse, isSameBase, openUseOf, provesLoss, reservedStatus } from './reservation.ts';
import { isGated } from './subject.ts';
import { type Tally, tally } from './tally.ts';

/** What a request is under a policy, before any approval is looked at. */
export type Described =
  | { readonly kind: 'NotGoverned'; readonly reason: Harmless }
  | { readonly kind: 'Attempt'; readonly attempt: Attempt }
  | { readonly kind: 'Refused'; readonly reason: DeniedReason };

/** Approvals and decisions on one target, as they were seen; live when read after the request arrived. */
export interface View {
  readonly approvals: readonly Approval[];
  readonly decisions: readonly Word[];
  readonly isLive: boolean;
}

export interface Question {
  readonly request: AdmissionRequest;
  readonly attempt: Attempt;
  readonly policy: Policy;
  readonly policies: readonly Policy[];
  readonly context: ChangeContext;
  readonly view: View;
  readonly now: Date;
}

export type Decision =
  | {
      readonly outcome: 'Allowed';
      readonly reason: 'Reserved';
      readonly approval: Approval;
      readonly status: ApprovalStatus;
    }
  | { readonly outcome: 'Allowed'; readonly reason: 'Readmitted'; readonly approval: Approval }
  | Denial;

export interface Denial {
  readonly outcome: 'Denied';
  readonly reason: 'ApprovalRequired' | 'AlreadyUsed' | 'WaitingForOthers';
  /** One sentence without full stop: what is missing. */
  readonly missing: string;
  /** The approval to wait for, by name in the namespace where approvals of this target live. */
  readonly approvalName: string;
  /** The approval of that name where there is one; absent means that it is to be filed. */
  readonly approval?: Approval;
  /** A reservation of this very change is about to be settled: deciding again shortly may end otherwise. */
  readonly isSettling: boolean;
}

/** Is the request privileged under the policy, and what is its identity? */
export function describe(request: AdmissionRequest, policy: Policy, context: ChangeContext): Described {
  const rows = rowsFor(policy, request);
  // The API server sent what our rules name. Where the policy no longer says so here, it is about to be told again.
  if (rows.length === 0) return { kind: 'Refused', reason: 'NotReady' };
  const changes = rows.map((row) => changeOf(row, request, context));
  const privileged = changes.filter((change) => typeof change !== 'string');
  const [change] = privileged;
  if (change === undefined) {
    const [reason = 'NoChange'] = changes.filter((one) => typeof one === 'string');
    return { kind: 'NotGoverned', reason };
  }
  if (new Set(privileged.map((one) => one.digest)).size > 1) return { kind: 'Refused', reason: 'SeveralEffects' };
  if (change.objectUID === '') return { kind: 'Refused', reason: 'Undescribable' };
  return { kind: 'Attempt', attempt: attemptOf(policy.metadata.name, request, change) };
}

/** What an approval is to an attempt. */
type Standing =
  | { readonly kind: 'Usable'; readonly lost?: number }
  | { readonly kind: 'SameUse' }
  | { readonly kind: 'Undecided' }
  | { readonly kind: 'OtherUse' }
  | { readonly kind: 'Over' };

interface Candidate {
  readonly approval: Approval;
  readonly tally: Tally;
  readonly life: Life;
  readonly standing: Standing;
}

export function decide(question: Question): Decision {
  const { attempt, now } = question;
  const candidates = question.view.approvals
    .filter((approval) => covers(approval, attempt, question.policy))
    .sort(byAge)
    .map((approval) => weigh(approval, question));

  const readmitted = candidates.find(({ standing }) => standing.kind === 'SameUse');
  if (readmitted !== undefined) return { outcome: 'Allowed', reason: 'Readmitted', approval: readmitted.approval };

  for (const { approval, standing, ...by } of candidates) {
    if (standing.kind !== 'Usable') continue;
    const waitsFor = missingElsewhere(question);
    if (waitsFor !== undefined) return denial(question, candidates, { reason: 'WaitingForOthers', missing: waitsFor });
    const lost = standing.lost === undefined ? {} : { lost: standing.lost };
    return {
      outcome: 'Allowed',
      reason: 'Reserved',
      approval,
      status: reservedStatus(approval, attempt, { ...by, now, ...lost }),
    };
  }
  return denial(question, candidates, undefined);
}

/** Does the approval cover requester, action and content? Whether it may be used now is another question. */
function covers(approval: Approval, attempt: Attempt, policy: Policy): boolean {
  const { spec } = approval;
  const { binding, bindIdentity } = grantOf(policy);
  if (approval.metadata.deletionTimestamp !== undefined) return false;
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
  const firstUID = approval.status?.uses?.[0]?.objectUID;
  if (attempt.change.operation !== 'CREATE' && firstUID !== undefined && firstUID !== attempt.change.objectUID)
    return false;
  if (binding === 'Target') return true;
  return spec.change?.digestVersion === digestVersion && spec.change.digest === attempt.change.digest;
}

function byAge(a: Approval, b: Approval): number {
  return (
    a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) ||
    a.metadata.uid.localeCompare(b.metadata.uid)
  );
}

function weigh(approval: Approval, question: Question): Candidate {
  const { attempt, policy, policies, view, now, request } = question;
  const votes = tally(approval, view.decisions, policy, policies);
  const life = lifeOf(approval, votes, policy);
  const standing = (): Standing => {
    const open = openUseOf(approval);
    if (isEnded(approval) || votes.stopped !== undefined) return { kind: 'Over' };
    if (open !== undefined) {
      const isSame = open.use.attemptKey === attempt.attemptKey && isSameBase(open.use.base, attempt.change.base);
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

/**
 * Approvals of one request under several policies form a group: none is reserved before all are there, else the calls,
 * asked in parallel, reserve and deny in turn for ever (experiments.md, H1). Returns what is still missing.
 */
function missingElsewhere(question: Question): string | undefined {
  const { attempt, policies, request, context, view } = question;
  const names = new Set(view.approvals.map((approval) => approval.spec.policy.name));
  for (const other of policies) {
    if (other.metadata.name === attempt.policy || !names.has(other.metadata.name)) continue;
    if (!isEnforced(other) || !isReady(other) || rowsFor(other, request).length === 0) continue;
    if (!isGated(other.spec.subjects, request.requester)) continue;
    const described = describe(request, other, context);
    if (described.kind !== 'Attempt') continue;
    const group = view.approvals
      .filter((approval) => covers(approval, described.attempt, other))
      .map((approval) => weigh(approval, { ...question, attempt: described.attempt, policy: other }))
      .filter(({ standing }) => standing.kind !== 'Over');
    const isMet = group.some(({ standing }) => standing.kind === 'Usable' || standing.kind === 'SameUse');
    const [waiting] = group;
    if (waiting !== undefined && !isMet) {
      return `policy ${other.metadata.name} is not satisfied: ${waiting.tally.missing || 'its approval is in use'}`;
    }
  }
  return undefined;
}

function denial(
  question: Question,
  candidates: readonly Candidate[],
  waiting: { readonly reason: 'WaitingForOthers'; readonly missing: string } | undefined,
): Denial {
  const { attempt, policy, policies, view } = question;
  const pending = candidates.find(({ standing }) => standing.kind === 'Undecided' || standing.kind === 'Usable');
  const reserved = candidates.filter(({ standing }) => standing.kind === 'OtherUse');
  const isOwn = reserved.some(({ approval }) => openUseOf(approval)?.use.attemptKey === attempt.attemptKey);
  const name = pending?.approval.metadata.name ?? nextName(question, candidates);
  const approval = pending?.approval ?? view.approvals.find((one) => one.metadata.name === name);
  const reason = waiting?.reason ?? (pending === undefined && reserved.length > 0 ? 'AlreadyUsed' : 'ApprovalRequired');
  const votes = pending?.tally ?? tally(emptyApproval(question, name), [], policy, policies);
  return {
    outcome: 'Denied',
    reason,
    missing:
      waiting?.missing ??
      (reason === 'AlreadyUsed'
        ? `its last approval is reserved or spent; ${votes.missing} missing`
        : `${votes.missing} missing`),
    approvalName: name,
    ...(approval === undefined ? {} : { approval }),
    isSettling: isOwn && pending === undefined,
  };
}

/** The name made from the newest approval of this attempt that can serve it no more. */
function nextName(question: Question, candidates: readonly Candidate[]): string {
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

function isOfSameAttempt(approval: Approval, attempt: Attempt): boolean {
  const { policy, action, change } = approval.spec;
  const key = digestOf([targetKeyOf(approval.spec), policy.name, action.objectUID ?? '', change?.digest ?? '']);
  return (
    key === attempt.attemptKey || (approval.status?.uses ?? []).some((use) => use.attemptKey === attempt.attemptKey)
  );
}

function emptyApproval(question: Question, name: string): Approval {
  const { attempt, now } = question;
  return {
    metadata: { name, namespace: '', uid: '', resourceVersion: '', creationTimestamp: now.toISOString() },
    spec: { policy: { name: attempt.policy }, requester: attempt.requester, action: attempt.action },
  };
}

/** Requests on these shapes are dry runs that really change nothing. Anywhere else the flag is ignored: the API server
 *  hands out a working token on serviceaccounts/token?dryRun=All (measured). */
const dryRunnable = new Set(['', 'status', 'scale', 'eviction', 'approval', 'ephemeralcontainers', 'resize']);

export function isHarmlessDryRun(request: AdmissionRequest): boolean {
  return request.dryRun && dryRunnable.has(request.subresource);
}

/** The reason or ticket that a plain client states on the object it sends. */
export function statedOn(request: AdmissionRequest, what: 'reason' | 'ticket'): string | undefined {
  const value = valueAt(request.object ?? request.oldObject, `/metadata/annotations/stepup.dev~1${what}`);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
