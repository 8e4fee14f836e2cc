// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes the content of a request onto approvals that others filed for it, after the answer is sent.
import { approvalsOnTarget } from '../../api/approvals-on-target.ts';
import type { StepUpApproval } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import { type Attempt, targetLabelValue } from '../../domain/change/attempt.ts';
import { shownContent } from '../../domain/filing/spec-to-file.ts';
import { showsContentOf, statusWithContent } from '../../domain/lifecycle/content-verified.ts';
import { type PastUse, pastUses } from '../../domain/lifecycle/history.ts';
import type { Approval } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import { isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import { errorFields, type Log } from '../../observe/log.ts';

export interface VerificationDependencies {
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'get' | 'list' | 'replaceStatus'>;
  readonly ownNamespace: string;
  readonly previewKey: Uint8Array;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Log;
}

/** A request that showed the content of an approval. */
export interface Sighting {
  readonly approval: Approval;
  readonly attempt: Attempt;
  readonly request: AdmissionRequest;
  readonly policy: Policy;
  /** The approval was given to this very request. */
  readonly isUse: boolean;
}

/** Best effort: the content of a request beyond this is written the next time. */
const mostAtOnce = 8;
const mostTries = 4;
const againMs = 150;

export class Verifications {
  readonly #dependencies: VerificationDependencies;
  /** By the approval's UID. */
  readonly #running = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(dependencies: VerificationDependencies) {
    this.#dependencies = dependencies;
  }

  /** Notes the content once, in a later turn of the event loop, so that the caller's answer goes first. */
  note(sighting: Sighting): void {
    const { approval, attempt, isUse } = sighting;
    const { uid } = approval.metadata;
    if (!showsContentOf(approval, attempt, { isUse })) return;
    if (this.#stop.signal.aborted || this.#running.has(uid) || this.#running.size >= mostAtOnce) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running.set(uid, promise);
    setImmediate(() => {
      void this.#write(sighting).finally(() => {
        this.#running.delete(uid);
        resolve();
      });
    });
  }

  /** Resolves when all that is under way is written or given up. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running.values());
  }

  /** On other approvals: this one's own is what is being shown. */
  async #usesBefore({ metadata }: Approval, { targetKey }: Attempt): Promise<readonly PastUse[]> {
    const { approvals, ownNamespace, sealing } = this.#dependencies;
    const label = targetLabelValue(targetKey);
    const all = await approvalsOnTarget(approvals, label, [metadata.namespace, ownNamespace]);
    const others = all.filter(({ metadata: { uid } }) => uid !== metadata.uid);
    return pastUses(
      targetKey,
      others.map((one) => sealing.reader.approval(one)),
    );
  }

  /** Never rejects. */
  async #write({ approval, attempt, request, policy, isUse }: Sighting): Promise<void> {
    const { approvals, previewKey, sealing, clock, log } = this.#dependencies;
    const { name, namespace, uid } = approval.metadata;
    try {
      const { reason, ticket, requester } = approval.spec;
      // Nobody needs it for an approval that has been used.
      const before = isUse ? undefined : await this.#usesBefore(approval, attempt);
      // Without a seal they could have been written without admission.
      const owners = approval.seals.creation === 'Sealed' ? requester.owners : undefined;
      const preview = shownContent({ attempt, request, policy }, { reason, ticket, owners, before }, previewKey);
      for (let tries = 1; ; tries++) {
        const stored = await approvals.get({ namespace, name });
        const read = sealing.reader.approval(stored);
        const isStillMissing = showsContentOf(read, attempt, { isUse });
        if (stored.metadata.uid !== uid || !isStillMissing) return;
        try {
          await approvals.replaceStatus({
            ...stored,
            status: statusWithContent(read, preview, sealing.seals, clock.now()),
          });
          return;
        } catch (error) {
          // The operator settles at the same time.
          if (!isConflict(error) || tries >= mostTries) throw error;
          await sleep(clock, againMs, this.#stop.signal);
        }
      }
    } catch (error) {
      if (!isNotFound(error))
        log.warn({ approval: name, namespace, ...errorFields(error) }, 'writing the preview failed');
    }
  }
}
