// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Checks once a minute that the API server calls the webhook of every policy, and reports when it does not (ADR 0014).
import type { StepUpPolicy } from '../../api/kinds.ts';
import { isReady } from '../../domain/model/policy.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { EventRecorder } from '../../kube/objects/events.ts';
import type { Lease } from '../../kube/objects/lease.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import * as resources from '../../kube/objects/resources.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import { defined } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { OperatorMetrics } from '../../observe/operator-metrics.ts';
import { gatePrefix, isManaged, type WebhookConfiguration } from '../admission/webhook-configuration.ts';
import { gatesInPath } from './send-probe.ts';

/** A policy whose webhook the API server should call. */
export interface ExpectedGate {
  readonly policy: string;
  /** Of the policy; absent where only its gate is left. */
  readonly uid?: string;
}

export interface GateWatchdogOptions {
  readonly expected: () => readonly ExpectedGate[];
  /** Those of the policies whose webhooks are called; rejects when it is not known. */
  readonly probe: (policies: readonly string[], signal: AbortSignal) => Promise<ReadonlySet<string>>;
  readonly everySeconds: number;
  readonly metrics: Pick<OperatorMetrics, 'gates' | 'looked'>;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly log: Log;
  readonly clock: Clock;
}

/** The API server learns of a new webhook configuration after a moment. */
const againMs = 2_000;

export class GateWatchdog {
  readonly #options: GateWatchdogOptions;
  /** What was found last, by policy. */
  #known: ReadonlyMap<string, boolean> = new Map();

  constructor(options: GateWatchdogOptions) {
    this.#options = options;
  }

  /** Looks until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, everySeconds } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#look(signal);
      } catch (error) {
        if (!signal.aborted) log.warn(errorFields(error), 'the watchdog cannot check the webhooks');
      }
      await sleep(clock, everySeconds * 1000, signal);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { expected, probe, metrics, clock } = this.#options;
    const gates = expected();
    const answered = new Set(await probe(namesOf(gates), signal));
    const missing = namesOf(gates).filter((policy) => !answered.has(policy));
    if (missing.length > 0) {
      await sleep(clock, againMs, signal);
      if (signal.aborted) return;
      for (const policy of await probe(missing, signal)) answered.add(policy);
    }
    // A webhook configuration that was deleted meanwhile is no failure: its policy is gone.
    const still = new Set(namesOf(expected()));
    const found = new Map(
      namesOf(gates).flatMap((policy) => (still.has(policy) ? [[policy, answered.has(policy)] as const] : [])),
    );
    const before = this.#known;
    this.#known = found;
    metrics.gates(found);
    metrics.looked(clock.now());
    for (const gate of gates) {
      const isInPath = found.get(gate.policy);
      const wasInPath = before.get(gate.policy) ?? true;
      if (isInPath !== undefined && isInPath !== wasInPath) this.#tell(gate, isInPath);
    }
  }

  #tell({ policy, uid }: ExpectedGate, isInPath: boolean): void {
    const { events, log } = this.#options;
    if (isInPath) log.info({ policy }, 'the API server calls the webhook again');
    else log.error({ policy }, 'the API server is not calling the webhook');
    events.emit({
      regarding: {
        apiVersion: 'stepup.dev/v1alpha1',
        kind: 'StepUpPolicy',
        name: policy,
        ...defined({ uid }),
      },
      type: isInPath ? 'Normal' : 'Warning',
      action: 'Probe',
      reason: isInPath ? 'GateInPath' : 'GateOutOfPath',
      note: isInPath
        ? `The API server is calling the webhook of policy ${policy} again`
        : `The API server is not calling the webhook of policy ${policy}: run stepup check-gate, and check the pods, the Service and ValidatingWebhookConfiguration stepup-${policy}`,
    });
  }
}

/** The watchdog as the leader runs it. */
export function createGateWatchdog(
  dependencies: Omit<GateWatchdogOptions, 'expected' | 'probe' | 'everySeconds'> & {
    readonly rest: RestClient;
    readonly own: { readonly namespace: string };
    readonly policies: Watched<StepUpPolicy>;
    readonly configurations: Watched<WebhookConfiguration>;
    readonly watchdogSeconds: number;
  },
): GateWatchdog {
  const { rest, own, policies, configurations, watchdogSeconds, metrics, events, log, clock } = dependencies;
  const leases = new ResourceClient<Lease>(rest, resources.leases);
  return new GateWatchdog({
    expected: () => expectedGates(policies, configurations),
    probe: (names, signal) => gatesInPath(names, { leases, namespace: own.namespace, signal }),
    everySeconds: watchdogSeconds,
    metrics,
    events,
    log,
    clock,
  });
}

/** Ready policies, and webhook configurations that are left of others, which still deny. */
export function expectedGates(
  policies: Watched<StepUpPolicy>,
  configurations: Watched<WebhookConfiguration>,
): readonly ExpectedGate[] {
  const gates = new Map<string, ExpectedGate>();
  for (const configuration of configurations.objects.values()) {
    const policy = configuration.metadata.name.slice(gatePrefix.length);
    if (isManaged(configuration)) gates.set(policy, { policy });
  }
  for (const policy of policies.objects.values()) {
    const { name, uid } = policy.metadata;
    if (isReady(policy) || gates.has(name)) gates.set(name, { policy: name, uid });
  }
  return [...gates.values()];
}

function namesOf(gates: readonly ExpectedGate[]): readonly string[] {
  return gates.map(({ policy }) => policy);
}
