// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes a pod's status to the API server: one write at a time, the latest facts only, nothing when nothing changed.

import type { AdminClient } from '../control-plane/admin-client.ts';
import { persistently } from './persistently.ts';
import type { Pod } from './pod.ts';
import { type Condition, type PodFacts, type PodStatus, podStatus } from './pod-status.ts';

export interface StatusReporter {
  report(facts: PodFacts): void;
  /** Resolves once everything reported so far is written or cannot be. */
  settled(): Promise<void>;
}

export function createStatusReporter(admin: AdminClient, pod: Pod): StatusReporter {
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}/status`;
  let conditions: readonly Condition[] = [];
  let pending: PodFacts | undefined;
  let written = '';
  let writing: Promise<void> | undefined;

  // The UID makes a write about a pod that was replaced under its name fail instead of marking the new one.
  const write = (status: PodStatus) =>
    persistently(`report status of ${pod.metadata.namespace}/${pod.metadata.name}`, () =>
      admin.patch(path, { metadata: { uid: pod.metadata.uid }, status }),
    );

  const drain = async () => {
    while (pending) {
      const status = podStatus(pending, conditions, new Date().toISOString());
      pending = undefined;
      conditions = status.conditions;
      if (JSON.stringify(status) === written) continue;
      written = JSON.stringify(status);
      await write(status);
    }
    writing = undefined;
  };

  return {
    report: (facts) => {
      pending = facts;
      // On the next turn, so that several changes of one turn become one write.
      writing ??= Promise.resolve().then(drain);
    },
    settled: async () => {
      await writing;
    },
  };
}
