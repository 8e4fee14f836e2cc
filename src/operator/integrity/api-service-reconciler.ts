// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Deletes foreign APIServices for stepup's API group. Their server could answer with approvals that were never given,
// or without uses that were written; the API server then registers itself again.

import { ownApiServiceName } from '../../domain/model/labels.ts';
import { isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { APIService } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';

export interface APIServiceReconcilerOptions {
  readonly apiServices: Watched<APIService>;
  readonly client: Pick<ResourceClient<APIService>, 'delete'>;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
  readonly log: Log;
  readonly clock: Clock;
}

export class APIServiceReconciler {
  readonly #options: APIServiceReconcilerOptions;
  readonly #task: RepeatedTask;

  constructor(options: APIServiceReconcilerOptions) {
    this.#options = options;
    this.#task = new RepeatedTask({
      process: () => this.#process(),
      onError: (error) => options.log.warn(errorFields(error), 'removing a foreign APIService failed'),
      clock: options.clock,
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#task.run(signal, [this.#options.apiServices]);
  }

  async #process(): Promise<void> {
    const { apiServices, client, tampering } = this.#options;
    const stored = apiServices.objects.get({ name: ownApiServiceName });
    const service = stored?.spec?.service;
    if (stored === undefined || service === undefined || service === null) return;
    const { name, uid, resourceVersion } = stored.metadata;
    try {
      await client.delete({ name }, { preconditions: { uid, resourceVersion } });
    } catch (error) {
      // Changed or deleted meanwhile: the watch reports it.
      if (isConflict(error) || isNotFound(error)) return;
      throw error;
    }
    const what = `pointed at Service ${service.namespace ?? ''}/${service.name ?? ''}`;
    const { apiVersion, kind } = stored;
    tampering.notice({ kind, name, what, regarding: { apiVersion, kind, name, uid } });
  }
}
