// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Valid policies, reviews and approvals; a test overrides what it is about.
import type { StepUpPolicy } from '../../../src/api/kinds.ts';

export const deployer = 'system:serviceaccount:ci:deployer';
export const ownUsername = 'system:serviceaccount:stepup-system:stepup';
export const ownNamespace = 'stepup-system';

const deployments = {
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  apiGroups: ['apps'],
  resources: ['deployments'],
  fields: ['/spec/template', '/spec/replicas'],
} as const;

export function policySpec(spec: Partial<StepUpPolicy['spec']> = {}): StepUpPolicy['spec'] {
  return {
    actions: [deployments],
    approval: { require: [{ name: 'approvers', approvers: { groups: ['approvers'] } }] },
    namespaceSelector: { matchLabels: { environment: 'production' } },
    ...spec,
  };
}

export const ready: NonNullable<StepUpPolicy['status']> = {
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      observedGeneration: 1,
      lastTransitionTime: '2026-01-01T00:00:00Z',
      reason: 'Ready',
      message: 'ready',
    },
  ],
};

let lastRequest = 0;

/** A whole AdmissionReview about prod's Deployment web. */
export function review(over: object = {}) {
  lastRequest += 1;
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: `request-${lastRequest}`,
      kind: { group: 'apps', version: 'v1', kind: 'Deployment' },
      resource: { group: 'apps', version: 'v1', resource: 'deployments' },
      operation: 'CREATE',
      namespace: 'prod',
      name: 'web',
      userInfo: { username: deployer, uid: 'u-deployer', groups: ['system:serviceaccounts'] },
      object: deployment(),
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions' },
      ...over,
    },
  };
}

let lastObject = 0;

export function deployment(
  over: { readonly image?: string; readonly metadata?: object; readonly replicas?: number } = {},
) {
  lastObject += 1;
  const containers = [{ name: 'c', image: over.image ?? 'nginx:1' }];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'web',
      namespace: 'prod',
      uid: `object-${lastObject}`,
      generation: 1,
      labels: { app: 'web' },
      ...over.metadata,
    },
    spec: { replicas: over.replicas ?? 1, template: { spec: { containers } } },
  };
}

/** An UPDATE of the same Deployment from one image to another, on a generation. */
export function imageUpdate(image = 'nginx:2', generation = 4, over: object = {}) {
  const at = (number: number) => ({ uid: 'object-web', generation: number, resourceVersion: `${900 + number}` });
  return review({
    operation: 'UPDATE',
    oldObject: deployment({ metadata: at(generation) }),
    object: deployment({ image, metadata: { ...at(generation), generation: generation + 1 } }),
    options: { kind: 'UpdateOptions' },
    ...over,
  });
}

export function deletion(over: object = {}) {
  return review({
    operation: 'DELETE',
    object: null,
    oldObject: deployment({ metadata: { uid: 'object-web', resourceVersion: '77' } }),
    options: { kind: 'DeleteOptions', propagationPolicy: 'Background' },
    ...over,
  });
}
