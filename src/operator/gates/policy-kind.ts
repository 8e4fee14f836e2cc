// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Tells a deleted policy from one that is gone because its kind was deleted. When a CustomResourceDefinition is
// deleted, the API server deletes its objects without calling webhooks, and a watch cannot tell the difference: webhook
// configurations would be removed.
import type { StepUpPolicy } from '../../api/kinds.ts';
import { unlessNotFound } from '../../kube/http/api-error.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';

export interface PolicyKindOptions {
  readonly definitions: Pick<ResourceClient<KubeObject>, 'get'>;
  readonly policies: Pick<ResourceClient<StepUpPolicy>, 'get'>;
}

const definitionName = 'stepuppolicies.stepup.dev';

export class PolicyKind {
  readonly #options: PolicyKindOptions;
  /** Of each policy by UID: an object never changes its definition. */
  readonly #known = new Map<string, string>();

  constructor(options: PolicyKindOptions) {
    this.#options = options;
  }

  /**
   * The UID of the definition that a policy belongs to; undefined when our copy of either is behind. Both are read live, the
   * definition first: a policy that is still there after it belongs to it.
   */
  async uidOf({ metadata: { name, uid } }: StepUpPolicy): Promise<string | undefined> {
    const known = this.#known.get(uid);
    if (known !== undefined) return known;
    const definition = await this.#uid();
    if (definition === undefined) return undefined;
    const live = await unlessNotFound(this.#options.policies.get({ name }));
    if (live?.metadata.uid !== uid) return undefined;
    this.#known.set(uid, definition);
    return definition;
  }

  /** True when the definition of that UID is there and stays: what is missing of its policies was deleted by somebody. */
  async isThere(uid: string): Promise<boolean> {
    return (await this.#uid()) === uid;
  }

  /** Forgets a policy that is gone. */
  forget(uid: string): void {
    this.#known.delete(uid);
  }

  /** Undefined when there is no definition, or when it is being deleted, objects first. */
  async #uid(): Promise<string | undefined> {
    const definition = await unlessNotFound(this.#options.definitions.get({ name: definitionName }));
    return definition?.metadata.deletionTimestamp === undefined ? definition?.metadata.uid : undefined;
  }
}
