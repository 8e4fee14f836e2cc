// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A real webhook on a loopback port over kinds in memory, and a client that asks as the API server does.
import { Agent, request as httpsRequest } from 'node:https';
import { Registry } from 'prom-client';
import { expect } from 'vitest';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../../src/api/kinds.ts';
import type { Transition } from '../../../src/domain/lifecycle/transition.ts';
import { releaseStatement, withSealedCreation, withSealedDecision } from '../../../src/domain/seals/seal.ts';
import type { ApiRequest } from '../../../src/kube/http/rest.ts';
import type { KubeObject } from '../../../src/kube/objects/objects.ts';
import { systemClock } from '../../../src/kube/time/clock.ts';
import { ObjectStore } from '../../../src/kube/watch/object-store.ts';
import { createWebhook, type Webhook } from '../../../src/webhook/webhook.ts';
import { problemsOf } from '../answers/contract.ts';
import { ownNamespace, ownUsername, policySpec, ready } from '../builders/reviews.ts';
import { createAuthority, type PemPair } from '../control-plane/certificates.ts';
import { keptKey, keyringOf, sealingOf } from '../seals.ts';
import { fakeKinds, status } from './fake-kinds.ts';

/** What the webhook under test seals with. */
export const keyring = keyringOf([keptKey()]);

const authority = await createAuthority('test');
const leaf = await authority.issueServer({ commonName: 'stepup' }, { dns: ['localhost'], ips: ['127.0.0.1'] });

/** Specs with the seals that admission writes. */
export const sealedDecision = (namespace: string, spec: StepUpDecision['spec']) =>
  withSealedDecision(namespace, spec, keyring);
export const sealedApproval = (namespace: string, spec: StepUpApproval['spec']): StepUpApproval['spec'] =>
  withSealedCreation(namespace, spec, keyring);

export function sealedRelease(
  { metadata, status }: StepUpApproval,
  release: { readonly use: number; readonly releasedAt: string; readonly why: string },
) {
  return { ...release, seal: keyring.sign(releaseStatement(metadata.uid, status?.uses?.[release.use], release)) };
}

export function issueLeaf(commonName: string): Promise<PemPair> {
  return authority.issueServer({ commonName }, { dns: ['localhost'], ips: ['127.0.0.1'] });
}

export interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: {
    readonly code: number;
    readonly reason: string;
    readonly message: string;
    readonly details?: { readonly name?: string; readonly retryAfterSeconds?: number };
  };
  readonly warnings?: readonly string[];
  readonly auditAnnotations?: Readonly<Record<string, string>>;
  readonly patch?: string;
  readonly patchType?: string;
}

export interface Harness extends ReturnType<typeof fakeKinds> {
  readonly webhook: Webhook;
  readonly registry: Registry;
  readonly agent: Agent;
  readonly port: number;
  /** What live reads of targets find, by path; what is not here is not found. */
  readonly targets: Map<string, object | Error>;
  readonly targetReads: string[];
  readonly namespaces: ObjectStore<KubeObject>;
  /** What SubjectAccessReviews are asked, and what they say. */
  readonly rights: FakeRights;
  hasSynced: boolean;
  /** What was written down of steps. */
  readonly audited: Transition[];
  /** Who else may change what is said. */
  /** Mutating admission policies that the API server lists. */
  foreign: readonly KubeObject[];
  /** Since when the cache of approvals has missed nothing; undefined: it cannot tell. */
  unbrokenSinceMs: number | undefined;
  /** Moves the wall clock, not the monotonic one. */
  aheadMs: number;
  ask(review: object, policy?: string): Promise<Response>;
  stamp(review: object): Promise<Response>;
  pin(review: object): Promise<Response>;
  post(
    path: string,
    body: string | Buffer,
    headers?: object,
  ): Promise<{ readonly status: number; readonly text: string }>;
  policy(name: string, spec?: Partial<StepUpPolicy['spec']>, status?: StepUpPolicy['status']): StepUpPolicy;
  approve(approval: StepUpApproval, by?: string): void;
  /** Closes the connections that `post` keeps. */
  hangUp(): void;
  stop(): Promise<void>;
}

interface AccessReview {
  readonly spec: {
    readonly user: string;
    readonly resourceAttributes: { readonly verb: string; readonly resource: string; readonly name?: string };
  };
}

/** RBAC in which everybody may approve and bypass but where a test takes it away, and nobody anything else. */
export class FakeRights {
  readonly asked: AccessReview['spec'][] = [];
  /** Such as "ada approve two". */
  readonly withheld = new Set<string>();
  /** Such as "system:serviceaccount:ci:deployer impersonate users ada". */
  readonly granted = new Set<string>();
  error: Error | undefined;

  answer({ spec }: AccessReview): object {
    if (this.error !== undefined) throw this.error;
    const { verb, resource, name } = spec.resourceAttributes;
    if (resource !== 'stepuppolicies') {
      return { status: { allowed: this.granted.has([spec.user, verb, resource, name].filter(Boolean).join(' ')) } };
    }
    this.asked.push(spec);
    return { status: { allowed: !this.withheld.has(`${spec.user} ${verb} ${name}`) } };
  }
}

export async function startWebhook(): Promise<Harness> {
  const now = () => new Date(Date.now() + harness.aheadMs);
  const clock = { ...systemClock, now };
  const kinds = fakeKinds(now);
  const registry = new Registry();
  const targets: Harness['targets'] = new Map();
  const targetReads: string[] = [];
  const rights = new FakeRights();
  const rest = {
    async request({ path, body }: ApiRequest): Promise<unknown> {
      if (path.endsWith('/subjectaccessreviews')) return rights.answer(body as AccessReview);
      if (path.includes('/mutatingwebhookconfigurations')) return { metadata: {}, items: [] };
      if (path.includes('/mutatingadmissionpolicies')) return { metadata: {}, items: harness.foreign };
      if (!path.includes('/serviceaccounts/')) targetReads.push(path);
      const found = targets.get(path) ?? status(404, 'NotFound');
      if (found instanceof Error) throw found;
      return found;
    },
    stream: () => Promise.reject(new Error('nothing is watched here')),
  };
  const { policies, approvals, decisions } = kinds;
  const namespaces = new ObjectStore<KubeObject>({});
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const webhook = createWebhook({
    caches: {
      policies: policies.cache,
      approvals: approvals.cache,
      decisions: decisions.cache,
      namespaces,
      hasSynced: () => harness.hasSynced,
      approvalsUnbrokenSinceMs: () => harness.unbrokenSinceMs,
    },
    clients: kinds,
    rest,
    own: { username: ownUsername, namespace: ownNamespace, service: 'stepup' },
    keysSecret: 'stepup-keys',
    clock,
    log: silent,
    audit: (transition) => harness.audited.push(transition),
    registry,
    previewKey: new Uint8Array(32),
    sealing: sealingOf(keyring),
    trustedMutators: [],
  });
  webhook.setCertificate(leaf);
  const port = await webhook.listen({ address: '127.0.0.1', port: 0 });
  const agent = new Agent({ ca: authority.cert, keepAlive: true, maxSockets: 64 });
  const post: Harness['post'] = (path, body, headers = { 'content-type': 'application/json' }) =>
    new Promise((resolve, reject) => {
      const options = { agent, host: '127.0.0.1', port, path, method: 'POST', headers: { ...headers } };
      const outgoing = httpsRequest(options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  const respond = async (path: string, review: object): Promise<Response> => {
    const { status: code, text } = await post(path, JSON.stringify(review));
    if (code !== 200) throw new Error(`${code}: ${text}`);
    return (JSON.parse(text) as { response: Response }).response;
  };
  const harness: Harness = {
    ...kinds,
    webhook,
    registry,
    agent,
    port,
    targets,
    targetReads,
    rights,
    namespaces,
    hasSynced: true,
    audited: [],
    foreign: [],
    unbrokenSinceMs: undefined,
    aheadMs: 0,
    post,
    ask: async (review, policy = 'deploys') => {
      const answer = await respond(`/gate/${policy}?timeout=5s`, review);
      if (!answer.allowed) expect(problemsOf(answer.status?.details)).toEqual([]);
      return answer;
    },
    stamp: (review) => respond('/stamp?timeout=5s', review),
    pin: (review) => respond('/pin?timeout=5s', review),
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
    hangUp: () => agent.destroy(),
    async stop() {
      agent.destroy();
      await webhook.close();
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

export async function counted(harness: Harness, name: string, labels: Readonly<Record<string, string>> = {}) {
  const metric = await harness.registry.getSingleMetric(name)?.get();
  const values = metric?.values ?? [];
  return values
    .filter((value) => Object.entries(labels).every(([key, wanted]) => value.labels[key] === wanted))
    .reduce((sum, { value }) => sum + value, 0);
}

export const nameIn = ({ status }: Response): string => status?.details?.name ?? '';

export const reasonIn = ({ allowed, status, auditAnnotations }: Response): string =>
  `${allowed ? 'Allowed' : 'Denied'} ${auditAnnotations?.reason ?? status?.reason ?? 'NotGoverned'}`;

/** Asks until denied, approves what was filed, and gives it back. */
export async function approved(harness: Harness, asked: object, policy = 'deploys'): Promise<StepUpApproval> {
  const approval = await filed(harness, nameIn(await harness.ask(asked, policy)));
  harness.approve(approval);
  return approval;
}
