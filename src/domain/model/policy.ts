// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// StepUpPolicy as the domain reads it: the API object, reduced to the fields that decisions use.
import type { Operation } from './request.ts';
import type { Subjects } from './subject.ts';

export interface Policy {
  readonly metadata: { readonly name: string; readonly uid: string; readonly generation: number };
  readonly spec: PolicySpec;
  readonly status?: { readonly conditions?: readonly PolicyCondition[] };
}

interface PolicyCondition {
  readonly type: string;
  readonly status: string;
  readonly observedGeneration?: number;
}

export interface PolicySpec {
  readonly mode?: 'Enforce' | 'Observe';
  readonly risk?: { readonly level?: string; readonly irreversible?: boolean; readonly why?: string };
  readonly subjects?: Subjects;
  readonly actions: readonly Action[];
  readonly namespaceSelector?: LabelSelector;
  readonly namespaceShapes?: string;
  readonly conditions?: readonly { readonly name: string; readonly expression: string }[];
  readonly approval: {
    readonly require?: readonly Requirement[];
    readonly auto?: { readonly ratePerHour: number };
    /** Whether votes count that the requester could have cast itself; absent means Warn. */
    readonly requesterTooPowerful?: 'Warn' | 'Refuse';
    readonly reasonRequired?: boolean;
    readonly ticketRequired?: boolean;
  };
  readonly grant?: {
    readonly ttlSeconds?: number;
    readonly binding?: 'Content' | 'Target';
    readonly bindIdentity?: 'ServiceAccount' | 'Pod' | 'Credential';
  };
  readonly request?: {
    readonly pendingTTLSeconds?: number;
    readonly whenPending?: 'Deny' | 'Retry';
    readonly retryAfterSeconds?: number;
    readonly maxPendingPerRequester?: number;
  };
  readonly bypass?: { readonly enabled?: boolean };
  readonly failurePolicy?: 'Fail' | 'Ignore';
}

/** What is privileged: operations on kinds. With fields, an UPDATE only when one of those subtrees changes. */
export interface Action {
  readonly operations: readonly Operation[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly fields?: readonly string[];
  readonly digestIgnore?: readonly string[];
  /** The longest lifetime of a token that can be requested at all, if tokens are governed. */
  readonly maxTokenSeconds?: number;
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

/** One requirement: a number of distinct approvers out of these, or the vote of an engine. */
export interface Requirement {
  readonly name: string;
  readonly count?: number;
  readonly approvers?: {
    readonly users?: readonly string[];
    readonly groups?: readonly string[];
    readonly serviceAccounts?: readonly { readonly namespace: string; readonly name: string }[];
  };
  readonly engine?: string;
}

/** The engines that the policy requires, each once. */
export function enginesOf(spec: PolicySpec): readonly string[] {
  const names = (spec.approval.require ?? []).flatMap(({ engine }) => (engine === undefined ? [] : [engine]));
  return [...new Set(names)];
}

/** The policy's settings with the defaults of the schema, for objects stored before a default existed. */
export function grantOf(policy: Policy) {
  return {
    ttlSeconds: policy.spec.grant?.ttlSeconds ?? 900,
    binding: policy.spec.grant?.binding ?? 'Content',
    bindIdentity: policy.spec.grant?.bindIdentity ?? 'ServiceAccount',
  };
}

/** How long an approval waits for votes where no policy says so. */
export const defaultPendingSeconds = 3600;

/** How requests without an approval are answered and kept, defaults filled in. */
export function requestRulesOf(policy: Policy) {
  return {
    pendingTTLSeconds: policy.spec.request?.pendingTTLSeconds ?? defaultPendingSeconds,
    whenPending: policy.spec.request?.whenPending ?? 'Deny',
    retryAfterSeconds: Math.min(policy.spec.request?.retryAfterSeconds ?? 15, 30),
    maxPendingPerRequester: policy.spec.request?.maxPendingPerRequester ?? 100,
  };
}

export function isEnforced(policy: Policy): boolean {
  return (policy.spec.mode ?? 'Enforce') === 'Enforce';
}

/** True when the operator has accepted this generation of the policy. */
export function isReady(policy: Policy): boolean {
  return (policy.status?.conditions ?? []).some(
    (condition) =>
      condition.type === 'Ready' &&
      condition.status === 'True' &&
      condition.observedGeneration === policy.metadata.generation,
  );
}

export function requirementsOf(policy: Policy): readonly Requirement[] {
  return policy.spec.approval.require ?? [];
}
