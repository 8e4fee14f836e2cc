// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the owners of the service account that sends a request.
import { ownerAnnotation, ownersNamedBy } from '../../domain/model/owners.ts';
import { serviceAccountOf } from '../../domain/model/subject.ts';
import { unlessNotFound } from '../../kube/http/api-error.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import { objectPath } from '../../kube/objects/resource.ts';
import { serviceAccounts } from '../../kube/objects/resources.ts';
import { isObject, type JsonObject, valueAt } from '../../lib/json.ts';
import type { AccessLimit } from './access-review.ts';

export class AccountOwners {
  readonly #rest: Pick<RestClient, 'request'>;

  constructor(rest: Pick<RestClient, 'request'>) {
    this.#rest = rest;
  }

  /** The usernames that a requester's ServiceAccount names as its owners, read live. Rejects when it cannot be read. */
  async of(username: string, limit: AccessLimit): Promise<readonly string[]> {
    const account = serviceAccountOf(username);
    if (account === undefined) return [];
    const request = { method: 'GET', path: objectPath(serviceAccounts, account), ...limit } as const;
    // The API server's JSON, of which one annotation is read.
    const found = (await unlessNotFound(this.#rest.request(request))) as JsonObject | undefined;
    const annotations = valueAt(found, '/metadata/annotations');
    const named = isObject(annotations) ? annotations[ownerAnnotation] : undefined;
    return ownersNamedBy(typeof named === 'string' ? named : undefined);
  }
}
