// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Policies that tests add to the ready-made ones.
import { apply, type Installation, policiesReady } from './installation.ts';

/** Applies a policy that one of group approvers satisfies, in production namespaces, and waits until it is Ready. */
export async function addPolicy(
  stepup: Installation,
  name: string,
  actions: readonly object[],
  spec: object = {},
): Promise<void> {
  const policy = {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpPolicy',
    metadata: { name },
    spec: {
      actions,
      namespaceSelector: { matchLabels: { environment: 'production' } },
      namespaceShapes: 'namespace-deletion',
      approval: { require: [{ name: 'review', approvers: { groups: ['approvers'] } }] },
      ...spec,
    },
  };
  await apply(stepup.cluster, [policy]);
  await policiesReady(stepup.cluster);
  // The API server takes a moment to learn of a new webhook configuration (measured).
  await new Promise((resolve) => setTimeout(resolve, 1_000));
}
