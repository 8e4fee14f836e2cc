// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The operator in this process, against a real control plane, in a namespace of its own.

import { Registry } from 'prom-client';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../src/api/kinds.ts';
import { stepUpApprovals, stepUpDecisions, stepUpPolicies } from '../../src/api/own-resources.ts';
import type { RestClient } from '../../src/kube/http/rest.ts';
import { EventRecorder } from '../../src/kube/objects/events.ts';
import type { KubeObject } from '../../src/kube/objects/objects.ts';
import { ResourceClient } from '../../src/kube/objects/resource-client.ts';
import * as resources from '../../src/kube/objects/resources.ts';
import { systemClock } from '../../src/kube/time/clock.ts';
import { Reflector } from '../../src/kube/watch/reflector.ts';
import { type OperatorDependencies, runOperator } from '../../src/operator/operator.ts';
import { followKeyring } from '../../src/replica/keyring-secret.ts';
import { trusted } from './seals.ts';

export interface RunningOperator {
  readonly registry: Registry;
  readonly logs: readonly string[];
  stop(): Promise<void>;
}

/** Starts the operator as the leader does; `stop` waits until everything has settled. */
export function startOperator(rest: RestClient, options: Partial<OperatorDependencies> = {}): RunningOperator {
  const stop = new AbortController();
  const logs: string[] = [];
  const write = (level: string) => (fields: object, message: string) => {
    logs.push(`${level} ${message} ${JSON.stringify(fields)}`);
    if (process.env.SHOW_LOGS) process.stderr.write(`${logs.at(-1)}\n`);
  };
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const client = <T extends KubeObject>(resource: (typeof resources)['pods']) => new ResourceClient<T>(rest, resource);
  const policies = new Reflector<StepUpPolicy>({ source: client(stepUpPolicies) });
  const approvals = new Reflector<StepUpApproval, 'target'>({
    source: client(stepUpApprovals),
    fieldSelector: ['Consumed', 'Denied', 'TimedOut', 'Expired', 'Withdrawn', 'Revoked', 'Superseded']
      .map((phase) => `status.phase!=${phase}`)
      .join(','),
    indexBy: { target: ({ metadata }) => [metadata.labels?.['stepup.dev/target'] ?? ''] },
  });
  const decisions = new Reflector<StepUpDecision, 'approval'>({
    source: client(stepUpDecisions),
    indexBy: { approval: ({ metadata, spec }) => [`${metadata.namespace}/${spec.approval.name}`] },
  });
  // Decisions are written past admission here, so every one counts as if it were sealed.
  const keyring = followKeyring({
    source: client(resources.secrets),
    secret: { namespace: 'stepup-system', name: 'stepup-keys' },
    clock: systemClock,
    onLoaded: () => undefined,
    onProblem: () => undefined,
    onError: () => undefined,
  });
  const registry = new Registry();
  const reflecting = [policies, approvals, decisions, keyring].map((reflector) => reflector.run(stop.signal));
  const running = runOperator(
    {
      rest,
      policies,
      approvals,
      decisions,
      byTarget: (label) => approvals.objects.byIndex('target', label),
      decisionsOn: ({ namespace, name }) => decisions.objects.byIndex('approval', `${namespace}/${name}`),
      own: { username: 'system:serviceaccount:stepup-system:stepup', namespace: 'stepup-system' },
      service: { name: 'stepup', port: 443 },
      guard: { isOn: true, exempt: [] },
      tlsSecret: 'stepup-tls',
      certificates: {
        issuer: 'self',
        lives: { authorityMs: 365 * 86_400_000, leafMs: 90 * 86_400_000, spreadMs: 1_000 },
        inUse: () => undefined,
      },
      keyring: { ...keyring, sealing: trusted },
      keysSecret: 'stepup-keys',
      packsConfigMap: 'stepup-packs',
      enginesConfigMap: 'stepup-engines',
      retentionSeconds: 3600,
      settleResources: ['deployments.apps', 'configmaps'],
      webhookListening: () => true,
      events: new EventRecorder({
        events: client(resources.events),
        controller: 'stepup.dev/operator',
        instance: 'test',
      }),
      registry,
      log,
      audit: () => {},
      watchdogSeconds: 60,
      clock: systemClock,
      ...options,
    },
    stop.signal,
  );
  return {
    registry,
    logs,
    stop: async () => {
      stop.abort();
      await Promise.all([running, ...reflecting]);
    },
  };
}
