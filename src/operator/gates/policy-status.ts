// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The conditions Ready and Tampered of a policy, written only when something changed.
import type { StepUpPolicy } from '../../api/kinds.ts';
import type { TamperedCondition } from '../../domain/integrity/policy-tampering.ts';
import { isGateEntry, type NewConfiguration } from '../admission/webhook-configuration.ts';
import type { Problem } from './policy-problems.ts';

export interface Readiness {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

type PolicyStatus = NonNullable<StepUpPolicy['status']>;
type StatusCondition = NonNullable<PolicyStatus['conditions']>[number];

export function readyWith(configuration: NewConfiguration, problems: readonly Problem[]): Readiness {
  const [first] = problems;
  const entries = (configuration.webhooks ?? []).filter(isGateEntry).length;
  const inPlace = `ValidatingWebhookConfiguration ${configuration.metadata.name} is installed (${entries} ${entries === 1 ? 'webhook' : 'webhooks'})`;
  const message = [inPlace, ...problems.map((problem) => problem.message)].join('; ');
  return { status: 'True', reason: first?.reason ?? 'InPlace', message };
}

export function notReadyFor(problems: readonly Problem[]): Readiness {
  const reason = problems[0]?.reason ?? 'KindNotServed';
  return { status: 'False', reason, message: problems.map((problem) => problem.message).join('; ') };
}

/** The status with the readiness and the tampering in it; undefined when it says so already. */
export function statusWith(
  policy: StepUpPolicy,
  readiness: Readiness,
  tampered: TamperedCondition | undefined,
  now: Date,
): PolicyStatus | undefined {
  const { generation } = policy.metadata;
  const { conditions = [] } = policy.status ?? {};
  const before = conditions.find(({ type }) => type === 'Ready');
  const isSame =
    before?.status === readiness.status &&
    before.reason === readiness.reason &&
    before.message === readiness.message &&
    before.observedGeneration === generation;
  const tamperedBefore = conditions.find(({ type }) => type === 'Tampered');
  const isTamperedSame = tamperedBefore?.status === tampered?.status && tamperedBefore?.message === tampered?.message;
  if (isSame && isTamperedSame && policy.status?.observedGeneration === generation) return undefined;
  const ready: StatusCondition = {
    type: 'Ready',
    ...readiness,
    observedGeneration: generation,
    lastTransitionTime: before?.status === readiness.status ? before.lastTransitionTime : now.toISOString(),
  };
  const { observed, ...status } = policy.status ?? {};
  return {
    ...status,
    // What it would have refused is over once it refuses.
    ...(observed !== undefined && policy.spec.mode === 'Observe' ? { observed } : {}),
    observedGeneration: generation,
    conditions: [
      ready,
      ...(tampered === undefined ? [] : [{ ...tampered, observedGeneration: generation }]),
      ...conditions.filter(({ type }) => type !== 'Ready' && type !== 'Tampered'),
    ],
  };
}
