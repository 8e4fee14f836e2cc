// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Light traffic of gated and ungated clients that goes on whatever happens, and a ledger of what became of each request.

import { setTimeout as sleep } from 'node:timers/promises';
import { type AdminClient, type Answer, createAdminClient } from './control-plane/admin-client.ts';
import type { ControlPlane } from './control-plane/controlplane.ts';
import { requestToken } from './control-plane/service-account-token.ts';

export interface Clients {
  readonly deployer: AdminClient;
  /** Sends as an approver. */
  approve(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer>;
  close(): void;
}

const requestTimeoutMs = 10_000;

/** The requester and an approver, talking to the API server directly. */
export async function createClients(cluster: ControlPlane): Promise<Clients> {
  const { server, ca, admin } = cluster;
  const token = await requestToken(admin, 'ci/deployer', { expirationSeconds: 3600 });
  const deployer = createAdminClient({ server, ca, token });
  const headers = { 'impersonate-user': 'ada', 'impersonate-group': 'approvers' };
  return {
    deployer,
    approve: (method, path, body) => admin.send(method, path, { body, headers, timeoutMs: requestTimeoutMs }),
    close: () => deployer.close(),
  };
}

/** What a requester is told, or that nobody told it anything. */
export type Told =
  | { readonly kind: 'passed'; readonly body: unknown }
  /** Refused with an approval to wait for. */
  | { readonly kind: 'denied'; readonly approval: ApprovalKey; readonly message: string }
  /** Refused by the gate or in its name, without an approval to wait for. */
  | { readonly kind: 'refused'; readonly message: string }
  /** No answer, or the API server's own failure. */
  | { readonly kind: 'failed'; readonly message: string };

export interface ApprovalKey {
  readonly namespace: string;
  readonly name: string;
}

export async function ask(client: AdminClient, method: 'POST' | 'PATCH', path: string, body: object): Promise<Told> {
  const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  let answer: Answer;
  try {
    answer = await client.send(method, path, { body, contentType, timeoutMs: requestTimeoutMs });
  } catch (failure) {
    return { kind: 'failed', message: String(failure) };
  }
  if (answer.code >= 200 && answer.code < 300) return { kind: 'passed', body: answer.body };
  const message = `${answer.code} ${textAt(answer.body, 'message') || String(answer.body)}`;
  const [, namespace, name] = /Approval ([a-z0-9-]+)\/([a-z0-9.-]+)\./.exec(message) ?? [];
  if (namespace !== undefined && name !== undefined) return { kind: 'denied', approval: { namespace, name }, message };
  return { kind: /stepup/.test(message) ? 'refused' : 'failed', message };
}

/**
 * Approves with what the approval itself says, as often as it takes. Returns the phase that it is in then. `askAgain`: an
 * approval is filed after its denial, so a replica that is killed in between leaves that to the next try.
 */
export async function approve(
  clients: Clients,
  key: ApprovalKey,
  signal: AbortSignal,
  askAgain: () => Promise<unknown>,
): Promise<string> {
  return decide(clients, key, 'Approve', signal, askAgain);
}

type Verdict = 'Approve' | 'Deny';

const mostUnfiled = 20;

async function decide(
  clients: Clients,
  key: ApprovalKey,
  verdict: Verdict,
  signal: AbortSignal,
  /** Absent: what is not filed within a moment needs no word. */
  askAgain?: () => Promise<unknown>,
): Promise<string> {
  let unfiled = 0;
  while (!signal.aborted) {
    try {
      const phase = await decideOnce(clients, key, verdict);
      if (phase === 'Unfiled') {
        unfiled += 1;
        if (askAgain === undefined && unfiled > mostUnfiled) return phase;
        await askAgain?.();
      } else if (phase !== 'Pending') return phase;
    } catch {
      // The API server is away; it comes back.
    }
    await sleep(100);
  }
  return 'Pending';
}

async function decideOnce(clients: Clients, { namespace, name }: ApprovalKey, verdict: Verdict): Promise<string> {
  const path = `/apis/stepup.dev/v1alpha1/namespaces/${namespace}`;
  const { code, body } = await clients.approve('GET', `${path}/stepupapprovals/${name}`);
  if (code === 404) return 'Unfiled';
  const status = code === 200 ? fieldOf(body, 'status') : undefined;
  const decision = textAt(status, 'approveWith');
  // An earlier try, whose answer was lost, may have counted.
  const phase = textAt(status, 'phase') || 'Pending';
  if (decision === '' || phase !== 'Pending') return phase;
  const approval: { readonly spec: object } = JSON.parse(decision);
  const decided = { ...approval, spec: { ...approval.spec, verdict } };
  const made = await clients.approve('POST', `${path}/stepupdecisions`, decided);
  if (made.code !== 201) return 'Pending';
  return verdict === 'Approve' ? 'Approved' : 'Denied';
}

export function fieldOf(value: unknown, field: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === field)?.[1];
}

export function textAt(value: unknown, field: string): string {
  const text = fieldOf(value, field);
  return typeof text === 'string' ? text : '';
}

export const deployments = (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/deployments`;
const pods = '/api/v1/namespaces/prod/pods';

export const deployment = (namespace: string, name: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { namespace, name },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'nginx:0' }] } },
  },
});

export const imagePatch = (image: string) => ({
  spec: { template: { spec: { containers: [{ name: 'c', image }] } } },
});

const pod = (turn: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { generateName: `turn-${turn}-`, namespace: 'prod', labels: { turn } },
  spec: { automountServiceAccountToken: false, containers: [{ name: 'c', image: 'nginx:1' }] },
});

export interface Failure {
  readonly atMs: number;
  readonly message: string;
}

/** What happened so far. All instants are of the monotonic clock. */
export interface Ledger {
  readonly ungated: { passed: number; readonly failures: Failure[]; lastPassedAtMs: number };
  /** A change that nobody approves: each that passes is a wrong allow. */
  readonly intruder: { denied: number; passed: number; readonly refusals: Failure[]; lastDeniedAtMs: number };
  /** Updates of one Deployment, each to an image of its own, each approved once. */
  readonly updates: {
    approved: number;
    passed: number;
    readonly lost: string[];
    lastPassedAtMs: number;
    /** What the last attempt was told: why none passes, when none does. */
    lastTold: string;
  };
  /** Pods with generated names, each approval tried by several clients at once. */
  readonly creations: { approved: number; passed: number; readonly spent: string[] };
  /** What must never happen, each a sentence. */
  readonly wrong: string[];
}

export interface Traffic {
  readonly ledger: Ledger;
  stop(): Promise<void>;
}

export function startTraffic(clients: Clients): Traffic {
  const stopping = new AbortController();
  const { signal } = stopping;
  const ledger: Ledger = {
    ungated: { passed: 0, failures: [], lastPassedAtMs: 0 },
    intruder: { denied: 0, passed: 0, refusals: [], lastDeniedAtMs: 0 },
    updates: { approved: 0, passed: 0, lost: [], lastPassedAtMs: 0, lastTold: '' },
    creations: { approved: 0, passed: 0, spent: [] },
    wrong: [],
  };
  const loop = async (pauseMs: number, work: (turn: number) => Promise<void>) => {
    for (let turn = 1; !signal.aborted; turn++) {
      await work(turn).catch((failure) => ledger.wrong.push(String(failure)));
      await sleep(pauseMs);
    }
  };
  const loops = [
    loop(250, () => askUngated(clients, ledger.ungated)),
    loop(300, () => intrude(clients, ledger.intruder)),
    loop(100, (turn) => update(clients, ledger.updates, turn, signal)),
    loop(250, (turn) => create(clients, ledger.creations, turn, signal)),
  ];
  return {
    ledger,
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

/** The same kind by the same account, where no policy governs. */
async function askUngated({ deployer }: Clients, ledger: Ledger['ungated']): Promise<void> {
  const startedAtMs = performance.now();
  const image = `nginx:${Math.round(startedAtMs)}`;
  const told = await ask(deployer, 'PATCH', `${deployments('dev')}/free`, imagePatch(image));
  if (told.kind === 'passed') {
    ledger.passed += 1;
    ledger.lastPassedAtMs = performance.now();
  } else {
    ledger.failures.push({ atMs: startedAtMs, message: told.message });
  }
}

async function intrude({ deployer }: Clients, ledger: Ledger['intruder']): Promise<void> {
  const told = await ask(deployer, 'PATCH', `${deployments('prod')}/guarded`, imagePatch('evil:1'));
  const atMs = performance.now();
  if (told.kind === 'passed') ledger.passed += 1;
  if (told.kind === 'refused') ledger.refusals.push({ atMs, message: told.message });
  if (told.kind === 'denied') {
    ledger.denied += 1;
    ledger.lastDeniedAtMs = atMs;
  }
}

async function update(clients: Clients, ledger: Ledger['updates'], turn: number, signal: AbortSignal): Promise<void> {
  const attempt = async () => {
    const told = await ask(clients.deployer, 'PATCH', `${deployments('prod')}/worked`, imagePatch(`nginx:${turn}`));
    ledger.lastTold = `nginx:${turn}: ${told.kind === 'passed' ? 'passed' : told.message}`;
    return told;
  };
  const key = await deniedWith(attempt, signal);
  if (key === undefined) return;
  const phase = await approve(clients, key, signal, attempt);
  if (phase === 'Pending') return;
  if (phase !== 'Approved') {
    ledger.lost.push(`${key.name} ended as ${phase} before anybody could approve it`);
    return;
  }
  ledger.approved += 1;
  const end = await passes(attempt, key, signal);
  if (typeof end === 'object') ledger.lost.push(end.lost);
  if (end !== 'passed') return;
  ledger.passed += 1;
  ledger.lastPassedAtMs = performance.now();
}

/** Several clients use one approval at once: at most one of them may get its Pod. */
async function create(clients: Clients, ledger: Ledger['creations'], turn: number, signal: AbortSignal): Promise<void> {
  const attempt = () => ask(clients.deployer, 'POST', pods, pod(String(turn)));
  const key = await deniedWith(attempt, signal);
  if (key === undefined || (await approve(clients, key, signal, attempt)) !== 'Approved') return;
  ledger.approved += 1;
  const ends = await Promise.all([1, 2, 3].map(() => passes(attempt, key, signal)));
  const others = ends.filter((end) => typeof end === 'object');
  if (ends.includes('passed')) ledger.passed += 1;
  else if (others.length > 0) ledger.spent.push(key.name);
  // Who came too late has asked for one more, which nobody needs: left pending, they would fill what a requester may have.
  const unneeded = new Map(others.map(({ approval }) => [approval.name, approval]));
  await Promise.all([...unneeded.values()].map((approval) => decide(clients, approval, 'Deny', signal)));
}

/** Asks until the gate names an approval to wait for. */
export async function deniedWith(attempt: () => Promise<Told>, signal: AbortSignal): Promise<ApprovalKey | undefined> {
  while (!signal.aborted) {
    const told = await attempt();
    if (told.kind === 'denied') return told.approval;
    if (told.kind === 'passed') throw new Error('a change passed that nobody has approved');
    await sleep(100);
  }
  return undefined;
}

/** Asks until the approved change passes, or another approval is asked for: then the first one is lost. */
export async function passes(
  attempt: () => Promise<Told>,
  key: ApprovalKey,
  signal: AbortSignal,
): Promise<'passed' | 'stopped' | { readonly lost: string; readonly approval: ApprovalKey }> {
  while (!signal.aborted) {
    const told = await attempt();
    if (told.kind === 'passed') return 'passed';
    if (told.kind === 'denied' && told.approval.name !== key.name) {
      return {
        lost: `${key.name} at ${new Date().toISOString()}: ${told.message}`,
        approval: told.approval,
      };
    }
    await sleep(150);
  }
  return 'stopped';
}
