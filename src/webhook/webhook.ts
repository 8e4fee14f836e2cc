// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Assembles the webhook for the composition root.
import { X509Certificate } from 'node:crypto';
import type { Registry } from 'prom-client';
import type { StepUpApproval } from '../api/kinds.ts';
import type { Sealing } from '../api/sealing.ts';
import type { RestClient } from '../kube/http/rest.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import type { Clock } from '../kube/time/clock.ts';
import type { Audit } from '../observe/audit.ts';
import type { Log } from '../observe/log.ts';
import { WebhookMetrics } from '../observe/webhook-metrics.ts';
import type { KeyPair } from '../replica/key-pair.ts';
import { Verifications } from './after-answer/content-verifier.ts';
import { Filings } from './after-answer/filing.ts';
import { Observations } from './after-answer/observations.ts';
import { Pinner } from './eviction-pinner.ts';
import { AutoApprovals } from './gate/auto-approvals.ts';
import { AutoRate } from './gate/auto-rate.ts';
import { Gate } from './gate/gate.ts';
import { RequesterLimit } from './gate/requester-limit.ts';
import { Reserver } from './gate/reserve.ts';
import { SuspectedPolicies } from './gate/suspected-policies.ts';
import { UseMemory } from './gate/use-memory.ts';
import { WebhookServer } from './http/server.ts';
import { AccountOwners } from './reads/account-owners.ts';
import type { Caches, Clients } from './reads/dependencies.ts';
import { LiveViews } from './reads/live-view.ts';
import { Policies } from './reads/policies.ts';
import { Mutators } from './stamp/foreign-mutators.ts';
import { Powers } from './stamp/power-reader.ts';
import { Rights } from './stamp/rights.ts';
import { Stamper } from './stamp/stamp-handler.ts';

export interface Webhook {
  /** Tells of a live approval as a watch shows it, or of one that is not live any more: what was used is remembered. */
  saw(approval: StepUpApproval, isGone: boolean): void;
  /** Waits for the first certificate; resolves with the port once it listens. Do not wait for it before making one. */
  listen(at: { readonly address: string; readonly port: number }): Promise<number>;
  /** Serves with this certificate from the next handshake on; throws when it cannot be used. */
  setCertificate(pair: KeyPair): void;
  /** Why reviews cannot be decided yet, each a sentence; empty means that what has no approval is denied. */
  notReady(): string[];
  /** Stops accepting, finishes answers and filings; resolves after some 10 s at most. */
  close(): Promise<void>;
}

/** Filings and other notes that go on longer than that are given up: the next denial files again. */
const filingsCloseMs = 5_000;

export function createWebhook(dependencies: WebhookDependencies): Webhook {
  const { caches, clients, rest, own, keysSecret, clock, log, audit, registry, previewKey, sealing, trustedMutators } =
    dependencies;
  const metrics = new WebhookMetrics(registry);
  const policies = new Policies(caches.policies, clients.policies, clock);
  const owners = new AccountOwners(rest);
  const filings = new Filings({ approvals: clients.approvals, owners, own, previewKey, sealing, clock, log, metrics });
  const verifications = new Verifications({
    approvals: clients.approvals,
    ownNamespace: own.namespace,
    previewKey,
    sealing,
    clock,
    log,
  });
  const observations = new Observations({ policies: clients.policies, clock, log });
  const memory = new UseMemory();
  const autoRate = new AutoRate(clock);
  const auto = new AutoApprovals({
    approvals: clients.approvals,
    own,
    previewKey,
    sealing,
    rate: autoRate,
    clock,
    metrics,
  });
  const reserver = new Reserver({
    caches,
    approvals: clients.approvals,
    liveViews: new LiveViews(clients, clock, metrics),
    memory,
    sealing,
    suspected: new SuspectedPolicies(clock),
    auto,
    ownNamespace: own.namespace,
    clock,
    metrics,
    audit,
  });
  const limit = new RequesterLimit(clock);
  const gate = new Gate({
    caches,
    policies,
    rest,
    reserver,
    filings,
    verifications,
    observations,
    limit,
    sealing,
    clock,
    log,
    metrics,
  });
  const stamper = new Stamper({
    caches,
    policies,
    rest,
    approvals: clients.approvals,
    rights: new Rights({ rest, log }),
    owners,
    powers: new Powers(rest, { namespace: own.namespace, keysSecret }, clock),
    sealing,
    mutators: new Mutators({
      client: (resource) => new ResourceClient(rest, resource),
      service: { namespace: own.namespace, name: own.service },
      trusted: trustedMutators,
    }),
    ownNamespace: own.namespace,
    clock,
    log,
    metrics,
  });
  const server = new WebhookServer({ gate, stamper, pinner: new Pinner(rest), metrics, log });
  return {
    saw(object, isGone) {
      const isAuto = object.spec.origin === 'Auto' && sealing.reader.approval(object).seals.creation === 'Sealed';
      if (isAuto && !isGone) autoRate.saw(object.spec.policy.name, object.metadata.uid);
      const instant = { now: clock.now(), monotonicMs: clock.monotonicMs() };
      if (isGone) memory.noteGone(sealing.reader.approval(object), instant);
      else memory.note(sealing.reader.approval(object), instant);
    },
    listen: (at) => server.listen(at),
    setCertificate(pair) {
      server.setCertificate(pair);
      metrics.certificateEndsAt(new Date(new X509Certificate(pair.cert).validTo));
    },
    notReady() {
      const problems: string[] = [];
      if (!caches.hasSynced()) problems.push('the caches have not synced yet');
      if (!server.isListening) problems.push('the webhook is not listening yet');
      return problems;
    },
    async close() {
      await server.close();
      const timeout = Promise.withResolvers<void>();
      const cancel = clock.after(filingsCloseMs, timeout.resolve);
      const closing = Promise.all([filings.close(), verifications.close(), observations.close()]);
      await Promise.race([closing, timeout.promise]);
      cancel();
    },
  };
}

export interface WebhookDependencies {
  readonly caches: Caches;
  readonly clients: Clients;
  /** For targets whose review does not carry them: the parent of a scale, the pod of an eviction. */
  readonly rest: Pick<RestClient, 'request' | 'stream'>;
  /** Our own identity, as SelfSubjectReview tells it, the namespace we run in, and the Service that leads to us. */
  readonly own: { readonly username: string; readonly namespace: string; readonly service: string };
  /** The keys that votes and releases are sealed with. */
  readonly sealing: Sealing;
  /** The Secret in our namespace that keeps the keys of seals. */
  readonly keysSecret: string;
  /** Names of configurations and policies that may change approvals and decisions. */
  readonly trustedMutators: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Audit;
  readonly registry: Registry;
  /** Keys the hashes that stand for secret values in previews. */
  readonly previewKey: Uint8Array;
}
