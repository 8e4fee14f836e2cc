// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the webhook for stepup's own kinds installed: without it nobody could tell who approved.
import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { ObjectKeeper } from '../admission/object-keeper.ts';
import { stampName, type WebhookConfiguration } from '../admission/webhook-configuration.ts';
import { type StampContext, stampConfiguration } from './stamp-configuration.ts';

export interface StampReconcilerOptions {
  readonly configurations: Watched<WebhookConfiguration>;
  readonly keeper: ObjectKeeper<WebhookConfiguration>;
  /** Undefined until there is a certificate. */
  readonly context: () => StampContext | undefined;
  /** The entry is in place as wanted. */
  readonly onInPlace: () => void;
  readonly log: Log;
  readonly clock: Clock;
}

const againMs = 20;

export class StampReconciler {
  readonly #options: StampReconcilerOptions;
  readonly #task: RepeatedTask;

  constructor(options: StampReconcilerOptions) {
    this.#options = options;
    this.#task = new RepeatedTask({
      process: () => this.#process(),
      onError: (error) =>
        options.log.warn(errorFields(error), "keeping the webhook configuration of stepup's own kinds failed"),
      clock: options.clock,
    });
  }

  check(): void {
    this.#task.check();
  }

  async run(signal: AbortSignal): Promise<void> {
    enqueueChanges(this.#options.configurations, signal, ({ metadata }) => {
      if (metadata.name === stampName) this.check();
    });
    await this.#task.run(signal);
  }

  async #process(): Promise<void> {
    const { keeper, context, onInPlace, log } = this.#options;
    const known = context();
    // The certificate's keeper calls again.
    if (known === undefined) return;
    const kept = await keeper.keep(stampConfiguration(known));
    if (kept === 'Stale') {
      this.#task.checkAfter(againMs);
      return;
    }
    if (kept === 'Written')
      log.info({ configuration: stampName }, "webhook configuration of stepup's own kinds installed");
    onInPlace();
  }
}
