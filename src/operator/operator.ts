// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The operator: what the leader does besides running the webhook.

import { EventEmitter } from 'node:events';
import type { Registry } from 'prom-client';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../api/kinds.ts';
import { stepUpApprovals, stepUpPolicies } from '../api/own-resources.ts';
import type { RestClient } from '../kube/http/rest.ts';
import { DiscoveryPoller } from '../kube/objects/discovery.ts';
import type { EventRecorder } from '../kube/objects/events.ts';
import type { ConfigMap, KubeObject, Secret } from '../kube/objects/objects.ts';
import type { ObjectKey, Resource } from '../kube/objects/resource.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import * as resources from '../kube/objects/resources.ts';
import type { Clock } from '../kube/time/clock.ts';
import { unlessAborted } from '../kube/time/unless-aborted.ts';
import { Reflector, type ReflectorOptions } from '../kube/watch/reflector.ts';
import type { Watched } from '../kube/watch/watched.ts';
import type { Audit } from '../observe/audit.ts';
import { errorFields, type Log } from '../observe/log.ts';
import { type OperatorMetrics, operatorMetrics } from '../observe/operator-metrics.ts';
import type { FollowedKeyring } from '../replica/keyring-secret.ts';
import { onlyOurs, type WebhookConfiguration } from './admission/webhook-configuration.ts';
import { createApprovals } from './approvals/approvals.ts';
import { TargetWatch } from './approvals/target-watch.ts';
import { countUnreviewed, unreviewedOnly } from './approvals/unreviewed.ts';
import { createEngines } from './engines/engines.ts';
import { createGates } from './gates/gates.ts';
import { createIntegrity, type GuardSettings } from './integrity/integrity.ts';
import { servedKinds } from './integrity/served-kinds.ts';
import type { CertificateSettings } from './keys/certificates.ts';
import { createKeys } from './keys/keys.ts';
import { PackReconciler } from './packs/pack-reconciler.ts';

export interface OperatorDependencies {
  readonly rest: RestClient;
  /** Copies that every replica has anyway, with approvals the live ones. */
  readonly policies: Watched<StepUpPolicy>;
  readonly approvals: Watched<StepUpApproval>;
  readonly decisions: Watched<StepUpDecision>;
  /** Live approvals by the value of their label stepup.dev/target. */
  readonly byTarget: (label: string) => readonly StepUpApproval[];
  /** Decisions whose spec.approval.name and namespace are these. */
  readonly decisionsOn: (approval: ObjectKey) => readonly StepUpDecision[];
  /** Who we are, by SelfSubjectReview, and where we run. */
  readonly own: { readonly username: string; readonly namespace: string };
  readonly service: { readonly name: string; readonly port: number };
  /** Whether gated accounts are kept from changing what the gate stands on, and who may nevertheless. */
  readonly guard: GuardSettings;
  readonly tlsSecret: string;
  readonly certificates: CertificateSettings;
  /** The keyring as every replica follows it, and where it is kept. */
  readonly keyring: FollowedKeyring;
  readonly keysSecret: string;
  readonly packsConfigMap: string;
  /** The ConfigMap with the policy engines. */
  readonly enginesConfigMap: string;
  readonly retentionSeconds: number;
  /** Kinds whose objects may be looked at to settle, as `resource.group`, or `resource` for the core group. */
  readonly settleResources: readonly string[];
  /** Between two scans for ended approvals, default 600. */
  readonly scanSeconds?: number;
  /** True once this replica answers reviews: before that no gate may send any. */
  readonly webhookListening: () => boolean;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly registry: Registry;
  readonly log: Log;
  readonly audit: Audit;
  /** Between two looks of the watchdog. */
  readonly watchdogSeconds: number;
  readonly clock: Clock;
}

const scanSeconds = 600;

/** Works until the signal aborts; resolves when everything under way has settled. */
export async function runOperator(dependencies: OperatorDependencies, signal: AbortSignal): Promise<void> {
  const metrics = operatorMetrics(dependencies.registry, {
    approvals: () => dependencies.approvals.objects.values(),
    policies: () => dependencies.policies.objects.values(),
  });
  metrics.leading(true);
  try {
    await work(dependencies, metrics, signal);
  } finally {
    metrics.leading(false);
  }
}

/** What must be looked at again. Parts tell, whichever of them is composed first; each listens for what is its own. */
type Due = EventEmitter<{ gates: []; bundle: []; engines: []; approval: [approval: ObjectKey] }>;

async function work(dependencies: OperatorDependencies, metrics: OperatorMetrics, leading: AbortSignal): Promise<void> {
  // One part that fails ends the others: a half of an operator must not hold the Lease.
  const end = new AbortController();
  const signal = AbortSignal.any([leading, end.signal]);
  const { rest, own, keyring, log, clock } = dependencies;
  const first = await servedKinds(dependencies, signal);
  if (first === undefined) return;
  const due: Due = new EventEmitter();
  const copies = new Copies(dependencies);
  const inOwnNamespace = (name: string) => ({ namespace: own.namespace, fieldSelector: `metadata.name=${name}` });
  const named = (name: string) => ({ namespace: own.namespace, name });
  const { validatingWebhookConfigurations, mutatingWebhookConfigurations } = resources;
  const validating = copies.add<WebhookConfiguration>(validatingWebhookConfigurations, { transform: onlyOurs });
  const mutating = copies.add<WebhookConfiguration>(mutatingWebhookConfigurations, { transform: onlyOurs });
  const secrets = copies.add<Secret>(resources.secrets, inOwnNamespace(dependencies.tlsSecret));
  const packMaps = copies.add<ConfigMap>(resources.configMaps, inOwnNamespace(dependencies.packsConfigMap));
  const engineMaps = copies.add<ConfigMap>(resources.configMaps, inOwnNamespace(dependencies.enginesConfigMap));
  countUnreviewed(copies.add<StepUpApproval>(stepUpApprovals, unreviewedOnly), metrics);
  const discovery = new DiscoveryPoller(first, {
    rest,
    clock,
    onRefresh: () => due.emit('gates'),
    onError: (error) => log.warn(errorFields(error), 'discovery failed'),
  });
  const common = { ...dependencies, metrics, sealing: keyring.sealing, discovery: () => discovery.current };

  const integrity = createIntegrity({
    ...common,
    configurations: validating,
    reflect: (resource, options) => copies.add(resource, options),
    onNoticed: () => due.emit('gates'),
  });
  const { tampering, policyKind } = integrity;
  const keys = createKeys({ ...common, secrets, validating, mutating, tampering, onBundle: () => due.emit('bundle') });

  const targets = new TargetWatch({ ...common, onSeen: (approval) => due.emit('approval', approval) }, signal);
  const engines = createEngines({
    ...common,
    configMaps: engineMaps,
    configMap: named(dependencies.enginesConfigMap),
    targets,
    onChange: () => due.emit('engines'),
    onAbstained: (approval) => due.emit('approval', approval),
  });

  const approvals = createApprovals({
    ...common,
    scanSeconds: dependencies.scanSeconds ?? scanSeconds,
    targets,
    abstentionsOn: (uid) => engines.reconciler.abstentionsOn(uid),
  });
  due.on('approval', (approval) => approvals.reconciler.enqueue(approval));

  const gates = createGates({
    ...common,
    validating,
    mutating,
    caBundle: () => keys.certificates.caBundle,
    engineExists: (name) => engines.configuration.engines.has(name),
    policyKind,
    tampering,
  });
  due.on('gates', () => gates.policies.enqueueAll());
  due.on('engines', () => {
    gates.policies.enqueueAll();
    engines.reconciler.askAnew();
  });
  due.on('bundle', () => {
    gates.stamp.check();
    gates.policies.enqueueAll();
  });

  const packs = new PackReconciler({
    ...common,
    configMaps: packMaps,
    configMap: named(dependencies.packsConfigMap),
    client: new ResourceClient<StepUpPolicy>(rest, stepUpPolicies),
    tampering,
  });
  metrics.queues({ approvals: approvals.reconciler, policies: gates.policies, engines: engines.reconciler });

  const shared = [dependencies.policies, dependencies.approvals, dependencies.decisions, keyring.secrets];
  const needed = [validating, mutating, secrets, packMaps, engineMaps, ...integrity.copies, ...shared];
  const following = copies.run(signal);
  try {
    await Promise.all(needed.map(({ synced }) => unlessAborted(synced, signal)));
    if (signal.aborted) return;
    log.info({}, 'operator started');
    const parts = [integrity, keys, gates, approvals, engines, packs, discovery];
    await Promise.all(parts.map((part) => part.run(signal)));
  } finally {
    // The copies are followed until then.
    end.abort();
    await following;
  }
}

/** Copies of what only the leader needs to know. */
class Copies {
  readonly #dependencies: Pick<OperatorDependencies, 'rest' | 'log' | 'clock'>;
  readonly #reflectors: { run(signal: AbortSignal): Promise<void> }[] = [];

  constructor(dependencies: Pick<OperatorDependencies, 'rest' | 'log' | 'clock'>) {
    this.#dependencies = dependencies;
  }

  add<T extends KubeObject>(resource: Resource, options: Omit<ReflectorOptions<T>, 'source'> = {}): Reflector<T> {
    const { rest, log, clock } = this.#dependencies;
    const onError = (error: unknown) =>
      log.warn({ resource: resource.plural, ...errorFields(error) }, 'watching failed');
    const source = new ResourceClient<T>(rest, resource);
    const reflector = new Reflector<T>({ source, clock, onError, ...options });
    this.#reflectors.push(reflector);
    return reflector;
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(signal)));
  }
}
