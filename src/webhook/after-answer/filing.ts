// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Files the approval for a denied request, after the answer is sent.
import type { StepUpApproval } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import { type Attempt, targetLabelValue } from '../../domain/change/attempt.ts';
import { statedOn } from '../../domain/change/describe.ts';
import { draftOf } from '../../domain/filing/draft.ts';
import { previewOf } from '../../domain/filing/preview.ts';
import { previewHeader } from '../../domain/filing/preview-header.ts';
import { pastUses } from '../../domain/lifecycle/history.ts';
import type { Approval, ApprovalSpec } from '../../domain/model/approval.ts';
import { targetLabel } from '../../domain/model/labels.ts';
import type { Policy } from '../../domain/model/policy.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import { withSealedCreation } from '../../domain/seals/seal.ts';
import { ApiError, isAlreadyExists, isForbidden, isTransient } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import { backoffMs } from '../../kube/time/backoff.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { AccountOwners } from '../reads/account-owners.ts';

export interface FilingDependencies {
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'create'>;
  readonly owners: Pick<AccountOwners, 'of'>;
  readonly own: { readonly username: string; readonly namespace: string };
  readonly previewKey: Uint8Array;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WebhookMetrics, 'filing'>;
}

export interface Filing {
  readonly name: string;
  readonly namespace: string;
  readonly attempt: Attempt;
  readonly request: AdmissionRequest;
  readonly policy: Policy;
  /** The approvals on its target, ended ones too, on which it was denied; absent if they were not read. */
  readonly others?: readonly Approval[] | undefined;
}

/** Calls at once: reservations share the connections and go first. */
const mostAtOnce = 4;
const mostWaiting = 1_000;
/** A name filed so short a time ago need not be filed again. */
const freshMs = 5_000;
const mostTries = 4;
const ownersDeadlineMs = 1_000;
const retry = { baseMs: 200, capMs: 5_000 };

export class Filings {
  readonly #dependencies: FilingDependencies;
  /** Names under way (undefined) or filed at that monotonic instant. */
  readonly #known = new Map<string, number | undefined>();
  readonly #waiting: Filing[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(dependencies: FilingDependencies) {
    this.#dependencies = dependencies;
  }

  /** True when the name is being filed, or was a moment ago. */
  isKnown(name: string): boolean {
    this.#forget();
    return this.#known.has(name);
  }

  /** Files once, in a later turn of the event loop, so that the caller's answer goes first. */
  file(filing: Filing): void {
    if (this.isKnown(filing.name)) return;
    if (this.#waiting.length >= mostWaiting || this.#stop.signal.aborted) {
      this.#dependencies.metrics.filing('dropped');
      return;
    }
    this.#known.set(filing.name, undefined);
    this.#waiting.push(filing);
    setImmediate(() => this.#proceed());
  }

  /** Resolves when all that was asked for is filed or given up. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#proceed();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #proceed(): void {
    while (this.#running.size < mostAtOnce) {
      const filing = this.#waiting.shift();
      if (filing === undefined) return;
      const run = this.#run(filing).finally(() => {
        this.#running.delete(run);
        this.#proceed();
      });
      this.#running.add(run);
    }
  }

  async #run(filing: Filing): Promise<void> {
    const { clock, log, metrics } = this.#dependencies;
    const { name, namespace } = filing;
    try {
      const result = await this.#create(filing);
      metrics.filing(result);
      // Set anew, so that the order of the map is the order of the instants.
      this.#known.delete(name);
      this.#known.set(name, clock.monotonicMs());
    } catch (error) {
      metrics.filing('failed');
      this.#known.delete(name);
      log.warn(
        { approval: name, namespace, policy: filing.policy.metadata.name, ...errorFields(error) },
        'filing failed',
      );
    }
  }

  async #create(filing: Filing): Promise<'created' | 'exists'> {
    const { sealing, approvals, own, clock } = this.#dependencies;
    const { name, attempt } = filing;
    const spec = specToFile(filing, this.#dependencies, await this.#ownersOf(attempt));
    const labels = { [targetLabel]: targetLabelValue(attempt.targetKey) };
    let { namespace } = filing;
    for (let tries = 1; ; tries++) {
      try {
        const sealed = withSealedCreation(namespace, spec, sealing.seals);
        await approvals.create({ metadata: { name, namespace, labels }, spec: sealed });
        return 'created';
      } catch (error) {
        if (isAlreadyExists(error)) return 'exists';
        if (isNoRoom(error) && namespace !== own.namespace) {
          namespace = own.namespace;
          continue;
        }
        if (!isTransient(error) || tries >= mostTries || this.#stop.signal.aborted) throw error;
        await sleep(
          clock,
          backoffMs(retry, tries, () => clock.random()),
          this.#stop.signal,
        );
      }
    }
  }

  /** If they cannot be read it is filed without: the owners are read again when a vote is cast. */
  async #ownersOf({ requester }: Attempt): Promise<readonly string[]> {
    try {
      return await this.#dependencies.owners.of(requester.username, { deadlineMs: ownersDeadlineMs });
    } catch (error) {
      this.#dependencies.log.warn({ requester: requester.username, ...errorFields(error) }, 'reading owners failed');
      return [];
    }
  }

  #forget(): void {
    const nowMs = this.#dependencies.clock.monotonicMs();
    for (const [name, filedAtMs] of this.#known) {
      if (filedAtMs === undefined) continue;
      if (nowMs - filedAtMs < freshMs) return;
      this.#known.delete(name);
    }
  }
}

/** The whole spec of an approval that is filed for a request, with its preview. */
export function specToFile(
  { attempt, request, policy, others }: Pick<Filing, 'attempt' | 'request' | 'policy' | 'others'>,
  { own, previewKey }: Pick<FilingDependencies, 'own' | 'previewKey'>,
  owners: readonly string[] = [],
): ApprovalSpec {
  const [reason, ticket] = [statedOn(request, 'reason'), statedOn(request, 'ticket')];
  const before = others && pastUses(attempt.targetKey, others);
  const header = previewHeader(attempt, request, policy, { reason, ticket, owners, before });
  const preview = previewOf(request, previewKey, header, attempt.change.fields);
  return draftOf(attempt, request, policy, preview, own.username, owners);
}

/** The namespace is terminating, or its quota is used up (as the API server reports it; both are Forbidden). */
export function isNoRoom(error: unknown): boolean {
  if (!isForbidden(error) || !(error instanceof ApiError)) return false;
  const causes = error.details?.causes ?? [];
  return causes.some(({ reason }) => reason === 'NamespaceTerminating') || /exceeded quota/.test(error.message);
}
