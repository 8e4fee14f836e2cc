// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Sends the watchdog's dry run to the API server and returns which webhooks it called, for the leader and for stepup
// check-gate.
import { answeredIn, probesFor } from '../../domain/integrity/watchdog-probe.ts';
import { isAlreadyExists } from '../../kube/http/api-error.ts';
import type { Lease } from '../../kube/objects/lease.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';

export interface ProbeOptions {
  readonly leases: Pick<ResourceClient<Lease>, 'create'>;
  /** The namespace of stepup. */
  readonly namespace: string;
  readonly signal?: AbortSignal;
}

/** Those of the policies whose webhooks were called. Rejects if the API server did not get as far as calling them. */
export async function gatesInPath(
  policies: readonly string[],
  { leases, namespace, signal }: ProbeOptions,
): Promise<ReadonlySet<string>> {
  const inPath = new Set<string>();
  for (const probe of probesFor(policies, namespace)) {
    const onWarnings = (warnings: readonly string[]) => {
      for (const policy of answeredIn(warnings)) inPath.add(policy);
    };
    try {
      await leases.create({ ...probe, spec: {} }, { dryRun: true, onWarnings, signal });
    } catch (error) {
      // Admission comes before the look at what is stored.
      if (!isAlreadyExists(error)) throw error;
    }
  }
  return inPath;
}
