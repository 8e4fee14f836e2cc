// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup observed: lists what policies in mode Observe would have blocked, from their status.
import type { StepUpPolicy } from '../api/kinds.ts';
import { stepUpPolicies } from '../api/own-resources.ts';
import { isEnforced } from '../domain/model/policy.ts';
import { type DeniedReason, deniedReasons } from '../domain/model/reason.ts';
import { isForbidden, isNotFound } from '../kube/http/api-error.ts';
import type { RestClient } from '../kube/http/rest.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import { defined } from '../lib/json.ts';
import { visibleLine } from '../lib/visible-text.ts';
import { connectAsUser } from './connect.ts';

export interface ObservedOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly output: 'table' | 'wide' | 'json';
}

/** As the schema bounds them. */
const mostCharacters = 512;

export const observedExit = { nothing: 0, something: 1, notDone: 2 } as const;

/** What one policy would have blocked: of whom, what, where, why, how often, and when last. */
export interface ObservedRow {
  readonly policy: string;
  readonly requester: string;
  /** "DELETE secrets" */
  readonly action: string;
  /** "prod/db", or a name alone */
  readonly target: string;
  readonly reason: string;
  readonly count: number;
  readonly lastAt: string;
}

/** One observing policy and all that it saw. */
export interface ObservedPolicy {
  readonly policy: string;
  /** Requests that it was asked about. */
  readonly requests: number;
  readonly wouldHaveBlocked: number;
  /** Of these, how many stand in no row: the status has room for fifty. */
  readonly unlisted: number;
  readonly since?: string;
}

/** Prints what it finds; resolves to the exit code. Rejects where it could not look. names: all policies when empty. */
export async function observed(
  names: readonly string[],
  options: ObservedOptions,
  print: (text: string) => void,
  now: Date,
): Promise<number> {
  const rest = await connectAsUser(options);
  try {
    const policies = chosen(await readPolicies(rest), names);
    const rows = policies.flatMap(tableOf).sort(byPolicyAndAge);
    const sums = policies.map(sumOf);
    print(
      options.output === 'json'
        ? `${JSON.stringify({ policies: sums, blocked: rows }, null, 2)}\n`
        : observedText(sums, rows, { isWide: options.output === 'wide', now }),
    );
    return sums.some(({ wouldHaveBlocked }) => wouldHaveBlocked > 0) ? observedExit.something : observedExit.nothing;
  } finally {
    rest.close();
  }
}

async function readPolicies(rest: RestClient): Promise<readonly StepUpPolicy[]> {
  try {
    return (await new ResourceClient<StepUpPolicy>(rest, stepUpPolicies).list()).items;
  } catch (error) {
    if (isNotFound(error)) throw new Error('this cluster has no stepuppolicies; install stepup first');
    if (isForbidden(error)) {
      throw new Error('you cannot list stepuppolicies: have the ClusterRole stepup-viewer bound to you', {
        cause: error,
      });
    }
    throw error;
  }
}

/** Those that observe; of names that are given each has to. */
function chosen(all: readonly StepUpPolicy[], names: readonly string[]): readonly StepUpPolicy[] {
  for (const name of names) {
    const named = all.find(({ metadata }) => metadata.name === name);
    if (named === undefined)
      throw new Error(`policy ${name} does not exist: list the policies with kubectl get stepuppolicies`);
    if (isEnforced(named)) {
      throw new Error(
        `policy ${name} is in mode Enforce: list what it blocks with kubectl get sua -A, or set its mode to Observe to count`,
      );
    }
  }
  return all.filter((policy) => !isEnforced(policy) && (names.length === 0 || names.includes(policy.metadata.name)));
}

/** Counts are about one generation of the policy; those of an older one say nothing of this one. */
function countsOf({ metadata, status }: StepUpPolicy) {
  return status?.observed?.generation === metadata.generation ? status.observed : undefined;
}

/** The rows of one policy's status. */
export function tableOf(policy: StepUpPolicy): readonly ObservedRow[] {
  return (countsOf(policy)?.blocked ?? []).map(({ action: phrase, requester, reason, count, lastAt }) => {
    // The name in a connection is whatever the client wrote: nobody has looked for the pod yet, and spaces are the least of it.
    const [operation, resource, ...named] = phrase.split(' ');
    const [action, target] = [`${operation} ${resource}`, named.join(' ')];
    return { policy: policy.metadata.name, requester, action, target, reason, count, lastAt };
  });
}

function sumOf(policy: StepUpPolicy): ObservedPolicy {
  const { requests = 0, wouldHaveBlocked = 0, since, blocked = [] } = countsOf(policy) ?? {};
  const listed = blocked.reduce((sum, { count }) => sum + count, 0);
  return {
    policy: policy.metadata.name,
    requests,
    wouldHaveBlocked,
    unlisted: Math.max(0, wouldHaveBlocked - listed),
    ...defined({ since }),
  };
}

function byPolicyAndAge(a: ObservedRow, b: ObservedRow): number {
  return a.policy.localeCompare(b.policy) || b.lastAt.localeCompare(a.lastAt);
}

/** For people: a table, and a sentence for each policy that it does not tell all of. */
export function observedText(
  policies: readonly ObservedPolicy[],
  rows: readonly ObservedRow[],
  { isWide, now }: { readonly isWide: boolean; readonly now: Date },
): string {
  if (policies.length === 0)
    return 'No policy is in mode Observe. Set spec.mode to Observe in a policy, or packs.<name>.spec.mode=Observe in the chart.\n';
  const head = ['POLICY', 'REQUESTER', 'ACTION', 'TARGET', 'COUNT', 'LAST SEEN', 'REASON', ...(isWide ? ['WHY'] : [])];
  const table = [
    head,
    ...rows.map(({ policy, requester, action, target, count, lastAt, reason }) => [
      ...[policy, requester, action, target, String(count), isWide ? lastAt : ageOf(lastAt, now), reason],
      ...(isWide ? [Object.hasOwn(deniedReasons, reason) ? deniedReasons[reason as DeniedReason] : ''] : []),
    ]),
  ];
  const notes = policies.flatMap(noteOf);
  return [...(rows.length === 0 ? [] : [aligned(table)]), ...notes].join('\n').concat('\n');
}

function noteOf({ policy, requests, wouldHaveBlocked, unlisted, since }: ObservedPolicy): readonly string[] {
  if (since === undefined) return [`${policy} has governed no request yet.`];
  if (wouldHaveBlocked === 0)
    return [`${policy} would have blocked none of ${requests} ${requestsOf(requests)} since ${since}.`];
  return unlisted === 0
    ? []
    : [`${policy} would have blocked ${unlisted} more ${requestsOf(unlisted)} that its status has no room for.`];
}

function requestsOf(count: number): string {
  return count === 1 ? 'request' : 'requests';
}

function aligned(table: readonly (readonly string[])[]): string {
  // Else a gated account could write on the terminal of who reads this.
  const rows = table.map((row) => row.map((cell) => visibleLine(cell, mostCharacters)));
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}

/** As kubectl tells ages: the largest unit that fits. */
function ageOf(instant: string, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - new Date(instant).getTime()) / 1000));
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
  ] as const;
  const [unit, length] = units.find(([, each]) => seconds >= each) ?? ['s', 1];
  return `${Math.floor(seconds / length)}${unit} ago`;
}
