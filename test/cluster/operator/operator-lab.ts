// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A control plane without controllers, the operator on it in this process, and clients for what it keeps.
import { join } from 'node:path';
import { expect } from 'vitest';
import type { StepUpApproval, StepUpPolicy } from '../../../src/api/kinds.ts';
import { stepUpApprovals, stepUpPolicies } from '../../../src/api/own-resources.ts';
import { isNotFound } from '../../../src/kube/http/api-error.ts';
import { loadCredentials } from '../../../src/kube/http/credentials.ts';
import { RestClient } from '../../../src/kube/http/rest.ts';
import type { ConfigMap, KubeObject, Secret } from '../../../src/kube/objects/objects.ts';
import { ResourceClient } from '../../../src/kube/objects/resource-client.ts';
import * as resources from '../../../src/kube/objects/resources.ts';
import type { JsonObject } from '../../../src/lib/json.ts';
import type { WebhookConfiguration } from '../../../src/operator/admission/webhook-configuration.ts';
import type { OperatorDependencies } from '../../../src/operator/operator.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { eventually } from '../../support/eventually.ts';
import { root } from '../../support/repository-files.ts';
import { type RunningOperator, startOperator } from '../../support/running-operator.ts';

type Deployment = KubeObject & JsonObject & { readonly spec: JsonObject };

const deploymentResource = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};

/** One for each file: the names it gives out are new in its cluster. */
export async function startOperatorLab(): Promise<OperatorLab> {
  const plane = await startControlPlane({ controllerManager: false });
  const credentials = await loadCredentials({ kind: 'kubeconfig', paths: [plane.adminKubeconfig] });
  const lab = new OperatorLab(plane, new RestClient({ credentials }));
  try {
    await plane.kubectl(['create', 'namespace', 'stepup-system']);
    // Started before the kinds exist: it waits for them.
    lab.startOperator();
    expect(await plane.kubectl(['apply', '-f', join(root, 'crds')])).toMatchObject({ code: 0 });
    await eventually('the entry of our own kinds', () => lab.mutatingConfigurations.get({ name: 'stepup-stamp' }));
    return lab;
  } catch (failure) {
    await lab.stop();
    throw failure;
  }
}

export class OperatorLab {
  readonly plane: ControlPlane;
  readonly rest: RestClient;
  readonly policies: ResourceClient<StepUpPolicy>;
  readonly approvals: ResourceClient<StepUpApproval>;
  readonly validatingConfigurations: ResourceClient<WebhookConfiguration>;
  readonly mutatingConfigurations: ResourceClient<WebhookConfiguration>;
  readonly secrets: ResourceClient<Secret>;
  readonly configMaps: ResourceClient<ConfigMap>;
  readonly deployments: ResourceClient<Deployment>;
  #operator: RunningOperator | undefined;
  #names = 0;

  constructor(plane: ControlPlane, rest: RestClient) {
    this.plane = plane;
    this.rest = rest;
    this.policies = new ResourceClient(rest, stepUpPolicies);
    this.approvals = new ResourceClient(rest, stepUpApprovals);
    this.validatingConfigurations = new ResourceClient(rest, resources.validatingWebhookConfigurations);
    this.mutatingConfigurations = new ResourceClient(rest, resources.mutatingWebhookConfigurations);
    this.secrets = new ResourceClient(rest, resources.secrets);
    this.configMaps = new ResourceClient(rest, resources.configMaps);
    this.deployments = new ResourceClient(rest, deploymentResource);
  }

  /** The one that was started last. */
  get operator(): RunningOperator {
    return this.#operator ?? expect.fail('no operator was started');
  }

  /** After `operator.stop()`, the next leader. */
  startOperator(options: Partial<OperatorDependencies> = {}): void {
    this.#operator = startOperator(this.rest, options);
  }

  async stop(): Promise<void> {
    await this.#operator?.stop();
    this.rest.close();
    await this.plane.stop();
  }

  freshName(prefix = 'test'): string {
    this.#names += 1;
    return `${prefix}-${this.#names}`;
  }

  async freshNamespace(labels: Record<string, string> = {}): Promise<string> {
    const namespace = this.freshName('ns');
    await this.plane.admin.post('/api/v1/namespaces', { metadata: { name: namespace, labels } });
    return namespace;
  }

  async createPolicy(spec: object, name = this.freshName('policy')): Promise<StepUpPolicy> {
    return this.policies.create({ metadata: { name }, spec: spec as StepUpPolicy['spec'] });
  }

  /** The policy once the operator has reported on this generation of it. */
  reported(name: string): Promise<StepUpPolicy> {
    return eventually(`policy ${name} to be reported on`, async () => {
      const policy = await this.policies.get({ name });
      return readyOf(policy)?.observedGeneration === policy.metadata.generation ? policy : undefined;
    });
  }

  async createDeployment(namespace: string): Promise<Deployment> {
    const labels = { app: 'web' };
    const containers = [{ name: 'main', image: 'example.test/web:1' }];
    const spec = {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
    };
    return this.deployments.create({ metadata: { namespace, name: this.freshName('web') }, spec });
  }

  /** All webhook configurations with stepup's label. */
  async managed(): Promise<readonly WebhookConfiguration[]> {
    const all = [
      ...(await this.validatingConfigurations.list()).items,
      ...(await this.mutatingConfigurations.list()).items,
    ];
    return all.filter(({ metadata }) => metadata.labels?.['stepup.dev/managed'] !== undefined);
  }
}

export function readyOf(policy: StepUpPolicy) {
  return policy.status?.conditions?.find(({ type }) => type === 'Ready');
}

export async function isGone(read: Promise<unknown>): Promise<boolean> {
  return read.then(
    () => false,
    (error: unknown) => isNotFound(error),
  );
}

/** Governs nothing that these files write, so that no request of theirs waits for a webhook that is not there. */
export function policySpec(overrides: object = {}): object {
  return {
    subjects: { include: [{ kind: 'User', name: 'nobody' }] },
    actions: [{ operations: ['UPDATE'], apiGroups: ['apps'], resources: ['deployments'], fields: ['/spec/template'] }],
    approval: { require: [{ name: 'approvers', count: 1, approvers: { groups: ['approvers'] } }] },
    ...overrides,
  };
}
