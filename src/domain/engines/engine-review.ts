// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a policy engine is asked about an approval (docs/engines.md).

import { defined } from '../../lib/json.ts';
import { targetKeyOf } from '../change/attempt.ts';
import { isFiledByUs, isSeenByUs } from '../lifecycle/content-verified.ts';
import { isFirstTime, type PastUse, pastUses } from '../lifecycle/history.ts';
import { hasTargetChanged } from '../lifecycle/target-drift.ts';
import { type Approval, type ApprovalAction, type Decision, isEnded, type SeenDecision } from '../model/approval.ts';
import { lifeOf } from '../model/deadlines.ts';
import type { Policy } from '../model/policy.ts';
import type { Seen } from '../model/seen.ts';
import { serviceAccountOf } from '../model/subject.ts';
import { tally } from '../votes/tally.ts';

export const engineFormats = ['stepup', 'opa'] as const;
export type EngineFormat = (typeof engineFormats)[number];

/** What is POSTed to an engine; with format opa as `{"input": …}`. */
export interface EngineReview {
  readonly apiVersion: 'stepup.dev/v1alpha1';
  readonly kind: 'EngineReview';
  readonly engine: string;
  /** The instant of asking. */
  readonly time: string;
  readonly policy: { readonly name: string; readonly risk?: Policy['spec']['risk'] };
  readonly approval: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly createdAt: string;
    readonly pendingUntil: string;
    readonly origin?: Approval['spec']['origin'];
    readonly reason?: string;
    readonly ticket?: string;
  };
  readonly requester: Approval['spec']['requester'] & {
    readonly serviceAccount?: { readonly namespace: string; readonly name: string };
  };
  readonly action: ApprovalAction;
  readonly change: {
    readonly digest?: string;
    readonly fields?: readonly string[];
    /** Whether the target, read now, is in another state than when it was asked for. */
    readonly targetChangedSinceAsked: boolean | 'unknown';
    /** Absent while stepup itself has not seen the content. */
    readonly preview?: { readonly diff: string; readonly truncated: boolean };
  };
  readonly votes: {
    readonly required: number;
    readonly received: number;
    /** The votes that count so far. */
    readonly decisions: readonly Pick<SeenDecision, 'verdict' | 'decidedBy' | 'decidedAt' | 'reason'>[];
  };
  /** What the same requester did to the same target before, as far as its approvals are still kept. */
  readonly history: {
    /** No approval of this action by this requester on this target under this policy has been used. */
    readonly firstTime: boolean;
    /** Under any policy, the newest first, at most ten. */
    readonly uses: readonly PastUse[];
  };
}

/** As the domain reads what there is to know about an approval when an engine is asked. */
export interface Considered {
  readonly approval: Approval;
  readonly decisions: readonly Decision[];
  readonly policy: Policy;
  readonly policies: readonly Policy[];
  /** All other approvals on its target, ended ones included. */
  readonly others: readonly Approval[];
  /** What was seen of its target just now. */
  readonly seen: Seen;
  readonly now: Date;
}

/** The engines that are to be asked about an approval now; none once it is decided, over or ended. */
export function enginesToAsk({ approval, decisions, policy, policies, others, now }: Considered): readonly string[] {
  if (isEnded(approval)) return [];
  const votes = tally(approval, decisions, policy, policies, others);
  const isOver = votes.stopped !== undefined || now >= lifeOf(approval, votes, policy).pendingUntil;
  return isOver ? [] : votes.missingEngines;
}

const mostUses = 10;

export function engineReview(engine: string, considered: Considered): EngineReview {
  const { approval, decisions, policy, policies, others, seen, now } = considered;
  const { metadata, spec, status } = approval;
  const votes = tally(approval, decisions, policy, policies, others);
  const { change = {} } = spec;
  const requester = requesterIn(approval);
  const uses = pastUses(targetKeyOf(spec), others);
  const serviceAccount = serviceAccountOf(requester.username);
  const preview = isFiledByUs(approval) ? change.preview : isSeenByUs(approval) ? status?.preview : undefined;
  const counted = votes.decisions.filter((vote) => vote.counted);
  return {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'EngineReview',
    engine,
    time: now.toISOString(),
    policy: { name: policy.metadata.name, ...defined({ risk: policy.spec.risk }) },
    approval: {
      namespace: metadata.namespace,
      name: metadata.name,
      uid: metadata.uid,
      createdAt: metadata.creationTimestamp,
      pendingUntil: lifeOf(approval, votes, policy).pendingUntil.toISOString(),
      ...defined({ origin: spec.origin, reason: spec.reason, ticket: spec.ticket }),
    },
    requester: { ...requester, ...defined({ serviceAccount }) },
    action: spec.action,
    change: {
      ...defined({ digest: change.digest, fields: change.fields }),
      targetChangedSinceAsked: hasTargetChanged(approval, seen) ?? 'unknown',
      ...(preview?.diff === undefined
        ? {}
        : { preview: { diff: preview.diff, truncated: preview.truncated ?? false } }),
    },
    votes: {
      required: votes.required,
      received: votes.received,
      decisions: counted.map(({ verdict, decidedBy, decidedAt, reason }) => ({
        verdict,
        decidedBy,
        decidedAt,
        ...defined({ reason }),
      })),
    },
    history: { firstTime: isFirstTime(policy.metadata.name, uses), uses: uses.slice(0, mostUses) },
  };
}

/** Without a seal, what would be written by us is what somebody claims who wrote it past admission. */
function requesterIn({ spec, seals }: Approval): Approval['spec']['requester'] {
  if (seals.creation === 'Sealed') return spec.requester;
  const { node: _, owners: _owners, ...claimed } = spec.requester;
  return claimed;
}

/** What is sent to an engine of this format. */
export function askOf(review: EngineReview, format: EngineFormat): object {
  return format === 'opa' ? { input: review } : review;
}
