// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Webhook configurations as the API server stores them, with every field set, so that drift is a plain comparison.

import { configurationPrefix, managedLabel } from '../../domain/model/labels.ts';
import type { KubeObject, NewObject } from '../../kube/objects/objects.ts';
import { isSameAsSent } from '../../lib/json.ts';
import type { Form } from './object-keeper.ts';

export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly WebhookEntry[];
}

export interface WebhookEntry {
  readonly name: string;
  readonly admissionReviewVersions: readonly string[];
  readonly clientConfig: {
    readonly service?: {
      readonly name: string;
      readonly namespace: string;
      readonly path: string;
      readonly port: number;
    };
    readonly caBundle?: string;
  };
  readonly failurePolicy: 'Fail' | 'Ignore';
  readonly matchConditions: readonly MatchCondition[];
  readonly matchPolicy: 'Equivalent';
  readonly namespaceSelector: object;
  readonly objectSelector: object;
  readonly rules: readonly Rule[];
  readonly sideEffects: 'None' | 'NoneOnDryRun';
  readonly timeoutSeconds: number;
  /** Mutating ones only. */
  readonly reinvocationPolicy?: 'Never';
}

export interface MatchCondition {
  readonly name: string;
  readonly expression: string;
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly operations: readonly string[];
  readonly resources: readonly string[];
  readonly scope: 'Cluster' | 'Namespaced' | '*';
}

export type NewConfiguration = NewObject<WebhookConfiguration> & {
  readonly metadata: { readonly name: string };
};

/** Where the API server finds the webhook. */
export interface WebhookService {
  readonly name: string;
  readonly namespace: string;
  readonly port: number;
}

/**
 * On every configuration of ours. AKS writes selectors of its own into all webhook configurations, again and again, unless a label
 * says otherwise (https://github.com/Azure/AKS/issues/1771): stepup would put them back as often, and speak of tampering.
 */
export const configurationLabels = { [managedLabel]: 'true', 'admissions.enforcer/disabled': 'true' } as const;
/** On gates: the UID of the definition of policies that the gate's policy belongs to. */
export const kindUidLabel = 'stepup.dev/kind-uid';
export const gatePrefix = configurationPrefix;
export const stampName = 'stepup-stamp';
export const watchdogPath = '/watchdog/';

/** True for configurations that we made: what bears the name but not the label is somebody else's. */
export function isManaged(configuration: KubeObject): boolean {
  return configuration.metadata.name.startsWith(gatePrefix) && configuration.metadata.labels?.[managedLabel] === 'true';
}

/** True for entries that ask about requests of others; the watchdog's asks about its own only. */
export function isGateEntry({ clientConfig }: WebhookEntry): boolean {
  return clientConfig.service?.path.startsWith(watchdogPath) !== true;
}

/** Of configurations that are not ours only the names are kept. */
export function onlyOurs({ apiVersion, kind, metadata, webhooks = [] }: WebhookConfiguration): WebhookConfiguration {
  const isOurs = metadata.name.startsWith(gatePrefix);
  return { apiVersion, kind, metadata, ...(isOurs && { webhooks }) };
}

/**
 * True when what is stored does what is wanted. Labels that others added do no harm; an owner does, because the garbage
 * collector deletes what belongs to it: a policy's gate, when the definition of policies takes the policy along.
 */
function isInPlace(stored: WebhookConfiguration, wanted: NewObject<WebhookConfiguration>): boolean {
  const { labels = {} } = wanted.metadata;
  return (
    isSameAsSent(stored.webhooks ?? [], wanted.webhooks ?? []) &&
    Object.entries(labels).every(([key, value]) => stored.metadata.labels?.[key] === value) &&
    (stored.metadata.ownerReferences ?? []).length === 0
  );
}

/** The stored object with what is wanted in it, and without an owner. */
function broughtBack(stored: WebhookConfiguration, wanted: NewObject<WebhookConfiguration>): WebhookConfiguration {
  const { ownerReferences: _, ...metadata } = stored.metadata;
  return {
    ...stored,
    metadata: { ...metadata, labels: { ...metadata.labels, ...wanted.metadata.labels } },
    webhooks: wanted.webhooks ?? [],
  };
}

export const webhookForm: Form<WebhookConfiguration> = { isInPlace, broughtBack };

/** The configuration with another bundle of authorities and nothing else changed. */
export function withBundle<T extends { readonly webhooks?: readonly WebhookEntry[] }>(
  configuration: T,
  caBundle: string,
): T {
  const webhooks = (configuration.webhooks ?? []).map((webhook) => ({
    ...webhook,
    clientConfig: { ...webhook.clientConfig, caBundle },
  }));
  return { ...configuration, webhooks };
}
