// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The mutating webhook that adds the UID of the pod to governed evictions, before the validating webhook judges them.
import { gatePrefix, type NewConfiguration, type Rule, type WebhookEntry } from '../admission/webhook-configuration.ts';

const pinPrefix = `${gatePrefix}pin-`;
const eviction = 'pods/eviction';

/** The name of a policy's MutatingWebhookConfiguration. */
export function pinName(policy: string): string {
  return `${pinPrefix}${policy}`;
}

/** The policy whose pin has this name; undefined for any other name. */
export function policyPinnedBy(name: string): string | undefined {
  return name.startsWith(pinPrefix) ? name.slice(pinPrefix.length) : undefined;
}

/**
 * For exactly the evictions that a policy's webhook matches, with the same conditions; undefined when there are none. It
 * blocks nothing itself: the gate denies an eviction that has not been changed.
 */
export function pinConfiguration(policy: string, gate: NewConfiguration): NewConfiguration | undefined {
  const webhooks = (gate.webhooks ?? []).flatMap((webhook): WebhookEntry[] => {
    const { name, clientConfig, rules } = webhook;
    const { service } = clientConfig;
    const evictions = rules.flatMap(aboutEvictions);
    // A policy in mode Observe changes nothing.
    if (evictions.length === 0 || !service?.path.startsWith('/gate/')) return [];
    return [
      {
        ...webhook,
        name: name.replace(/\.gate\.stepup\.dev$/, '.pin.stepup.dev'),
        clientConfig: { ...clientConfig, service: { ...service, path: '/pin' } },
        failurePolicy: 'Ignore',
        reinvocationPolicy: 'Never',
        rules: evictions,
        sideEffects: 'None',
      },
    ];
  });
  return webhooks.length === 0 ? undefined : { metadata: { ...gate.metadata, name: pinName(policy) }, webhooks };
}

function aboutEvictions(rule: Rule): readonly Rule[] {
  const { apiGroups, resources, operations } = rule;
  const isAbout = apiGroups.includes('') && resources.includes(eviction) && operations.includes('CREATE');
  return isAbout ? [{ ...rule, operations: ['CREATE'], resources: [eviction] }] : [];
}
