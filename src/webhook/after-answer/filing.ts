// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Files the approval for a denied request, after the answer is sent.

import type { StepUpApproval } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import type { Attempt } from '../../domain/change/attempt.ts';
import { specToFile, type ToFile } from '../../domain/filing/spec-to-file.ts';
import { isAlreadyExists, isTransient } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import { backoffMs } from '../../kube/time/backoff.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { AccountOwners } from '../reads/account-owners.ts';
import { createApproval } from './create-approval.ts';

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

/** What to file under which name. */
export interface Filing extends ToFile {
  readonly name: string;
  readonly namespace: string;
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
    const { sealing, approvals, own, previewKey, clock } = this.#dependencies;
    const owners = await this.#ownersOf(filing.attempt);
    const spec = specToFile(filing, { ownUsername: own.username, key: previewKey }, owners);
    let home = filing.namespace;
    const onNoRoom = () => {
      home = own.namespace;
    };
    const to = { approvals, ownNamespace: own.namespace, seals: sealing.seals, onNoRoom };
    for (let tries = 1; ; tries++) {
      try {
        await createApproval({ name: filing.name, home, spec }, to);
        return 'created';
      } catch (error) {
        if (isAlreadyExists(error)) return 'exists';
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
