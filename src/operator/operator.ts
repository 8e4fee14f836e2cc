// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The operator: what the leader does besides running the webhook.

import type { Registry } from 'prom-client';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../api/kinds.ts';
import { stepUpApprovals, stepUpDecisions, stepUpPolicies } from '../api/own-resources.ts';
import type { RestClient } from '../kube/http/rest.ts';
import { DiscoveryPoller } from '../kube/objects/discovery.ts';
import type { EventRecorder } from '../kube/objects/events.ts';
import type { ConfigMap, KubeObject } from '../kube/objects/objects.ts';
import type { ObjectKey, Resource } from '../kube/objects/resource.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import * as resources from '../kube/objects/resources.ts';
import type { Clock } from '../kube/time/clock.ts';
import { unlessAborted } from '../kube/time/unless-aborted.ts';
import { Reflector, type ReflectorOptions } from '../kube/watch/reflector.ts';
import type { Watched } from '../kube/watch/watched.ts';
import type { Audit } from '../observe/audit.ts';
import { errorFields, type Log } from '../observe/log.ts';
import { operatorMetrics } from '../observe/operator-metrics.ts';
import type { FollowedKeyring, KeyringSecret } from '../replica/keyring-secret.ts';
import { ConfigurationKeeper } from './admission/object-keeper.ts';
import { changedSecret } from './admission/tampering-reporter.ts';
import { onlyOurs, type WebhookConfiguration, webhookForm } from './admission/webhook-configuration.ts';
import { ApprovalReconciler } from './approvals/approval-reconciler.ts';
import { scanForEnds } from './approvals/retention.ts';
import { TargetWatch } from './approvals/target-watch.ts';
import { countUnreviewed, unreviewedOnly } from './approvals/unreviewed.ts';
import { ask } from './engines/ask.ts';
import { EngineConfiguration } from './engines/engine-configuration.ts';
import { EngineReconciler } from './engines/engine-reconciler.ts';
import { PolicyReconciler } from './gates/policy-reconciler.ts';
import { StampReconciler } from './gates/stamp-reconciler.ts';
import { createGuarding, type GuardSettings } from './integrity/integrity.ts';
import { servedKinds } from './integrity/served-kinds.ts';
import { type CertificateSettings, createCertificates } from './keys/certificates.ts';
import { KeyringKeeper } from './keys/keyring-keeper.ts';
import type { Certificates, Secret } from './keys/own-certificates.ts';
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
  // One part that fails ends the others: a half of an operator must not hold the Lease.
  const end = new AbortController();
  try {
    await work(dependencies, metrics, AbortSignal.any([signal, end.signal]));
  } finally {
    end.abort();
    metrics.leading(false);
  }
}

async function work(
  dependencies: OperatorDependencies,
  metrics: ReturnType<typeof operatorMetrics>,
  signal: AbortSignal,
): Promise<void> {
  const { rest, own, log, clock, events, policies, approvals, decisions } = dependencies;
  const first = await servedKinds(dependencies, signal);
  if (first === undefined) return;
  const client = <T extends KubeObject>(resource: Resource) => new ResourceClient<T>(rest, resource);
  const reflectors: Reflector<KubeObject>[] = [];
  const reflect = <T extends KubeObject>(resource: Resource, options: Omit<ReflectorOptions<T>, 'source'> = {}) => {
    const onError = (error: unknown) =>
      log.warn({ resource: resource.plural, ...errorFields(error) }, 'watching failed');
    const reflector = new Reflector<T>({ source: client<T>(resource), clock, onError, ...options });
    reflectors.push(reflector as unknown as Reflector<KubeObject>);
    return reflector;
  };
  const inOwnNamespace = (name: string) => ({ namespace: own.namespace, fieldSelector: `metadata.name=${name}` });
  const gates = reflect<WebhookConfiguration>(resources.validatingWebhookConfigurations, { transform: onlyOurs });
  const stamps = reflect<WebhookConfiguration>(resources.mutatingWebhookConfigurations, { transform: onlyOurs });
  const secrets = reflect<Secret>(resources.secrets, inOwnNamespace(dependencies.tlsSecret));
  const configMaps = reflect<ConfigMap>(resources.configMaps, inOwnNamespace(dependencies.packsConfigMap));
  const engineMaps = reflect<ConfigMap>(resources.configMaps, inOwnNamespace(dependencies.enginesConfigMap));
  countUnreviewed(reflect<StepUpApproval>(stepUpApprovals, unreviewedOnly), metrics);
  const guarding = createGuarding({
    ...dependencies,
    configurations: gates,
    reflect,
    metrics,
    onNoticed: () => policyReconciler.enqueueAll(),
    signal,
  });
  const { tampering } = guarding;

  const service = { ...dependencies.service, namespace: own.namespace };
  let isStampInPlace = false;
  const stampContext = () => {
    const { caBundle } = certificates;
    return caBundle === undefined ? undefined : { ownUsername: own.username, service, caBundle };
  };
  const certificates: Certificates = createCertificates({
    ...dependencies,
    client: client<Secret>(resources.secrets),
    secrets,
    gates,
    stamps,
    onBundle: () => {
      stampReconciler.check();
      policyReconciler.enqueueAll();
    },
  });
  const mutatingKeeper = new ConfigurationKeeper({
    client: client<WebhookConfiguration>(resources.mutatingWebhookConfigurations),
    stored: stamps,
    form: webhookForm,
  });
  const stampReconciler: StampReconciler = new StampReconciler({
    configurations: stamps,
    keeper: mutatingKeeper,
    context: stampContext,
    onInPlace: () => {
      if (!isStampInPlace) policyReconciler.enqueueAll();
      isStampInPlace = true;
    },
    tampering,
    log,
    clock,
  });
  const discovery = new DiscoveryPoller(first, {
    rest,
    clock,
    onRefresh: () => policyReconciler.enqueueAll(),
    onError: (error) => log.warn(errorFields(error), 'discovery failed'),
  });
  const engineConfiguration = new EngineConfiguration({
    configMaps: engineMaps,
    configMap: { namespace: own.namespace, name: dependencies.enginesConfigMap },
    onChange: () => {
      policyReconciler.enqueueAll();
      engineReconciler.askAnew();
    },
    events,
    log,
  });
  const engineExists = (name: string) => engineConfiguration.engines.has(name);
  const policyReconciler: PolicyReconciler = new PolicyReconciler({
    policies,
    client: client<StepUpPolicy>(stepUpPolicies),
    kind: guarding.policyKind,
    configurations: gates,
    keeper: new ConfigurationKeeper({
      client: client<WebhookConfiguration>(resources.validatingWebhookConfigurations),
      stored: gates,
      form: webhookForm,
    }),
    pins: stamps,
    pinKeeper: mutatingKeeper,
    context: () => {
      const context = stampContext();
      const mayGate = isStampInPlace && dependencies.webhookListening();
      return context === undefined || !mayGate ? undefined : { ...context, discovery: discovery.current, engineExists };
    },
    tampering,
    log,
    clock,
  });

  const approvalClient = client<StepUpApproval>(stepUpApprovals);
  const targets = new TargetWatch(
    {
      rest,
      discovery: () => discovery.current,
      settleResources: dependencies.settleResources,
      onSeen: (approval) => approvalReconciler.enqueue(approval),
      clock,
      log,
    },
    signal,
  );
  const scan = {
    retentionSeconds: dependencies.retentionSeconds,
    scanSeconds: dependencies.scanSeconds ?? scanSeconds,
  };
  const engineReconciler: EngineReconciler = new EngineReconciler({
    ...dependencies,
    engines: () => engineConfiguration.engines,
    ask,
    sealing: dependencies.keyring.sealing,
    approvalClient,
    targets,
    decisionClient: client<StepUpDecision>(stepUpDecisions),
    onAbstained: (approval) => approvalReconciler.enqueue(approval),
    metrics,
  });
  const approvalReconciler: ApprovalReconciler = new ApprovalReconciler({
    ...dependencies,
    ...scan,
    client: approvalClient,
    targets,
    sealing: dependencies.keyring.sealing,
    abstentionsOn: (uid) => engineReconciler.abstentionsOn(uid),
    metrics,
  });
  const packs = new PackReconciler({
    configMaps,
    configMap: { namespace: own.namespace, name: dependencies.packsConfigMap },
    policies,
    client: client<StepUpPolicy>(stepUpPolicies),
    events,
    tampering,
    log,
    clock,
  });
  const keyring = new KeyringKeeper({
    client: client<KeyringSecret>(resources.secrets),
    secrets: dependencies.keyring.secrets,
    secret: { namespace: own.namespace, name: dependencies.keysSecret },
    onRestored: () => tampering.notice(changedSecret(own.namespace, dependencies.keysSecret)),
    log,
    clock,
  });
  metrics.queues({ approvals: approvalReconciler, policies: policyReconciler, engines: engineReconciler });
  const onDue = (approval: ObjectKey) => approvalReconciler.enqueue(approval);

  const reflecting = reflectors.map((reflector) => reflector.run(signal));
  const shared = [policies, approvals, decisions, dependencies.keyring.secrets];
  const copies = [gates, stamps, secrets, configMaps, engineMaps, ...guarding.copies, ...shared];
  try {
    await Promise.all(copies.map(({ synced }) => unlessAborted(synced, signal)));
    if (!signal.aborted) {
      log.info({}, 'operator started');
      await Promise.all([
        guarding.run(),
        certificates.run(signal),
        keyring.run(signal),
        stampReconciler.run(signal),
        policyReconciler.run(signal),
        // Without the keys no vote counts, and time alone would end what was approved.
        unlessAborted(dependencies.keyring.known, signal).then(() => approvalReconciler.run(signal)),
        unlessAborted(dependencies.keyring.known, signal).then(() => engineReconciler.run(signal)),
        packs.run(signal),
        discovery.run(signal),
        scanForEnds({ ...scan, client: approvalClient, onDue, clock, log }, signal),
      ]);
    }
  } finally {
    await Promise.all(reflecting);
  }
}
