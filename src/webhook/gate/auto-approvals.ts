// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Creates the approvals that a policy gives by itself, together with their use: one write records and reserves.
import type { StepUpApproval } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import type { AutoApproval } from '../../domain/decision/decide.ts';
import { specToFile } from '../../domain/filing/spec-to-file.ts';
import type { Approval } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import { isAlreadyExists, isUncertain } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import { createApproval } from '../after-answer/create-approval.ts';
import type { AutoRate } from './auto-rate.ts';
import type { Governed, Limit } from './governed.ts';

export interface AutoApprovalsDependencies {
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'create'>;
  readonly own: { readonly username: string; readonly namespace: string };
  readonly previewKey: Uint8Array;
  readonly sealing: Sealing;
  readonly rate: AutoRate;
  readonly clock: Clock;
  readonly metrics: Pick<WebhookMetrics, 'reservation'>;
}

export class AutoApprovals {
  readonly #dependencies: AutoApprovalsDependencies;

  constructor(dependencies: AutoApprovalsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Which of these policies can approve one more request by themselves. */
  open(policies: readonly Policy[]): ReadonlySet<string> {
    return this.#dependencies.rate.open(policies);
  }

  /**
   * The approval as it was created in its target's namespace, or in stepup's if there is no room; undefined when there is
   * one of that name already, or the rate is used up by now: then decide again. Rejects when the result is not known.
   */
  async create(decision: AutoApproval, governed: Governed, home: string, limit: Limit): Promise<Approval | undefined> {
    const { rate, sealing, metrics } = this.#dependencies;
    const { name } = governed.policy.metadata;
    if (!rate.take(governed.policy)) return undefined;
    try {
      const created = sealing.reader.approval(await this.#create(decision, governed, home, limit));
      // Somebody changed it on its way to etcd: its content is not what was decided.
      if (created.seals.creation !== 'Sealed') throw new Error(`${created.metadata.name} was changed as it was made`);
      rate.made(name, created.metadata.uid);
      metrics.reservation('reserved');
      return created;
    } catch (error) {
      const isLost = isAlreadyExists(error);
      metrics.reservation(isLost ? 'conflict' : isUncertain(error) ? 'uncertain' : 'failed');
      // It may have been created all the same. Then the watch reports it, and it counts as created by another replica.
      rate.notMade(name);
      if (isLost) return undefined;
      throw error;
    }
  }

  #create(
    { approvalName: name, use }: AutoApproval,
    governed: Governed,
    home: string,
    { signal, endsAtMs }: Limit,
  ): Promise<StepUpApproval> {
    const { approvals, own, previewKey, sealing, clock } = this.#dependencies;
    const filed = specToFile(governed, { ownUsername: own.username, key: previewKey });
    const spec = { ...filed, origin: 'Auto' as const, use };
    const to = { approvals, ownNamespace: own.namespace, seals: sealing.seals };
    return createApproval({ name, home, spec }, to, {
      signal,
      deadlineMs: Math.max(endsAtMs - clock.monotonicMs(), 1),
    });
  }
}
