// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the approvals and votes on one target from the API server: stepup denies on nothing less.
import { approvalsOnTarget } from '../../api/approvals-on-target.ts';
import type { StepUpApproval, StepUpDecision } from '../../api/kinds.ts';
import { isEnded } from '../../domain/model/approval.ts';
import { approvalLabel } from '../../domain/model/labels.ts';
import { isThrottled } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import { SharedReads } from './shared-reads.ts';

/** What was seen of one target, as stored. */
export interface TargetView {
  readonly approvals: readonly StepUpApproval[];
  readonly decisions: readonly StepUpDecision[];
  readonly isLive: boolean;
  /** The monotonic instant since which everything that happened may be missing. */
  readonly beganAtMs: number;
}

export interface LiveViewSource {
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'list'>;
  readonly decisions: Pick<ResourceClient<StepUpDecision>, 'list'>;
}

const deadlineMs = 2_500;
/** For an instant after a kind's definition has changed, its lists are answered 429, "storage is (re)initializing" (measured). */
const againMs = 250;
/** UIDs in one selector: the query stays far below what proxies and servers take. */
const mostUIDs = 50;

export class LiveViews {
  readonly #source: LiveViewSource;
  readonly #clock: Clock;
  readonly #metrics: Pick<WebhookMetrics, 'liveRead'>;
  readonly #reads: SharedReads<TargetView>;

  constructor(source: LiveViewSource, clock: Clock, metrics: Pick<WebhookMetrics, 'liveRead'>) {
    this.#source = source;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#reads = new SharedReads(clock);
  }

  /**
   * Approvals with the target label, in all phases, and the decisions about those that have not ended. The read begins
   * after the call and is shared with everybody who asks for the same label before it begins.
   */
  read(label: string, namespaces: readonly string[]): Promise<TargetView> {
    return this.#reads.read(`${label} ${namespaces.join(' ')}`, () => {
      this.#metrics.liveRead();
      return this.#read(label, namespaces);
    });
  }

  /** What is throttled is read again while there is time. */
  async #read(label: string, namespaces: readonly string[]): Promise<TargetView> {
    const endsAtMs = this.#clock.monotonicMs() + deadlineMs;
    for (;;) {
      try {
        return await this.#readOnce(label, namespaces, Math.max(endsAtMs - this.#clock.monotonicMs(), 1));
      } catch (error) {
        if (!isThrottled(error) || this.#clock.monotonicMs() + againMs >= endsAtMs) throw error;
        const waited = Promise.withResolvers<void>();
        this.#clock.after(againMs, waited.resolve);
        await waited.promise;
      }
    }
  }

  async #readOnce(label: string, namespaces: readonly string[], deadlineMs: number): Promise<TargetView> {
    const beganAtMs = this.#clock.monotonicMs();
    // Without a resourceVersion the API server answers with the newest state.
    const approvals = await approvalsOnTarget(this.#source.approvals, label, namespaces, { deadlineMs });
    const live = approvals.filter((approval) => !isEnded(approval));
    const decisions = await Promise.all(namespaces.map((namespace) => this.#decisionsOn(live, namespace, deadlineMs)));
    return { approvals, decisions: decisions.flat(), isLive: true, beganAtMs };
  }

  async #decisionsOn(
    approvals: readonly StepUpApproval[],
    namespace: string,
    deadlineMs: number,
  ): Promise<readonly StepUpDecision[]> {
    const uids = approvals
      .filter(({ metadata }) => metadata.namespace === namespace)
      .map(({ metadata }) => metadata.uid);
    const found: StepUpDecision[] = [];
    for (let at = 0; at < uids.length; at += mostUIDs) {
      const labelSelector = `${approvalLabel} in (${uids.slice(at, at + mostUIDs).join(',')})`;
      const { items } = await this.#source.decisions.list({ namespace, labelSelector, deadlineMs });
      found.push(...items);
    }
    return found;
  }
}
