// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a policy in mode Observe has counted, added up over replicas without losing a count.
import type { Policy } from '../model/policy.ts';

/** StepUpPolicy.status.observed. */
export interface Observed {
  /** The counts are about this generation of the policy; another one starts anew. */
  readonly generation: number;
  readonly requests: number;
  readonly wouldHaveBlocked: number;
  readonly since: string;
  readonly lastAt: string;
  /** Newest first. */
  readonly recent?: readonly Recent[];
  /** By what they have in common, the newest first. What finds no room is only in wouldHaveBlocked. */
  readonly blocked?: readonly BlockedSum[];
}

interface Recent {
  readonly at: string;
  readonly requester: string;
  readonly action: string;
}

/** A request that would have been refused: whose, for what, and the reason code that it would have had. */
export interface Blocked {
  readonly requester: string;
  readonly action: string;
  readonly reason: string;
}

/** How often the same was seen. */
interface BlockedSum extends Blocked {
  readonly count: number;
  readonly lastAt: string;
}

const mostRecent = 10;
/** The schema's bound: a status is one object in etcd, written every few seconds. */
const mostBlocked = 50;

/** One request more. */
export function observedOne(
  seen: Observed | undefined,
  policy: Policy,
  blocked: Blocked | undefined,
  now: Date,
): Observed {
  const at = now.toISOString();
  const one: Observed = {
    generation: policy.metadata.generation,
    requests: 1,
    wouldHaveBlocked: blocked === undefined ? 0 : 1,
    since: at,
    lastAt: at,
    recent: blocked === undefined ? [] : [{ at, requester: blocked.requester, action: blocked.action }],
    blocked: blocked === undefined ? [] : [{ ...blocked, count: 1, lastAt: at }],
  };
  return observedTogether(seen, one);
}

/** Both together, where they are about the same generation; else what is about the newer one. */
export function observedTogether(a: Observed | undefined, b: Observed): Observed {
  if (a === undefined || a.generation < b.generation) return b;
  if (a.generation > b.generation) return a;
  return {
    generation: a.generation,
    requests: a.requests + b.requests,
    wouldHaveBlocked: a.wouldHaveBlocked + b.wouldHaveBlocked,
    since: a.since < b.since ? a.since : b.since,
    lastAt: a.lastAt > b.lastAt ? a.lastAt : b.lastAt,
    recent: [...(b.recent ?? []), ...(a.recent ?? [])]
      .sort((one, other) => other.at.localeCompare(one.at))
      .slice(0, mostRecent),
    blocked: summed([...(b.blocked ?? []), ...(a.blocked ?? [])]),
  };
}

function summed(all: readonly BlockedSum[]): readonly BlockedSum[] {
  const sums = new Map<string, BlockedSum>();
  for (const one of all) {
    const key = JSON.stringify([one.requester, one.action, one.reason]);
    const { count = 0, lastAt = '' } = sums.get(key) ?? {};
    sums.set(key, { ...one, count: count + one.count, lastAt: lastAt > one.lastAt ? lastAt : one.lastAt });
  }
  return [...sums.values()].sort((one, other) => other.lastAt.localeCompare(one.lastAt)).slice(0, mostBlocked);
}
