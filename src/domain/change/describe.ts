// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether a request is privileged under a policy, and its identity, before any approval is read.

import { defined, type JsonObject, valueAt } from '../../lib/json.ts';
import { type CoverageRow, rowsFor } from '../coverage/coverage.ts';
import type { Policy } from '../model/policy.ts';
import type { DeniedReason } from '../model/reason.ts';
import type { AdmissionRequest } from '../model/request.ts';
import type { Change, ChangeContext, Harmless } from './change.ts';
import { changeOf } from './change-of.ts';
import { isTokenTooLong } from './token-lifetime.ts';

/** What a request is under a policy, before any approval is looked at. */
export type Described =
  | { readonly kind: 'NotGoverned'; readonly reason: Harmless }
  /** It needs an approval, unless it is a dry run. */
  | { readonly kind: 'Privileged'; readonly change: Change }
  /** No approval lifts this. */
  | { readonly kind: 'Rejected'; readonly reason: DeniedReason };

/** Is the request privileged under the policy, and what is its identity? */
export function describe(request: AdmissionRequest, policy: Policy, context: ChangeContext): Described {
  const rows = rowsFor(policy, request);
  // The API server sent what our rules name. Where the policy no longer says so here, it is about to be told again.
  if (rows.length === 0) return { kind: 'Rejected', reason: 'NotReady' };
  if (rows.some((row) => isTokenTooLong(request, row.action?.maxTokenSeconds))) {
    return { kind: 'Rejected', reason: 'TokenTooLong' };
  }
  const judged = rows.map((row) => ({ row, change: changeOf(row, request, context) }));
  const whole = judged.filter(({ row, change }) => coversWholeObject(row, request) && typeof change !== 'string');
  const changes = (whole.length > 0 ? whole : judged).map(({ change }) => change);
  const privileged = changes.filter((change) => typeof change !== 'string');
  const [change] = privileged;
  if (change === undefined) {
    const [reason = 'NoChange'] = changes.filter((one) => typeof one === 'string');
    return { kind: 'NotGoverned', reason };
  }
  if (new Set(privileged.map((one) => one.digest)).size > 1) return { kind: 'Rejected', reason: 'SeveralEffects' };
  if (change.objectUID === '') return { kind: 'Rejected', reason: 'TargetUnknown' };
  return { kind: 'Privileged', change };
}

/** Describes the request under a policy. selectorKeys: label keys by which the policies that share a namespace select it. */
export type DescribeUnder = (policy: Policy, selectorKeys: readonly string[]) => Described;

/** Describes a request once under each policy, however often it is decided on. live: what its review does not carry. */
export function describer(request: AdmissionRequest, live?: JsonObject): DescribeUnder {
  const known = new Map<Policy, Described>();
  return (policy, selectorKeys) => {
    const before = known.get(policy);
    if (before !== undefined) return before;
    const described = describe(request, policy, { selectorKeys, ...defined({ live }) });
    known.set(policy, described);
    return described;
  };
}

/** True when the row's digest binds all that another row could make privileged: finalizers, owners and labels. */
function coversWholeObject({ shape, action }: CoverageRow, { operation }: AdmissionRequest): boolean {
  if (shape !== 'Action' || operation !== 'UPDATE' || action?.fields !== undefined) return false;
  return !(action?.digestIgnore ?? []).some((place) => /^\/(metadata|spec$|spec\/finalizers)/.test(place));
}

/** Requests on these shapes are dry runs that really change nothing. Anywhere else the flag is ignored: the API server
 *  hands out a working token on serviceaccounts/token?dryRun=All (measured). */
const dryRunnable = new Set(['', 'status', 'scale', 'eviction', 'approval', 'ephemeralcontainers', 'resize']);

export function isHarmlessDryRun(request: AdmissionRequest): boolean {
  return request.dryRun && dryRunnable.has(request.subresource);
}

/** The reason or ticket that a plain client states on the object it sends. */
export function statedOn(request: AdmissionRequest, what: 'reason' | 'ticket'): string | undefined {
  const value = valueAt(request.object ?? request.oldObject, `/metadata/annotations/stepup.dev~1${what}`);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
