// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The webhook by which the API server has stepup stamp new approvals and votes.
import { celText } from '../admission/cel.ts';
import {
  configurationLabels,
  type NewConfiguration,
  stampName,
  type WebhookService,
} from '../admission/webhook-configuration.ts';

export interface StampContext {
  readonly ownUsername: string;
  readonly service: WebhookService;
  readonly caBundle: string;
}

/** The configuration `stepup-stamp`. It does not match what stepup writes itself: no nested call, no deadlock. */
export function stampConfiguration({ ownUsername, service, caBundle }: StampContext): NewConfiguration {
  return {
    metadata: { name: stampName, labels: configurationLabels },
    webhooks: [
      {
        name: 'stamp.stepup.dev',
        admissionReviewVersions: ['v1'],
        clientConfig: { service: { ...service, path: '/stamp' }, caBundle },
        failurePolicy: 'Fail',
        matchConditions: [{ name: 'own', expression: `request.userInfo.username != ${celText(ownUsername)}` }],
        matchPolicy: 'Equivalent',
        namespaceSelector: {},
        objectSelector: {},
        reinvocationPolicy: 'Never',
        rules: [
          {
            apiGroups: ['stepup.dev'],
            apiVersions: ['v1alpha1'],
            operations: ['CREATE'],
            resources: ['stepupapprovals', 'stepupdecisions'],
            scope: 'Namespaced',
          },
        ],
        sideEffects: 'None',
        timeoutSeconds: 5,
      },
    ],
  };
}
