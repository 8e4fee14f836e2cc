// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds policies by name: in the cache, or live if the policy is too new to be cached.
import { policyOf, type StepUpPolicy } from '../../api/kinds.ts';
import type { Policy } from '../../domain/model/policy.ts';
import { unlessNotFound } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { ObjectView } from '../../kube/watch/object-store.ts';
import { SharedReads } from './shared-reads.ts';

const deadlineMs = 2_000;
const name = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

export class Policies {
  readonly #view: ObjectView<StepUpPolicy>;
  readonly #client: Pick<ResourceClient<StepUpPolicy>, 'get'>;
  readonly #reads: SharedReads<Policy | undefined>;

  constructor(
    view: ObjectView<StepUpPolicy>,
    client: Pick<ResourceClient<StepUpPolicy>, 'get'>,
    clock: Pick<Clock, 'monotonicMs' | 'after'>,
  ) {
    this.#view = view;
    this.#client = client;
    this.#reads = new SharedReads(clock);
  }

  cached(policyName: string): Policy | undefined {
    const object = this.#view.get({ name: policyName });
    return object && policyOf(object);
  }

  /** Undefined when there is no policy of that name. */
  async find(policyName: string): Promise<Policy | undefined> {
    const known = this.cached(policyName);
    if (known !== undefined) return known;
    if (policyName.length > 63 || !name.test(policyName)) return undefined;
    return this.#reads.read(policyName, () => this.#get(policyName));
  }

  /** All policies of the cache, and the one given. */
  allWith(policy: Policy | undefined): readonly Policy[] {
    const all = [...this.#view.values()].map(policyOf);
    return policy === undefined || all.some(({ metadata }) => metadata.name === policy.metadata.name)
      ? all
      : [...all, policy];
  }

  async #get(policyName: string): Promise<Policy | undefined> {
    const found = await unlessNotFound(this.#client.get({ name: policyName }, { deadlineMs }));
    return found && policyOf(found);
  }
}
