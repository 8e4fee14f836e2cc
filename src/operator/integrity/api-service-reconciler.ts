// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Deletes foreign APIServices for stepup's API group. Their server could answer with approvals that were never given,
// or without uses that were written; the API server then registers itself again.

import { ownApiServiceName } from '../../domain/model/labels.ts';
import { isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';

export interface APIService extends KubeObject {
  readonly spec: { readonly service?: { readonly name?: string; readonly namespace?: string } | null };
}

export interface APIServiceReconcilerOptions {
  readonly apiServices: Watched<APIService>;
  readonly client: Pick<ResourceClient<APIService>, 'delete'>;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
  readonly log: Log;
  readonly clock: Clock;
}

export class APIServiceReconciler {
  readonly #options: APIServiceReconcilerOptions;
  readonly #queue: WorkQueue;

  constructor(options: APIServiceReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: () => this.#process(),
      clock: options.clock,
      onError: (_, error) => options.log.warn(errorFields(error), 'removing a foreign APIService failed'),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    enqueueChanges(this.#options.apiServices, signal, () => this.#queue.add(ownApiServiceName));
    await this.#queue.run(signal);
  }

  async #process(): Promise<void> {
    const { apiServices, client, tampering } = this.#options;
    const stored = apiServices.objects.get({ name: ownApiServiceName });
    const service = stored?.spec.service;
    if (stored === undefined || service === undefined || service === null) return;
    const { name, uid, resourceVersion } = stored.metadata;
    try {
      await client.delete({ name }, { preconditions: { uid, resourceVersion } });
    } catch (error) {
      // Changed or gone meanwhile: the watch tells of it.
      if (isConflict(error) || isNotFound(error)) return;
      throw error;
    }
    const what = `pointed at Service ${service.namespace ?? ''}/${service.name ?? ''}`;
    const { apiVersion, kind } = stored;
    tampering.notice({ kind, name, what, regarding: { apiVersion, kind, name, uid } });
  }
}
