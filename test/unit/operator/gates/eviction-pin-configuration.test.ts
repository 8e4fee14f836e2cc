// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Exactly the evictions that a gate is asked about are made to name their pod.
import { expect, test } from 'vitest';
import type { NewConfiguration, Rule, WebhookEntry } from '../../../../src/operator/admission/webhook-configuration.ts';
import {
  pinConfiguration,
  pinName,
  policyPinnedBy,
} from '../../../../src/operator/gates/eviction-pin-configuration.ts';

const rule: Rule = {
  apiGroups: [''],
  apiVersions: ['v1'],
  operations: ['CREATE'],
  resources: ['pods/binding', 'pods/eviction'],
  scope: 'Namespaced',
};
const door: WebhookEntry = {
  name: 'equivalent.pods.gate.stepup.dev',
  admissionReviewVersions: ['v1'],
  clientConfig: {
    service: { name: 'stepup', namespace: 'stepup-system', path: '/gate/pods', port: 443 },
    caBundle: 'Q0E=',
  },
  failurePolicy: 'Fail',
  matchConditions: [{ name: 'gated', expression: 'true' }],
  matchPolicy: 'Equivalent',
  namespaceSelector: { matchLabels: { environment: 'production' } },
  objectSelector: {},
  rules: [rule],
  sideEffects: 'NoneOnDryRun',
  timeoutSeconds: 5,
};
const metadata = { name: 'stepup-pods', labels: { 'stepup.dev/managed': 'true' }, ownerReferences: [] };
const gate = (...webhooks: readonly WebhookEntry[]): NewConfiguration => ({ metadata, webhooks });

test('by the same conditions, without standing in the way', () => {
  expect(pinConfiguration('pods', gate(door))).toEqual({
    metadata: { ...metadata, name: 'stepup-pin-pods' },
    webhooks: [
      {
        ...door,
        name: 'equivalent.pods.pin.stepup.dev',
        clientConfig: { ...door.clientConfig, service: { ...door.clientConfig.service, path: '/pin' } },
        failurePolicy: 'Ignore',
        reinvocationPolicy: 'Never',
        rules: [{ ...rule, resources: ['pods/eviction'] }],
        sideEffects: 'None',
      },
    ],
  });
});

test.each<[string, WebhookEntry]>([
  ['asks about no evictions', { ...door, rules: [{ ...rule, resources: ['pods/binding'] }] }],
  ['asks about evictions of another group', { ...door, rules: [{ ...rule, apiGroups: ['example.com'] }] }],
  ['asks about no creation', { ...door, rules: [{ ...rule, operations: ['UPDATE'] }] }],
  ['observes', { ...door, clientConfig: { service: { name: 's', namespace: 'n', path: '/observe/pods', port: 443 } } }],
])('a gate that %s has none', (_what, webhook) => {
  expect(pinConfiguration('pods', gate(webhook))).toBeUndefined();
});

test('its name tells the policy, and the names of gates and of the stamp do not', () => {
  expect(policyPinnedBy(pinName('pods'))).toBe('pods');
  expect([policyPinnedBy('stepup-pods'), policyPinnedBy('stepup-stamp')]).toEqual([undefined, undefined]);
});
