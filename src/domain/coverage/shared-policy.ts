// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The policy that governs a request: its own, or for requests on namespaces the one that it shares with others.

import { selectorKeys } from '../model/label-selector.ts';
import { isEnforced, isReady, type Policy } from '../model/policy.ts';
import { type AdmissionRequest, isNamespaceObject } from '../model/request.ts';
import { rowsFor, type Shape } from './coverage.ts';

const namespaceShapes: readonly Shape[] = ['NamespaceDeletion', 'NamespaceLeaves'];

/** How a policy asks about a request. */
export interface Asking {
  /** The policy whose requirements, binding and name the attempt has. */
  readonly effective: Policy;
  /** Label keys by which the policies that share a namespace's approval select it. */
  readonly selectorKeys: readonly string[];
}

/** Only what becomes of a namespace is asked about under a policy that others share: only then all are looked at. */
export function askingOf(policy: Policy, request: AdmissionRequest, policies: () => readonly Policy[]): Asking {
  if (!isNamespaceObject(request)) return { effective: policy, selectorKeys: [] };
  const all = policies();
  const effective = effectivePolicy(policy, request, all);
  return { effective, selectorKeys: sharedSelectorKeys(effective, all) };
}

function effectivePolicy(policy: Policy, request: AdmissionRequest, policies: readonly Policy[]): Policy {
  const name = policy.spec.namespaceShapes;
  if (name === undefined || name === policy.metadata.name) return policy;
  const rows = rowsFor(policy, request);
  if (rows.length === 0 || !rows.every(({ shape }) => namespaceShapes.includes(shape))) return policy;
  const shared = policies.find((other) => other.metadata.name === name);
  return shared !== undefined && isEnforced(shared) && isReady(shared) ? shared : policy;
}

/** The keys of all policies that share the approval, so that all make one digest. */
function sharedSelectorKeys(effective: Policy, policies: readonly Policy[]): readonly string[] {
  const sharing = policies.filter((other) => other.spec.namespaceShapes === effective.metadata.name);
  const keys = [effective, ...sharing].flatMap(({ spec }) =>
    spec.namespaceSelector === undefined ? [] : selectorKeys(spec.namespaceSelector),
  );
  return [...new Set(keys)].sort();
}
