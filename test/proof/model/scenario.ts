// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a scenario fixes: who may do what how often. Everything else is free.
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../../src/api/kinds.ts';
import { targetLabelOf } from '../../../src/domain/change/attempt.ts';
import { plan } from '../../../src/domain/lifecycle/plan.ts';
import type { Decision } from '../../../src/domain/model/approval.ts';
import { targetLabel } from '../../../src/domain/model/labels.ts';
import type { Action, Policy, PolicySpec } from '../../../src/domain/model/policy.ts';
import { approval, at, deploys, policy, situation, word } from '../../support/builders/domain.ts';
import { approvalOf } from '../../support/seals.ts';
import { asStored } from './approval-storage.ts';
import { started } from './replicas.ts';
import { firstTarget, type Kind, reviewOf, type Wish, wished } from './targets.ts';
import type { Target, World } from './world.ts';

/** A writer that no policy gates. Undefined: there is nothing for it to do. */
export interface Other {
  readonly name: string;
  readonly times: number;
  readonly write: (target: Target) => Omit<Target, 'resourceVersion'> | undefined;
}

interface OperatorSetting {
  /** Statuses that are decided and not yet written at the same time: 0 decides and writes in one step. */
  readonly pendingWrites: number;
  /** Whether a watch may lose states of the target. */
  readonly mayMiss: boolean;
  /** Whether it may look at the target at all. */
  readonly mayLook: boolean;
}

export interface Scenario {
  readonly name: string;
  readonly kind: Kind;
  readonly target: Target;
  readonly policy: StepUpPolicy;
  readonly approval: StepUpApproval;
  /** The first one approves and is there from the start; the others may come. */
  readonly words: readonly StepUpDecision[];
  readonly wishes: readonly Wish[];
  /** The wish of each request that may be under way at the same time. */
  readonly flights: readonly number[];
  readonly others: readonly Other[];
  /** Seconds after the approval was filed. It is usable before 960 and re-admits before 994. */
  readonly instants: readonly number[];
  /** How far clocks of webhook replicas may be off, in instants. */
  readonly skews: readonly number[];
  readonly operatorSkews: readonly number[];
  readonly operator: OperatorSetting | undefined;
  /** How many states back an API server's watch cache may be. */
  readonly staleness: number;
  /** Replicas with caches that only go on and with a memory; 0: any number of them, each just started. */
  readonly replicas: number;
  /** What caches of webhook replicas may hold: nothing, the first and the stored version, or any there ever was. */
  readonly caches: 'FirstAndStored' | 'Any';
  /** Worlds with more uses are not followed: a stale watch cache may reserve and lose again and again. */
  readonly mostUses: number;
  /** Whether calls, answers and API servers may fail anywhere. */
  readonly mayFail: boolean;
  readonly mayBeTooLarge: boolean;
  /** Nobody whose request the approval covers is refused. */
  readonly isNeverDenied: boolean;
  /** What must have happened somewhere, or the scenario proves nothing. */
  readonly sights: readonly string[];
}

export interface ScenarioOptions extends Partial<Omit<Scenario, 'policy' | 'approval' | 'words' | 'kind'>> {
  readonly name: string;
  readonly kind?: Kind;
  readonly policySpec?: Partial<PolicySpec>;
  /** Words that may follow the approving one. */
  readonly laterWords?: readonly Decision['spec']['verdict'][];
}

const apiVersion = 'stepup.dev/v1alpha1';

export const usableUntilSeconds = 960;
export const readmittedUntilSeconds = 994;

const configMaps = {
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  apiGroups: [''],
  resources: ['configmaps'],
  fields: ['/data'],
} satisfies Action;

const complete: OperatorSetting = { pendingWrites: 0, mayMiss: false, mayLook: true };

export function scenario(options: ScenarioOptions): Scenario {
  const { policySpec = {}, laterWords = [], kind = 'Deployment', target = firstTarget, ...rest } = options;
  const wishes: readonly Wish[] = options.wishes ?? [{ verb: 'UPDATE', content: 'b' }];
  const actions = kind === 'Deployment' ? [deploys] : [configMaps];
  const under = policy({ actions, ...policySpec });
  const filed = firstApproval(wishes, { kind, target }, under);
  const approving = word(approvalOf(filed), {}, 'uid-word-0');
  const later = laterWords.map((verdict, index) =>
    word(approvalOf(filed), { verdict, decidedAt: at(120).toISOString() }, `uid-word-${index + 1}`),
  );
  const approved = plan(situation(approvalOf(filed), { policy: under, decisions: [approving], now: at(60) })).status;
  return {
    wishes,
    flights: [0, 0],
    others: [],
    instants: [120, 980, 1100],
    skews: [0],
    operatorSkews: [0],
    operator: complete,
    staleness: 1,
    replicas: 0,
    caches: 'FirstAndStored',
    mostUses: 2,
    mayFail: true,
    mayBeTooLarge: false,
    isNeverDenied: false,
    sights: [],
    ...rest,
    kind,
    target,
    policy: { apiVersion, kind: 'StepUpPolicy', ...under } as StepUpPolicy,
    approval: { ...filed, status: asStored(approved ?? {}) },
    words: [approving, ...later].map(
      ({ metadata, spec }) => ({ apiVersion, kind: 'StepUpDecision', metadata, spec }) as unknown as StepUpDecision,
    ),
  };
}

/** What a clock says that is exactly right, or off by whole instants. */
export function secondsAt({ instants }: Scenario, clock: number): number {
  return instants[Math.min(Math.max(clock, 0), instants.length - 1)] ?? 0;
}

export function firstWorld({ target, approval: filed, flights, others, replicas }: Scenario): World {
  return {
    targets: [target],
    approvals: [filed],
    words: 1,
    clock: 0,
    flights: flights.map((wish) => ({ at: 'Idle', wish })),
    replicas: Array.from({ length: replicas }, () => started),
    writes: [],
    left: others.map(({ times }) => times),
    effects: 0,
    isBlind: false,
  };
}

/** The approval as the webhook files it for the first wish, with the label that admission stamps. */
function firstApproval(wishes: readonly Wish[], of: Pick<Scenario, 'kind' | 'target'>, under: Policy): StepUpApproval {
  const [wish] = wishes;
  const next = wish && wished(wish, of.target, () => 'uid-filed');
  if (wish === undefined || next === undefined) throw new Error('the first wish changes the first target');
  const filed = approval(reviewOf(wish, of.kind, of.target, next), under);
  const labels = { [targetLabel]: targetLabelOf(filed.spec) };
  return {
    apiVersion,
    kind: 'StepUpApproval',
    ...filed,
    metadata: { ...filed.metadata, namespace: 'prod', resourceVersion: '1', labels },
  } as StepUpApproval;
}
