// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a policy in mode Observe has seen: counts that several replicas add up without losing any.
import type { Policy } from './policy.ts';

/** StepUpPolicy.status.observed. */
export interface Observed {
  /** The counts are about this generation of the policy; another one starts anew. */
  readonly generation: number;
  readonly requests: number;
  readonly wouldHaveBlocked: number;
  readonly since: string;
  readonly lastAt: string;
  /** Newest first. */
  readonly recent?: readonly Blocked[];
}

/** A request that would have been refused. */
export interface Blocked {
  readonly at: string;
  readonly requester: string;
  readonly action: string;
}

const mostRecent = 10;

/** One request more. */
export function observedOne(
  seen: Observed | undefined,
  policy: Policy,
  blocked: Omit<Blocked, 'at'> | undefined,
  now: Date,
): Observed {
  const at = now.toISOString();
  const one: Observed = {
    generation: policy.metadata.generation,
    requests: 1,
    wouldHaveBlocked: blocked === undefined ? 0 : 1,
    since: at,
    lastAt: at,
    recent: blocked === undefined ? [] : [{ at, ...blocked }],
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
  };
}
