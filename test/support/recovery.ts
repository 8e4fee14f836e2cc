// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Disturbs an installed product under traffic, and measures how long each part of it takes to be itself again.

import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './eventually.ts';
import type { StandinNode } from './stand-in-node/node.ts';
import {
  type ApprovalKey,
  approve,
  ask,
  type Clients,
  deniedWith,
  deployments,
  type Failure,
  imagePatch,
  type Ledger,
  passes,
} from './traffic.ts';

export interface Recovery {
  readonly fault: string;
  readonly lastedMs: number;
  /** From the end of the fault until each worked; what went on working during it says 0. */
  readonly ungatedMs: number;
  readonly denialMs: number;
  /** The change that was approved before the fault. */
  readonly heldMs: number;
  /** A change that is filed, approved and used after the fault, for which an operator must lead. */
  readonly approvedMs: number;
  readonly readyMs: number;
  /** Did the change that was approved beforehand pass with that approval? */
  readonly held: Awaited<ReturnType<typeof passes>>;
  readonly ungatedFailures: readonly Failure[];
  readonly refusals: readonly Failure[];
}

export interface Disturbed {
  readonly clients: Clients;
  readonly node: StandinNode;
  readonly ledger: Ledger;
  readonly replicas: number;
}

const longestMs = 60_000;

/** Approves a change, disturbs, and waits until traffic flows as before and the change has passed. */
export async function recoverFrom(
  fault: string,
  disturbed: Disturbed,
  disturb: () => Promise<void>,
): Promise<Recovery> {
  const { clients, node, ledger, replicas } = disturbed;
  const limit = new AbortController();
  const held = await approvedChange(clients, fault, limit.signal);
  const ungatedBefore = ledger.ungated.failures.length;
  const refusalsBefore = ledger.intruder.refusals.length;
  const startedAtMs = performance.now();
  await disturb();
  const endedAtMs = performance.now();
  const timer = setTimeout(() => limit.abort(), longestMs);
  const since = async (what: string, isDone: () => boolean | Promise<boolean>) => {
    await eventually(`${what} after: ${fault}`, isDone, { timeoutMs: longestMs, intervalMs: 10 });
    return performance.now() - endedAtMs;
  };
  const passing = passes(held.attempt, held.key, limit.signal);
  const [end, heldMs, ungatedMs, denialMs, approvedMs, readyMs] = await Promise.all([
    passing,
    passing.then(() => performance.now() - endedAtMs),
    since('ungated traffic to pass', () => ledger.ungated.lastPassedAtMs > endedAtMs),
    since('an unapproved change to be denied', () => ledger.intruder.lastDeniedAtMs > endedAtMs),
    since('an approved change to pass', () => {
      if (ledger.updates.lastPassedAtMs > endedAtMs) return true;
      throw new Error(`the last one was told: ${ledger.updates.lastTold}`);
    }),
    since('all replicas to be Ready', () => areReady(node, replicas)),
  ]);
  clearTimeout(timer);
  return {
    fault,
    lastedMs: endedAtMs - startedAtMs,
    ungatedMs,
    denialMs,
    heldMs,
    approvedMs,
    readyMs,
    held: end,
    ungatedFailures: ledger.ungated.failures.slice(ungatedBefore),
    refusals: ledger.intruder.refusals.slice(refusalsBefore),
  };
}

async function approvedChange(clients: Clients, fault: string, signal: AbortSignal) {
  const image = `held:${fault.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}`;
  const attempt = () => ask(clients.deployer, 'PATCH', `${deployments('prod')}/held`, imagePatch(image));
  const key: ApprovalKey | undefined = await deniedWith(attempt, signal);
  const phase = key && (await approve(clients, key, signal, attempt));
  if (key === undefined || phase !== 'Approved') throw new Error(`approve ${image}: it is ${phase}`);
  return { attempt, key };
}

/** To Kubernetes, and by their own word. */
async function areReady(node: StandinNode, replicas: number): Promise<boolean> {
  const pods = node.pods();
  const words = await Promise.all(pods.map(readyzOf));
  return pods.length === replicas && pods.every(({ isReady }) => isReady) && words.every((word) => word === '');
}

/** What a replica's own /readyz says: empty when it is ready, undefined when it does not answer. */
export async function readyzOf(pod: { readonly ip: string }): Promise<string | undefined> {
  try {
    const answer = await fetch(`http://${pod.ip}:8080/readyz`, { signal: AbortSignal.timeout(1_000) });
    const text = await answer.text();
    return answer.status === 200 ? '' : text.trim();
  } catch {
    return undefined;
  }
}

/** The replica that runs the operator. */
export async function leaderOf(node: StandinNode): Promise<string> {
  return eventually('a replica to lead', async () => {
    for (const { name, ip, isReady } of node.pods()) {
      if (!isReady) continue;
      const text = await (await fetch(`http://${ip}:8080/metrics`)).text();
      if (/^stepup_leader 1$/m.test(text)) return name;
    }
    return undefined;
  });
}

export async function forSeconds(seconds: number): Promise<void> {
  await sleep(seconds * 1_000);
}

/** One line per fault, in Markdown, so that it can go into the documentation as printed. */
export function tableOf(recoveries: readonly Recovery[]): string {
  const seconds = (ms: number) => (Math.round(ms / 100) / 10).toFixed(1);
  const rows = recoveries.map(({ fault, ungatedFailures, ...one }) => {
    const times = [one.lastedMs, one.ungatedMs, one.denialMs, one.heldMs, one.approvedMs, one.readyMs].map(seconds);
    return `| ${[fault, ...times, ungatedFailures.length].join(' | ')} |`;
  });
  return [
    '| fault | lasted | ungated passes | unapproved is denied | approved before passes | approved since passes | all Ready | ungated failures |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
