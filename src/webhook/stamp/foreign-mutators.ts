// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads which mutating webhooks and policies can change votes. Votes are rare, so each is judged by a live read.
import { foreignMutator, type Mutator, type MutatorRule } from '../../domain/integrity/foreign-mutator.ts';
import { isNotFound } from '../../kube/http/api-error.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { Resource } from '../../kube/objects/resource.ts';
import type { ListOptions, ResourceClient } from '../../kube/objects/resource-client.ts';
import { mutatingAdmissionPolicies, mutatingWebhookConfigurations } from '../../kube/objects/resources.ts';

interface Configuration extends KubeObject {
  readonly webhooks?: readonly {
    readonly rules?: readonly MutatorRule[];
    readonly clientConfig?: { readonly service?: ServiceReference };
  }[];
}

interface ServiceReference {
  readonly namespace?: string;
  readonly name?: string;
  readonly path?: string;
}

interface MutatingPolicy extends KubeObject {
  readonly spec?: { readonly matchConstraints?: { readonly resourceRules?: readonly MutatorRule[] } };
}

export interface MutatorsDependencies {
  readonly client: <T extends KubeObject>(resource: Resource) => Pick<ResourceClient<T>, 'list'>;
  /** Ours: what calls this path of it is our stamp. */
  readonly service: { readonly namespace: string; readonly name: string };
  /** Names of configurations and policies that may change approvals and decisions. */
  readonly trusted: readonly string[];
}

const stampPath = '/stamp';
/** Newest first; a version that is not served is not found. */
const policyVersions = ['v1', 'v1beta1', 'v1alpha1'];

export class Mutators {
  readonly #dependencies: MutatorsDependencies;

  constructor(dependencies: MutatorsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Who may have changed what was said; undefined when nobody. Rejects when it cannot be told. */
  async foreign(limit: Pick<ListOptions, 'signal' | 'deadlineMs'>): Promise<Mutator | undefined> {
    const [webhooks, policies] = await Promise.all([this.#webhooks(limit), this.#policies(limit)]);
    return foreignMutator([...webhooks, ...policies], this.#dependencies.trusted);
  }

  async #webhooks(limit: ListOptions): Promise<readonly Mutator[]> {
    const { client, service } = this.#dependencies;
    const { items } = await client<Configuration>(mutatingWebhookConfigurations).list(limit);
    return items.flatMap(({ metadata, webhooks = [] }) =>
      webhooks.map(({ rules = [], clientConfig }) => {
        const called = clientConfig?.service;
        const isOurs =
          called?.namespace === service.namespace &&
          called.name === service.name &&
          called.path?.split('?')[0] === stampPath;
        return { kind: 'MutatingWebhookConfiguration', name: metadata.name, rules, isOurs } as const;
      }),
    );
  }

  async #policies(limit: ListOptions): Promise<readonly Mutator[]> {
    for (const version of policyVersions) {
      try {
        const resource = { ...mutatingAdmissionPolicies, version };
        const { items } = await this.#dependencies.client<MutatingPolicy>(resource).list(limit);
        return items.map(({ metadata, spec }) => {
          const rules = spec?.matchConstraints?.resourceRules;
          const of = { kind: 'MutatingAdmissionPolicy', name: metadata.name, isOurs: false } as const;
          return rules === undefined ? of : { ...of, rules };
        });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return [];
  }
}
