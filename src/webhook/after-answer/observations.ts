// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Counts what policies in mode Observe would have denied, and adds the counts to their status.
import { policyOf, type StepUpPolicy } from '../../api/kinds.ts';
import { type Blocked, type Observed, observedOne, observedTogether } from '../../domain/decision/observed-counts.ts';
import { isEnforced, type Policy } from '../../domain/model/policy.ts';
import { isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { errorFields, type Log } from '../../observe/log.ts';

export interface ObservationDependencies {
  readonly policies: Pick<ResourceClient<StepUpPolicy>, 'get' | 'replaceStatus'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The counts are for people; no decision depends on them. */
const everyMs = 3_000;
const mostTries = 5;

export class Observations {
  readonly #dependencies: ObservationDependencies;
  /** Not written yet, by the policy's name. */
  #pending = new Map<string, Observed>();
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(dependencies: ObservationDependencies) {
    this.#dependencies = dependencies;
  }

  /** Counts a request; blocked: it would have been denied. */
  note(policy: Policy, blocked: Blocked | undefined): void {
    const { name } = policy.metadata;
    const { clock } = this.#dependencies;
    this.#pending.set(name, observedOne(this.#pending.get(name), policy, blocked, clock.now()));
    this.#writeLater();
  }

  /** Resolves when what was counted is written, or cannot be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#writing;
    await this.#writeAll();
  }

  #writeLater(): void {
    if (this.#cancel !== undefined || this.#isClosed) return;
    this.#cancel = this.#dependencies.clock.after(everyMs, () => {
      this.#writing = this.#writeAll().finally(() => {
        this.#cancel = undefined;
        if (this.#pending.size > 0) this.#writeLater();
      });
    });
  }

  /** Never rejects; what could not be written stays pending. */
  async #writeAll(): Promise<void> {
    const pending = this.#pending;
    this.#pending = new Map();
    for (const [name, observed] of pending) {
      try {
        await this.#write(name, observed);
      } catch (error) {
        const counts = this.#pending.get(name);
        this.#pending.set(name, counts === undefined ? observed : observedTogether(observed, counts));
        this.#dependencies.log.warn({ policy: name, ...errorFields(error) }, 'writing counts failed');
      }
    }
  }

  /** Adds to what other replicas have written: the compare-and-swap keeps every count. */
  async #write(name: string, observed: Observed): Promise<void> {
    const { policies } = this.#dependencies;
    for (let tries = 1; ; tries++) {
      try {
        const stored = await policies.get({ name });
        // It enforces by now: its denials have approvals, which everybody can see.
        if (isEnforced(policyOf(stored))) return;
        const together = observedTogether(stored.status?.observed, observed);
        await policies.replaceStatus({ ...stored, status: { ...stored.status, observed: together } });
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isConflict(error) || tries >= mostTries) throw error;
      }
    }
  }
}
