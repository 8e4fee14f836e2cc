// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether the API server itself serves stepup's API group. An APIService for it would have another server answer every
// read and write of approvals, including stepup's own.

import { ownApiServiceName } from '../domain/model/labels.ts';
import type { APIService } from '../kube/objects/objects.ts';
import type { Clock } from '../kube/time/clock.ts';
import { type ListWatch, Reflector } from '../kube/watch/reflector.ts';

export interface OwnApiService {
  /** Why our kinds are not to be believed, in a sentence; undefined when they are. */
  problem(): string | undefined;
  /** Resolves when the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function followOwnApiService(options: {
  readonly source: ListWatch<APIService>;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}): OwnApiService {
  const reflector = new Reflector<APIService>({ ...options, fieldSelector: `metadata.name=${ownApiServiceName}` });
  return {
    problem() {
      if (!reflector.hasSynced) return `APIService ${ownApiServiceName} has not been read yet`;
      const found = reflector.objects.get({ name: ownApiServiceName });
      if (found === undefined) return `APIService ${ownApiServiceName} does not exist: are the CRDs installed?`;
      const { service } = found.spec ?? {};
      if (service === undefined || service === null) return undefined;
      return `the API group stepup.dev is served by service ${service.namespace}/${service.name}: delete APIService ${ownApiServiceName}`;
    },
    run: (signal) => reflector.run(signal),
  };
}
