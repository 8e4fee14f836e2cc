// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// StepUpApproval and StepUpDecision as the domain reads them: the API objects, reduced to the fields that decisions
// use.
import type { Operation } from './request.ts';
import type { SealCheck } from './seal-check.ts';

export interface Approval {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: ApprovalSpec;
  readonly status?: ApprovalStatus;
  /** The results of checking its seals. */
  readonly seals: {
    readonly creation: SealCheck;
    /** One for each release. */
    readonly releases: readonly SealCheck[];
    /** Of status.preview, if there is one. */
    readonly preview?: SealCheck;
  };
}

export interface ApprovalSpec {
  readonly policy: { readonly name: string; readonly uid?: string; readonly generation?: number };
  readonly requester: {
    readonly username: string;
    readonly uid?: string;
    readonly pod?: { readonly name: string; readonly uid: string };
    /** The node of the pod at the time of the request. It is shown to approvers and binds nothing. */
    readonly node?: { readonly name: string; readonly uid?: string };
    readonly credential?: string;
    /** The usernames in the account's annotation stepup.dev/owner at the time of the request. */
    readonly owners?: readonly string[];
  };
  readonly action: ApprovalAction;
  readonly change?: {
    readonly digest?: string;
    readonly digestVersion?: string;
    readonly fields?: readonly string[];
    /** Shown to approvers; it binds nothing. */
    readonly askedOn?: AskedOn;
    readonly preview?: { readonly diff?: string; readonly truncated?: boolean };
  };
  readonly ttlSeconds?: number;
  readonly reason?: string;
  readonly ticket?: string;
  readonly origin?: 'Denied' | 'Asked' | 'Applied' | 'Auto';
  /** The reservation that was created with the approval (origin Auto): the first of its uses. */
  readonly use?: Use;
  readonly createdBy?: CreationStamp;
}

/** The state of the target at the time of the request: its generation, or its resourceVersion if it has none. */
export interface AskedOn {
  readonly uid: string;
  readonly generation?: number;
  readonly resourceVersion?: string;
}

export interface ApprovalAction {
  readonly operation: Operation;
  readonly group?: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly objectUID?: string;
}

/** An identity written by admission from the authenticated caller. */
export interface Stamp {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  /** How the requester could have cast this vote itself, at that time. */
  readonly requesterMay?: string;
}

/** Who created an approval, and for which object that was written: a copy has the same stamp (creation-vote.ts). */
interface CreationStamp extends Stamp {
  readonly stampedAt?: string;
  readonly nonce?: string;
  readonly seal?: string;
}

export type Phase = 'Pending' | 'Approved' | 'Reserved' | End;
export type End = 'Consumed' | 'Denied' | 'TimedOut' | 'Expired' | 'Withdrawn' | 'Revoked' | 'Superseded';
export const ends: readonly End[] = ['Consumed', 'Denied', 'TimedOut', 'Expired', 'Withdrawn', 'Revoked', 'Superseded'];

/** How it is known that an approved effect happened. */
export type Evidence = 'Observed' | 'Unconfirmed' | 'Admitted';

export interface ApprovalStatus {
  readonly observedGeneration?: number;
  readonly phase?: Phase;
  readonly votes?: string;
  readonly required?: number;
  readonly received?: number;
  readonly missing?: string;
  readonly summary?: { readonly requester?: string; readonly action?: string };
  readonly pendingUntil?: string;
  readonly usableUntil?: string;
  readonly approvedAt?: string;
  readonly endedAt?: string;
  readonly evidence?: Evidence;
  /** Required after break-glass was used; Done when somebody else has reviewed it. */
  readonly review?: 'Required' | 'Done';
  /** The change as stepup saw it, for approvals that somebody else filed. */
  readonly preview?: SeenPreview;
  readonly approveWith?: string;
  readonly decisions?: readonly SeenDecision[];
  readonly engines?: readonly Abstention[];
  readonly uses?: readonly Use[];
  readonly releases?: readonly Release[];
  readonly conditions?: readonly Condition[];
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/** The preview of a request with this content. */
export interface SeenPreview {
  readonly diff: string;
  readonly truncated: boolean;
  readonly verifiedAt: string;
  readonly seal?: string;
}

/** A copy of a vote in the status of the approval, for people. */
export interface SeenDecision {
  readonly name: string;
  readonly uid: string;
  readonly verdict: Verdict;
  readonly decidedBy: string;
  readonly decidedVia?: string;
  readonly decidedAt: string;
  readonly reason?: string;
  readonly bypass?: boolean;
  readonly counted: boolean;
  readonly why?: string;
}

/** A policy engine that was called and has not decided. It is information for people and decides nothing. */
export interface Abstention {
  readonly name: string;
  /** Why, as a short phrase. */
  readonly abstained: string;
}

/** One reservation. Without a release it counts as used (ADR 0003). */
export interface Use {
  readonly attemptKey: string;
  readonly digest: string;
  /** Of digest and attempt key. */
  readonly digestVersion?: string;
  readonly base: Base;
  readonly effect?: Effect;
  readonly reservedAt: string;
  readonly requestUID?: string;
  readonly objectUID?: string;
  readonly oldResourceVersion?: string;
  readonly votes?: readonly string[];
}

/** The state of the target on which the reserved write can succeed at most once. */
export interface Base {
  readonly kind: 'Generation' | 'ResourceVersion' | 'Scale' | 'Deletion' | 'Creation' | 'Request';
  readonly uid?: string;
  readonly generation?: number;
  readonly resourceVersion?: string;
  readonly requestUID?: string;
}

/** How to recognise the effect in a later state of the target, whatever has become of the policy since. */
export interface Effect {
  readonly content: Content;
  /** Hash of the old state's content, nothing ignored. */
  readonly before: string;
  /** Hash of the new state's content, without what the policy ignores. */
  readonly after: string;
}

/** Which part of an object is looked at. */
export interface Content {
  readonly kind: 'Object' | 'ObjectAndStatus' | 'Spec' | 'Fields' | 'Labels' | 'Replicas';
  readonly pointers?: readonly string[];
  readonly ignore?: readonly string[];
}

export interface Release {
  /** Index in uses. */
  readonly use: number;
  readonly releasedAt: string;
  readonly why: string;
  readonly seal?: string;
}

export type Verdict = 'Approve' | 'Deny' | 'Revoke' | 'Withdraw' | 'Review';

/** True of the verdicts that open something; the others only close. */
export function isYes(verdict: string): boolean {
  return verdict === 'Approve' || verdict === 'Review';
}

export interface Decision {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly creationTimestamp: string;
  };
  readonly spec: {
    readonly approval: { readonly name: string; readonly uid: string; readonly digest?: string };
    readonly verdict: Verdict;
    readonly reason?: string;
    readonly bypass?: boolean;
    /** The voter: the authenticated caller or, with decidedVia, the person on whose behalf this delegate votes. */
    readonly decidedBy?: Stamp;
    readonly decidedVia?: Stamp;
    readonly kind?: 'Human' | 'Delegate' | 'Engine';
    /** Of kind Engine only. */
    readonly engine?: { readonly name: string; readonly rule: string };
    readonly decidedAt?: string;
    readonly seal?: string;
  };
  /** The result of checking its seal. */
  readonly seal: SealCheck;
}

/** All reservations, the oldest first; releases name them by their index. */
export function usesOf({ spec, status }: Pick<Approval, 'spec' | 'status'>): readonly Use[] {
  const { uses = [] } = status ?? {};
  return spec.use === undefined ? uses : [spec.use, ...uses];
}

/** The oldest first. */
export function byAge(a: Pick<Approval, 'metadata'>, b: Pick<Approval, 'metadata'>): number {
  return (
    a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) ||
    a.metadata.uid.localeCompare(b.metadata.uid)
  );
}

export function isEnded(approval: Pick<Approval, 'status'>): boolean {
  const phase = approval.status?.phase;
  return phase !== undefined && ends.some((end) => end === phase);
}

export interface Preview {
  readonly diff: string;
  readonly truncated: boolean;
}
