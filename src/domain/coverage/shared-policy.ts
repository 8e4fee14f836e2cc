// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The policy that governs a request: its own, or for requests on namespaces the one that it shares with others.

import { selectorKeys } from '../model/label-selector.ts';
import { isEnforced, isReady, type Policy } from '../model/policy.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { rowsFor, type Shape } from './coverage.ts';

const namespaceShapes: readonly Shape[] = ['NamespaceDeletion', 'NamespaceLeaves'];

/** The policy whose requirements, binding and name an attempt has. */
export function effectivePolicy(policy: Policy, request: AdmissionRequest, policies: readonly Policy[]): Policy {
  const name = policy.spec.namespaceShapes;
  if (name === undefined || name === policy.metadata.name) return policy;
  const rows = rowsFor(policy, request);
  if (rows.length === 0 || !rows.every(({ shape }) => namespaceShapes.includes(shape))) return policy;
  const shared = policies.find((other) => other.metadata.name === name);
  return shared !== undefined && isEnforced(shared) && isReady(shared) ? shared : policy;
}

/** The label keys by which the policies that share a namespace's approval select it, so that all make one digest. */
export function sharedSelectorKeys(effective: Policy, policies: readonly Policy[]): readonly string[] {
  const sharing = policies.filter((other) => other.spec.namespaceShapes === effective.metadata.name);
  const keys = [effective, ...sharing].flatMap(({ spec }) =>
    spec.namespaceSelector === undefined ? [] : selectorKeys(spec.namespaceSelector),
  );
  return [...new Set(keys)].sort();
}
