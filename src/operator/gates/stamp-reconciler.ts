// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the webhook for stepup's own kinds installed: without it nobody could tell who approved.
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { ConfigurationKeeper } from '../admission/object-keeper.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';
import { stampName, type WebhookConfiguration } from '../admission/webhook-configuration.ts';
import { type StampContext, stampConfiguration } from './stamp-configuration.ts';

export interface StampReconcilerOptions {
  readonly configurations: Watched<WebhookConfiguration>;
  readonly keeper: ConfigurationKeeper<WebhookConfiguration>;
  /** Undefined until there is a certificate. */
  readonly context: () => StampContext | undefined;
  /** The entry is in place as wanted. */
  readonly onInPlace: () => void;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
  readonly log: Log;
  readonly clock: Clock;
}

const againMs = 20;

export class StampReconciler {
  readonly #options: StampReconcilerOptions;
  readonly #queue: WorkQueue;

  constructor(options: StampReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: () => this.#process(),
      clock: options.clock,
      onError: (_, error) =>
        options.log.warn(errorFields(error), "keeping the webhook configuration of stepup's own kinds failed"),
    });
  }

  check(): void {
    this.#queue.add(stampName);
  }

  async run(signal: AbortSignal): Promise<void> {
    enqueueChanges(this.#options.configurations, signal, ({ metadata }) => {
      if (metadata.name === stampName) this.check();
    });
    this.check();
    await this.#queue.run(signal);
  }

  async #process(): Promise<void> {
    const { keeper, context, onInPlace, tampering, log } = this.#options;
    const known = context();
    // The certificate's keeper calls again.
    if (known === undefined) return;
    const put = await keeper.put(stampConfiguration(known));
    switch (put.kind) {
      case 'InPlace':
        onInPlace();
        return;
      case 'Written':
        log.info({ configuration: stampName }, "webhook configuration of stepup's own kinds installed");
        onInPlace();
        return;
      case 'Restored': {
        const kind = 'MutatingWebhookConfiguration';
        const regarding = { apiVersion: 'admissionregistration.k8s.io/v1', kind, name: stampName };
        tampering.notice({ kind, name: stampName, what: put.what, regarding });
        return;
      }
      case 'Refused':
        throw new Error(`write ${stampName}: ${put.message}`);
      case 'Stale':
        this.#queue.addAfter(stampName, againMs);
        return;
    }
  }
}
