// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A real webhook on a loopback port over kinds in memory, with a client: what a test of its answers starts.
import { Registry } from 'prom-client';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../../src/api/kinds.ts';
import type { Transition } from '../../../src/domain/lifecycle/transition.ts';
import type { KubeObject } from '../../../src/kube/objects/objects.ts';
import { systemClock } from '../../../src/kube/time/clock.ts';
import { ObjectStore } from '../../../src/kube/watch/object-store.ts';
import { createWebhook, type Webhook } from '../../../src/webhook/webhook.ts';
import { ownNamespace, ownUsername, policySpec, ready } from '../builders/reviews.ts';
import { sealingOf } from '../seals.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { fakeKinds } from './fake-kinds.ts';
import { issueLeaf, nameIn, type WebhookClient, webhookClient } from './webhook-client.ts';
import { keyring, sealedDecision } from './webhook-seals.ts';

const leaf = await issueLeaf('stepup');

/** The kinds in memory, the client, and what a test reads and changes around the webhook. */
export interface Harness extends ReturnType<typeof fakeKinds>, WebhookClient {
  /** The webhook under test itself. */
  readonly server: Webhook;
  readonly port: number;
  readonly registry: Registry;
  /** The rest of what it reads. */
  readonly api: FakeApiServer;
  readonly caches: CacheState;
  /** Steps that were written to the audit log. */
  readonly audited: Transition[];
  /** Moves the wall clock, not the monotonic one. */
  aheadMs: number;
  policy(name: string, spec?: Partial<StepUpPolicy['spec']>, status?: StepUpPolicy['status']): StepUpPolicy;
  approve(approval: StepUpApproval, by?: string): void;
  stop(): Promise<void>;
}

interface CacheState {
  readonly namespaces: ObjectStore<KubeObject>;
  hasSynced: boolean;
  /** Since when the cache of approvals has missed nothing; undefined: it cannot tell. */
  unbrokenSinceMs: number | undefined;
}

export async function startWebhook(): Promise<Harness> {
  const now = () => new Date(Date.now() + harness.aheadMs);
  const kinds = fakeKinds(now);
  const { policies, approvals, decisions } = kinds;
  const api = new FakeApiServer();
  const registry = new Registry();
  const audited: Transition[] = [];
  const caches: CacheState = { namespaces: new ObjectStore({}), hasSynced: true, unbrokenSinceMs: undefined };
  const server = createWebhook({
    caches: {
      policies: policies.cache,
      approvals: approvals.cache,
      decisions: decisions.cache,
      namespaces: caches.namespaces,
      hasSynced: () => caches.hasSynced,
      approvalsUnbrokenSinceMs: () => caches.unbrokenSinceMs,
    },
    clients: kinds,
    rest: api,
    own: { username: ownUsername, namespace: ownNamespace, service: 'stepup' },
    keysSecret: 'stepup-keys',
    clock: { ...systemClock, now },
    log: { debug() {}, info() {}, warn() {}, error() {} },
    audit: (transition) => audited.push(transition),
    registry,
    previewKey: new Uint8Array(32),
    sealing: sealingOf(keyring),
    trustedMutators: [],
  });
  server.setCertificate(leaf);
  const port = await server.listen({ address: '127.0.0.1', port: 0 });
  const client = webhookClient(port);
  const harness: Harness = {
    ...kinds,
    ...client,
    server,
    port,
    registry,
    api,
    caches,
    audited,
    aheadMs: 0,
    policy: (name, spec = {}, given = ready) =>
      policies.put({ metadata: { name }, spec: policySpec(spec), status: given }),
    approve({ metadata, spec: asked }, by = 'ada') {
      const { name, namespace, uid } = metadata;
      const digest = asked.change?.digest;
      const spec: StepUpDecision['spec'] = {
        approval: { name, uid, ...(digest === undefined ? {} : { digest }) },
        verdict: 'Approve',
        decidedBy: { username: by, groups: ['approvers'] },
        decidedAt: now().toISOString(),
      };
      decisions.put({
        metadata: { name: `${name}-${by}`, namespace, labels: { 'stepup.dev/approval': uid } },
        spec: sealedDecision(namespace, spec),
      });
    },
    async stop() {
      client.hangUp();
      await server.close();
    },
  };
  return harness;
}

/** Waits until what is filed after an answer is there. */
export async function filed(harness: Harness, name: string): Promise<StepUpApproval> {
  for (let tries = 0; tries < 200; tries++) {
    const found = harness.approvals.all.find(({ metadata }) => metadata.name === name);
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`${name} was not filed`);
}

/** Asks until denied, approves what was filed, and gives it back. */
export async function approved(harness: Harness, asked: object, policy = 'deploys'): Promise<StepUpApproval> {
  const approval = await filed(harness, nameIn(await harness.ask(asked, policy)));
  harness.approve(approval);
  return approval;
}

/** The sum of a metric's values that have these labels. */
export async function counted(harness: Harness, name: string, labels: Readonly<Record<string, string>> = {}) {
  const metric = await harness.registry.getSingleMetric(name)?.get();
  const values = metric?.values ?? [];
  return values
    .filter((value) => Object.entries(labels).every(([key, wanted]) => value.labels[key] === wanted))
    .reduce((sum, { value }) => sum + value, 0);
}
