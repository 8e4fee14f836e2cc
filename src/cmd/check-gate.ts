// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup check-gate: tests that the API server calls the webhook of every policy. The chart's helm test runs it.
import type { StepUpPolicy } from '../api/kinds.ts';
import { stepUpPolicies } from '../api/own-resources.ts';
import { isReady } from '../domain/model/policy.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import { leases } from '../kube/objects/resources.ts';
import { type Clock, sleep, systemClock } from '../kube/time/clock.ts';
import { errorFields } from '../observe/log.ts';
import { gatesInPath } from '../operator/integrity/send-probe.ts';
import { connect, connectAsUser } from './connect.ts';

export interface CheckGateOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  /** In a pod: who we are is what this folder says. */
  readonly serviceAccountDir?: string;
  readonly namespace: string;
  /** Policies that must be there besides those that are. */
  readonly expect: readonly string[];
  /** How long to wait for all to be in the path. */
  readonly wait: number;
  readonly output: 'text' | 'json';
}

export const checkGateExit = { inPath: 0, notInPath: 1, notDone: 2 } as const;

interface PolicyGate {
  readonly policy: string;
  /** There, and Ready at its newest generation. */
  readonly isReady: boolean;
  readonly inPath: boolean;
  /** What to do about it, as a sentence; absent where nothing is wrong. */
  readonly hint?: string;
}

const againMs = 2_000;

/** Prints what it finds; resolves to the exit code. Rejects where the API server cannot be asked. */
export async function checkGate(
  options: CheckGateOptions,
  print: (text: string) => void,
  clock: Clock = systemClock,
): Promise<number> {
  const { serviceAccountDir, wait, output } = options;
  const rest =
    serviceAccountDir === undefined
      ? await connectAsUser(options)
      : await connect({ kubeconfig: undefined, serviceAccountDir });
  const endsAtMs = clock.monotonicMs() + wait * 1000;
  const look = () =>
    lookAtGates(options, {
      policies: new ResourceClient<StepUpPolicy>(rest, stepUpPolicies),
      leases: new ResourceClient(rest, leases),
    });
  try {
    for (;;) {
      const isLast = clock.monotonicMs() + againMs >= endsAtMs;
      // The kinds, or the rights to look, may be there in a moment.
      const gates = await look().catch((error: unknown) => {
        if (isLast) throw error;
        return undefined;
      });
      const isInPath = gates?.every(({ inPath }) => inPath) ?? false;
      if (gates !== undefined && (isInPath || isLast)) {
        print(output === 'json' ? `${JSON.stringify({ inPath: isInPath, gates }, null, 2)}\n` : textOf(gates));
        return isInPath ? checkGateExit.inPath : checkGateExit.notInPath;
      }
      await sleep(clock, againMs, AbortSignal.timeout(againMs * 2));
    }
  } finally {
    rest.close();
  }
}

async function lookAtGates(
  { namespace, expect }: CheckGateOptions,
  clients: {
    readonly policies: Pick<ResourceClient<StepUpPolicy>, 'list'>;
    readonly leases: Parameters<typeof gatesInPath>[1]['leases'];
  },
): Promise<readonly PolicyGate[]> {
  const { items } = await clients.policies.list();
  const byName = new Map(items.map((policy) => [policy.metadata.name, policy]));
  const names = [...new Set([...byName.keys(), ...expect])].sort();
  const inPath = await gatesInPath(names, { leases: clients.leases, namespace });
  return names.map((policy): PolicyGate => {
    const known = byName.get(policy);
    const gate = { policy, isReady: known !== undefined && isReady(known), inPath: inPath.has(policy) };
    return gate.inPath ? gate : { ...gate, hint: hintOn(policy, known) };
  });
}

function hintOn(policy: string, known: StepUpPolicy | undefined): string {
  if (known === undefined) return 'the policy does not exist; check the log of the leader';
  if (!isReady(known)) {
    const ready = known.status?.conditions?.find(({ type }) => type === 'Ready');
    return ready === undefined
      ? 'the operator has not processed the policy yet; check that a replica leads'
      : `the policy is not Ready: ${ready.message}`;
  }
  return `check the pods, the Service and ValidatingWebhookConfiguration stepup-${policy}`;
}

function textOf(gates: readonly PolicyGate[]): string {
  if (gates.length === 0) return 'There are no policies, so there is no webhook to call.\n';
  const width = Math.max(...gates.map(({ policy }) => policy.length));
  const lines = gates.map(
    ({ policy, inPath, hint }) => `${policy.padEnd(width)}  ${inPath ? 'called' : `NOT called: ${hint ?? ''}`}\n`,
  );
  const out = gates.filter(({ inPath }) => !inPath).length;
  const sum =
    out === 0
      ? 'The API server calls the webhook of every policy.\n'
      : `The API server does not call the webhook of ${out} of ${gates.length} policies: what these govern is admitted unchecked, or denied.\n`;
  return `${lines.join('')}\n${sum}`;
}

/** What a command that could not look says. */
export function notDone(error: unknown): string {
  return `stepup check-gate: ${String(errorFields(error).error)}\n`;
}
