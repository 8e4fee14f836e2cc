// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The entries by which the API server has governed evictions name their pod's UID before it asks the gate about them.
import { gatePrefix, type NewConfiguration, type Rule, type Webhook } from './webhook-configuration.ts';

const pinPrefix = `${gatePrefix}pin-`;
const eviction = 'pods/eviction';

/** The name of a policy's MutatingWebhookConfiguration. */
export function pinName(policy: string): string {
  return `${pinPrefix}${policy}`;
}

/** The policy whose pin bears the name; undefined for any other name. */
export function policyPinnedBy(name: string): string | undefined {
  return name.startsWith(pinPrefix) ? name.slice(pinPrefix.length) : undefined;
}

/**
 * For exactly the evictions that a policy's gate is asked about, in the same words; undefined when there are none. It
 * stands in nobody's way: the gate refuses an eviction that has not been changed.
 */
export function pinConfiguration(policy: string, gate: NewConfiguration): NewConfiguration | undefined {
  const webhooks = (gate.webhooks ?? []).flatMap((webhook) => {
    const rules = webhook.rules.flatMap(aboutEvictions);
    return rules.length === 0 || !isEnforcing(webhook) ? [] : [pinned(webhook, rules)];
  });
  return webhooks.length === 0 ? undefined : { metadata: { ...gate.metadata, name: pinName(policy) }, webhooks };
}

function isEnforcing({ clientConfig }: Webhook): boolean {
  return clientConfig.service?.path.startsWith('/gate/') ?? false;
}

function aboutEvictions(rule: Rule): readonly Rule[] {
  const { apiGroups, resources, operations } = rule;
  const isAbout = apiGroups.includes('') && resources.includes(eviction) && operations.includes('CREATE');
  return isAbout ? [{ ...rule, operations: ['CREATE'], resources: [eviction] }] : [];
}

function pinned(webhook: Webhook, rules: readonly Rule[]): Webhook {
  const { name, clientConfig } = webhook;
  return {
    ...webhook,
    name: name.replace(/\.gate\.stepup\.dev$/, '.pin.stepup.dev'),
    clientConfig: {
      ...clientConfig,
      ...(clientConfig.service === undefined ? {} : { service: { ...clientConfig.service, path: '/pin' } }),
    },
    failurePolicy: 'Ignore',
    reinvocationPolicy: 'Never',
    rules,
    sideEffects: 'None',
  };
}
