// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the guard installed. Nothing else can: the API server calls neither webhooks nor policies for its policies and
// bindings.

import { managedLabel } from '../../domain/model/labels.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { ObjectKeeper } from '../admission/object-keeper.ts';
import { type Guard, type GuardObject, guardNames } from './guard.ts';

export interface GuardReconcilerOptions {
  /** None where the guard is switched off: then what there is of it goes. */
  readonly guards: readonly Guard[];
  readonly policies: Watched<GuardObject>;
  readonly policyKeeper: ObjectKeeper<GuardObject>;
  readonly bindings: Watched<GuardObject>;
  readonly bindingKeeper: ObjectKeeper<GuardObject>;
  readonly log: Log;
  readonly clock: Clock;
}

const againMs = 20;

export class GuardReconciler {
  readonly #options: GuardReconcilerOptions;
  readonly #queue: WorkQueue;

  constructor(options: GuardReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: (name) => this.#process(name),
      clock: options.clock,
      onError: (guard, error) => options.log.warn({ guard, ...errorFields(error) }, 'keeping the guard failed'),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { policies, bindings } = this.#options;
    for (const watched of [policies, bindings]) {
      enqueueChanges(watched, signal, ({ metadata }) => {
        if (guardNames.includes(metadata.name)) this.#queue.add(metadata.name);
      });
    }
    for (const name of guardNames) this.#queue.add(name);
    await this.#queue.run(signal);
  }

  async #process(name: string): Promise<void> {
    const { guards, policies, policyKeeper, bindings, bindingKeeper } = this.#options;
    const wanted = guards.find(({ policy }) => policy.metadata.name === name);
    if (wanted === undefined) {
      if (isOwnGuard(bindings, name)) await bindingKeeper.remove(name);
      if (isOwnGuard(policies, name)) await policyKeeper.remove(name);
      return;
    }
    await this.#keep('ValidatingAdmissionPolicy', policyKeeper, wanted.policy);
    await this.#keep('ValidatingAdmissionPolicyBinding', bindingKeeper, wanted.binding);
  }

  async #keep(kind: string, keeper: ObjectKeeper<GuardObject>, wanted: Guard['policy']): Promise<void> {
    const { name } = wanted.metadata;
    const kept = await keeper.keep(wanted);
    if (kept === 'Written') this.#options.log.info({ kind, name }, 'guard installed');
    if (kept === 'Stale') this.#queue.addAfter(name, againMs);
  }
}

function isOwnGuard(watched: Watched<GuardObject>, name: string): boolean {
  return watched.objects.get({ name })?.metadata.labels?.[managedLabel] === 'true';
}
