// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Notices that the definition of one of our kinds is deleted, which takes its objects along. It cannot be put back: the
// objects are gone, and the right to write definitions would let stepup redefine any kind of the cluster.
import type { KubeObject } from '../kube/objects.ts';
import type { TamperingReporter } from './tampering.ts';
import type { Watched } from './watched.ts';

/** The definitions of our kinds, by name. */
export const ownDefinitions: readonly string[] = [
  'stepuppolicies.stepup.dev',
  'stepupapprovals.stepup.dev',
  'stepupdecisions.stepup.dev',
];

/** Reports each definition once when its deletion begins, or is over where that was not seen, until the signal aborts. */
export function reportDeletedKinds(
  definitions: readonly Watched<KubeObject>[],
  tampering: Pick<TamperingReporter, 'notice'>,
  signal: AbortSignal,
): void {
  const reported = new Set<string>();
  for (const definition of definitions) {
    definition.onChange(({ type, object }) => {
      const { name, uid, deletionTimestamp } = object.metadata;
      if (signal.aborted || reported.has(uid) || (type !== 'delete' && deletionTimestamp === undefined)) return;
      reported.add(uid);
      const { apiVersion, kind } = object;
      const regarding = { apiVersion, kind, name, uid };
      tampering.notice({ kind, name, what: 'deleted', regarding, isPutBack: false });
    });
  }
}
