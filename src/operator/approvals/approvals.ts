// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The part of the operator that moves approvals through their phases, until their time of keeping is over.
import type { StepUpApproval } from '../../api/kinds.ts';
import { stepUpApprovals } from '../../api/own-resources.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import { unlessAborted } from '../../kube/time/unless-aborted.ts';
import { ApprovalReconciler, type ApprovalReconcilerOptions } from './approval-reconciler.ts';
import { scanForEnds } from './retention.ts';

export interface ApprovalsDependencies extends Omit<ApprovalReconcilerOptions, 'client'> {
  readonly rest: RestClient;
  readonly keyring: { readonly known: Promise<void> };
}

export interface Approvals {
  readonly reconciler: ApprovalReconciler;
  run(signal: AbortSignal): Promise<void>;
}

export function createApprovals(dependencies: ApprovalsDependencies): Approvals {
  const { rest, keyring } = dependencies;
  const client = new ResourceClient<StepUpApproval>(rest, stepUpApprovals);
  const reconciler = new ApprovalReconciler({ ...dependencies, client });
  return {
    reconciler,
    run: async (signal) => {
      await Promise.all([
        // Without the keys no vote counts, and time alone would end what was approved.
        unlessAborted(keyring.known, signal).then(() => reconciler.run(signal)),
        scanForEnds({ ...dependencies, client, onDue: (approval) => reconciler.enqueue(approval) }, signal),
      ]);
    },
  };
}
