// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the guard installed. Nothing else can: the API server calls neither webhooks nor policies for its policies and
// bindings.

import { managedLabel } from '../../domain/model/labels.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { ConfigurationKeeper } from '../admission/object-keeper.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';
import { type Guard, type GuardObject, guardNames } from './guard.ts';

export interface GuardReconcilerOptions {
  /** None where the guard is switched off: then what there is of it goes. */
  readonly guards: readonly Guard[];
  readonly policies: Watched<GuardObject>;
  readonly policyKeeper: ConfigurationKeeper<GuardObject>;
  readonly bindings: Watched<GuardObject>;
  readonly bindingKeeper: ConfigurationKeeper<GuardObject>;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
  readonly log: Log;
  readonly clock: Clock;
}

const againMs = 20;
const apiVersion = 'admissionregistration.k8s.io/v1';

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
      if (isOurs(bindings, name)) await bindingKeeper.remove(name);
      if (isOurs(policies, name)) await policyKeeper.remove(name);
      return;
    }
    await this.#put('ValidatingAdmissionPolicy', policyKeeper, wanted.policy);
    await this.#put('ValidatingAdmissionPolicyBinding', bindingKeeper, wanted.binding);
  }

  async #put(kind: string, keeper: ConfigurationKeeper<GuardObject>, wanted: Guard['policy']): Promise<void> {
    const { tampering, log } = this.#options;
    const { name } = wanted.metadata;
    const put = await keeper.put(wanted);
    switch (put.kind) {
      case 'InPlace':
        return;
      case 'Written':
        log.info({ kind, name }, 'guard installed');
        return;
      case 'Restored':
        tampering.notice({ kind, name, what: put.what, regarding: { apiVersion, kind, name } });
        return;
      case 'Refused':
        throw new Error(`write ${kind} ${name}: ${put.message}`);
      case 'Stale':
        this.#queue.addAfter(name, againMs);
        return;
    }
  }
}

function isOurs(watched: Watched<GuardObject>, name: string): boolean {
  return watched.objects.get({ name })?.metadata.labels?.[managedLabel] === 'true';
}
