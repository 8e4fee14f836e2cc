// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The composition root of stepup serve: every replica runs the webhook, and the leader also runs the operator.
import { randomBytes, randomUUID } from 'node:crypto';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { certificateLives, type ServeOptions } from '../config/options.ts';
import type { RestClient } from '../kube/http/rest.ts';
import { EventRecorder } from '../kube/objects/events.ts';
import { LeaderElector } from '../kube/objects/lease.ts';
import type { Secret } from '../kube/objects/objects.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import {
  apiServices,
  events,
  leases,
  mutatingWebhookConfigurations,
  secrets,
  validatingWebhookConfigurations,
} from '../kube/objects/resources.ts';
import { systemClock } from '../kube/time/clock.ts';
import { createAudit } from '../observe/audit.ts';
import { errorFields, type Log } from '../observe/log.ts';
import { startStatusServer } from '../observe/status-server.ts';
import { runOperator } from '../operator/operator.ts';
import { createCaches } from '../replica/caches.ts';
import { certificateMetrics } from '../replica/certificate-metrics.ts';
import { followKeyring } from '../replica/keyring-secret.ts';
import { followOwnApiService } from '../replica/own-api-service.ts';
import { type CallingConfiguration, followRegisteredBundles } from '../replica/registered-bundles.ts';
import { ServingCertificate } from '../replica/serving-certificate.ts';
import { createWebhook } from '../webhook/webhook.ts';
import { connect, ownUsername } from './connect.ts';
import { registerProcessMetrics } from './process-metrics.ts';
import { shiftedClock } from './shifted-clock.ts';
import { version } from './version.ts';

/** Serves until the signal aborts; rejects when it cannot go on. */
export async function serve(options: ServeOptions, log: Log, signal: AbortSignal): Promise<void> {
  const lives = certificateLives(options);
  const clock = shiftedClock(systemClock, options.clockOffsetMs);
  const rest = await connect(options);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const own = { username: await ownUsername(rest, signal), namespace: options.namespace };
  const audit = createAudit(options.podName);
  log.info({ username: own.username, namespace: own.namespace, pod: options.podName }, 'stepup starts');

  const caches = createCaches(rest, { delayMs: options.cacheDelayMs, log });
  const secretClient = new ResourceClient<Secret>(rest, secrets);
  const keyring = followKeyring({
    source: secretClient,
    secret: { namespace: options.namespace, name: options.keysSecret },
    clock,
    onLoaded: (keys) => log.info({ secret: options.keysSecret, keys }, 'keyring loaded'),
    onProblem: (problem) => log.warn({ secret: options.keysSecret, problem }, 'keyring not usable'),
    onError: (error) => log.warn({ secret: options.keysSecret, ...errorFields(error) }, 'reading the keyring failed'),
  });
  const ownApiService = followOwnApiService({
    source: new ResourceClient(rest, apiServices),
    clock,
    onError: (error) => log.warn(errorFields(error), 'reading the APIService failed'),
  });
  const views = {
    policies: caches.policies.objects,
    approvals: caches.approvals.objects,
    decisions: caches.decisions.objects,
    namespaces: caches.namespaces.objects,
    // Nothing is to be believed without the keys, or where somebody else answers for our kinds.
    hasSynced: () => caches.hasSynced() && keyring.sealing.isKnown && ownApiService.problem() === undefined,
    approvalsUnbrokenSinceMs: () => caches.approvals.unbrokenSinceMs,
  };
  // Of this process only: equal secret values look equal within one preview, and nowhere else.
  const previewKey = randomBytes(32);
  const webhook = createWebhook({
    caches: views,
    clients: caches.clients,
    rest,
    own: { ...own, service: options.serviceName },
    keysSecret: options.keysSecret,
    clock,
    log,
    audit,
    registry,
    previewKey,
    sealing: keyring.sealing,
    trustedMutators: options.trustedMutators,
  });
  caches.approvals.onChange(({ type, object }) => webhook.saw(object, type === 'delete'));
  const registered = followRegisteredBundles({
    sources: [validatingWebhookConfigurations, mutatingWebhookConfigurations].map(
      (resource) => new ResourceClient<CallingConfiguration>(rest, resource),
    ),
    service: { namespace: options.namespace, name: options.serviceName },
    clock,
    onError: (error) => log.warn(errorFields(error), 'reading the webhook configurations failed'),
  });
  const certificate = new ServingCertificate({
    secrets: new ResourceClient(rest, secrets),
    namespace: options.namespace,
    name: options.tlsSecret,
    serverName: `${options.serviceName}.${options.namespace}.svc`,
    registered,
    settleMs: lives.spreadMs / 2,
    onCertificate: (pair) => webhook.setCertificate(pair),
    clock,
    log,
  });
  certificateMetrics(registry, certificate);
  const notReady = () => [
    ...(signal.aborted ? ['stepup is stopping'] : []),
    ...webhook.notReady(),
    ...certificate.problems(),
    ...keyring.problems(),
    ...[ownApiService.problem() ?? []].flat(),
    ...unheard(rest),
  ];
  const recorder = new EventRecorder({
    events: new ResourceClient(rest, events),
    controller: 'stepup.dev/operator',
    instance: options.podName,
    onError: (error) => log.warn(errorFields(error), 'writing an event failed'),
  });
  const { policies, approvals, decisions, namespaces } = caches;
  const copies = { policies, approvals, decisions, namespaces };
  registerProcessMetrics(registry, { version, notReady, copies, events: recorder, clock });
  const status = await startStatusServer({
    address: options.bindAddress,
    port: options.statusPort,
    registry,
    notReady,
  });

  // The webhook goes on until its last answer is given, so what it reads from must outlive the signal.
  const afterwards = new AbortController();
  const reading = [caches, registered, certificate, keyring, ownApiService].map((copy) => copy.run(afterwards.signal));
  const listening = webhook.listen({ address: options.bindAddress, port: options.webhookPort });
  listening.catch((error: unknown) => log.error(errorFields(error), 'the webhook cannot listen'));
  const elector = new LeaderElector({
    leases: new ResourceClient(rest, leases),
    lease: { namespace: options.namespace, name: options.lease },
    identity: `${options.podName}_${randomUUID()}`,
    onError: (error) => log.warn(errorFields(error), 'leader election failed'),
    clock,
  });
  const lead = (leading: AbortSignal) => {
    log.info({}, 'leading');
    return runOperator(
      {
        rest,
        policies: caches.policies,
        approvals: caches.approvals,
        decisions: caches.decisions,
        byTarget: (label) => caches.approvals.objects.byIndex('target', label),
        decisionsOn: ({ namespace, name }) => caches.decisions.objects.byIndex('name', `${namespace}/${name}`),
        own,
        service: { name: options.serviceName, port: options.servicePort },
        guard: { isOn: options.guard === 'on', exempt: options.guardExempt },
        tlsSecret: options.tlsSecret,
        certificates: { issuer: options.certificateIssuer, lives, inUse: () => certificate.inUse() },
        keyring,
        keysSecret: options.keysSecret,
        packsConfigMap: options.packsConfigmap,
        enginesConfigMap: options.enginesConfigmap,
        retentionSeconds: options.retentionSeconds,
        settleResources: options.settleResources,
        webhookListening: () => webhook.notReady().length === 0,
        events: recorder,
        registry,
        log,
        audit,
        watchdogSeconds: options.watchdogSeconds,
        clock,
      },
      leading,
    );
  };
  try {
    // A webhook that cannot listen must not leave a process that looks alive.
    await Promise.race([elector.run(signal, lead), listening.then(() => new Promise<never>(() => {}))]);
    if (!signal.aborted) throw new Error('the operator stopped unexpectedly');
  } finally {
    await webhook.close();
    afterwards.abort();
    await Promise.all(reading);
    await status.close();
    rest.close();
  }
}

/** Leader election asks every replica's API server every 2 s, so this is several calls in a row. */
const unheardMs = 10_000;

/** A replica that cannot read approvals can only refuse: where another one can, requests must go there. */
function unheard(rest: RestClient): readonly string[] {
  const seconds = Math.round((performance.now() - rest.acceptedAtMs) / 1000);
  return seconds * 1000 < unheardMs ? [] : [`the API server has not accepted a call for ${seconds} s`];
}
