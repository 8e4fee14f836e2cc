// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The operator's metrics, declared once for the process, however often it becomes leader.
import { Counter, Gauge, type Metric, type Registry } from 'prom-client';
import type { StepUpApproval, StepUpPolicy } from '../api/kinds.ts';
import { ends, type Phase } from '../domain/model/approval.ts';
import { isReady } from '../domain/model/policy.ts';

export interface OperatorMetrics {
  leading(isLeader: boolean): void;
  moved(phase: string): void;
  settled(result: string): void;
  restored(kind: string): void;
  /** A break glass that came to light, or the review of one. */
  reviewed(review: 'Required' | 'Done'): void;
  /** How many wait for their review now. */
  unreviewed(count: number): void;
  tampered(): void;
  engineAnswered(engine: string, result: string): void;
  /** Of what the gate stands on, other than approvals. */
  tampering(kind: string): void;
  /** Which policies' gates the API server asks, as the watchdog found. */
  gates(found: ReadonlyMap<string, boolean>): void;
  /** The watchdog had an answer. */
  looked(at: Date): void;
  /** From now on the lengths of these queues are told, for as long as this replica leads. */
  queues(named: Readonly<Record<QueueName, { readonly queued: number }>>): void;
}

type QueueName = 'approvals' | 'policies' | 'engines';

export interface Counted {
  readonly approvals: () => Iterable<StepUpApproval>;
  readonly policies: () => Iterable<StepUpPolicy>;
}

/** Told by every replica, so that the sum over all is there while nobody leads. */
export function leaderGauge(registry: Registry): Gauge {
  const name = 'stepup_leader';
  const known = registry.getSingleMetric(name) as Gauge | undefined;
  return known ?? new Gauge({ name, help: '1 while this replica runs the operator.', registers: [registry] });
}

const phases: readonly Phase[] = ['Pending', 'Approved', 'Reserved', ...ends];
const settlementResults = ['Observed', 'Admitted', 'Unconfirmed', 'Lost', 'Stands'] as const;
/** What the gate stands on, and whose foreign changes are noticed. */
const kinds = [
  'ValidatingWebhookConfiguration',
  'MutatingWebhookConfiguration',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
  'CustomResourceDefinition',
  'APIService',
  'StepUpPolicy',
  'Secret',
] as const;

export function operatorMetrics(registry: Registry, counted: Counted): OperatorMetrics {
  const once = <T extends Metric>(name: string, create: () => T): T =>
    (registry.getSingleMetric(name) as T | undefined) ?? create();
  const registers = [registry];
  once(
    'stepup_approvals',
    () =>
      new Gauge({
        name: 'stepup_approvals',
        help: 'Live approvals by phase.',
        labelNames: ['phase'],
        registers,
        collect() {
          this.reset();
          for (const phase of ['Pending', 'Approved', 'Reserved']) this.set({ phase }, 0);
          for (const { status } of counted.approvals()) this.inc({ phase: status?.phase ?? 'Pending' });
        },
      }),
  );
  once(
    'stepup_policies',
    () =>
      new Gauge({
        name: 'stepup_policies',
        help: 'Policies by whether their newest generation is in force.',
        labelNames: ['ready'],
        registers,
        collect() {
          this.set({ ready: 'true' }, 0);
          this.set({ ready: 'false' }, 0);
          for (const policy of counted.policies()) this.inc({ ready: String(isReady(policy)) });
        },
      }),
  );
  const unreviewed = once(
    'stepup_unreviewed_bypasses',
    () =>
      new Gauge({
        name: 'stepup_unreviewed_bypasses',
        help: 'Break-glass approvals that nobody has reviewed yet, ended ones too; reported by the leader.',
        registers,
      }),
  );
  const leader = leaderGauge(registry);
  const gates = once(
    'stepup_gate_in_path',
    () =>
      new Gauge({
        name: 'stepup_gate_in_path',
        help: '1 when the API server calls the webhook of the policy, 0 when it does not; reported by the leader.',
        labelNames: ['policy'],
        registers,
      }),
  );
  const looked = once(
    'stepup_watchdog_last_success_timestamp_seconds',
    () =>
      new Gauge({
        name: 'stepup_watchdog_last_success_timestamp_seconds',
        help: 'When the watchdog last got an answer, whatever it was; 0 on a replica that does not lead.',
        registers,
      }),
  );
  let queues: Readonly<Record<string, { readonly queued: number }>> = {};
  registry.removeSingleMetric('stepup_work_queue_keys');
  new Gauge({
    name: 'stepup_work_queue_keys',
    help: 'Keys that wait for a worker of the operator.',
    labelNames: ['queue'],
    registers,
    collect() {
      this.reset();
      for (const [queue, { queued }] of Object.entries(queues)) this.set({ queue }, queued);
    },
  });
  // From zero on, or nobody would see the first one rise.
  const counter = (name: string, help: string, label: string, values: readonly string[]) =>
    once(name, () => {
      const created = new Counter({ name, help, labelNames: [label], registers });
      for (const value of values) created.inc({ [label]: value }, 0);
      return created;
    });
  const transitions = counter(
    'stepup_transitions_total',
    'Transitions of approvals, by the new phase.',
    'phase',
    phases,
  );
  const bypasses = counter('stepup_bypass_reviews_total', 'Break-glass approvals, and their reviews.', 'review', [
    'Required',
    'Done',
  ]);
  const restores = counter(
    'stepup_restores_total',
    'Objects restored after somebody else changed them.',
    'kind',
    kinds,
  );
  const tamperings = counter(
    'stepup_tampering_total',
    'Changes by somebody else to objects that stepup depends on.',
    'kind',
    kinds,
  );
  const settlements = counter(
    'stepup_settlements_total',
    'Reservations settled, by result.',
    'result',
    settlementResults,
  );
  const tampered = once(
    'stepup_unsealed_total',
    () =>
      new Counter({
        name: 'stepup_unsealed_total',
        help: 'Approvals with something that has no seal of stepup.',
        registers,
      }),
  );
  const answers = once(
    'stepup_engine_answers_total',
    () =>
      new Counter({
        name: 'stepup_engine_answers_total',
        help: 'Answers of the policy engines, or why there was none.',
        labelNames: ['engine', 'result'],
        registers,
      }),
  );
  return {
    leading: (isLeader) => {
      leader.set(isLeader ? 1 : 0);
      // The next leader tells.
      if (!isLeader) {
        unreviewed.set(0);
        gates.reset();
        looked.set(0);
        queues = {};
      }
    },
    moved: (phase) => transitions.inc({ phase }),
    settled: (result) => settlements.inc({ result }),
    reviewed: (review) => bypasses.inc({ review }),
    unreviewed: (count) => unreviewed.set(count),
    tampered: () => tampered.inc(),
    restored: (kind) => restores.inc({ kind }),
    engineAnswered: (engine, result) => answers.inc({ engine, result }),
    tampering: (kind) => tamperings.inc({ kind }),
    gates: (found) => {
      gates.reset();
      for (const [policy, isInPath] of found) gates.set({ policy }, isInPath ? 1 : 0);
    },
    looked: (at) => looked.set(at.getTime() / 1000),
    queues: (named) => {
      queues = named;
    },
  };
}
