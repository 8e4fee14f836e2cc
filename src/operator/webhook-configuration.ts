// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Webhook configurations as the API server stores them: every field is written out, so that nothing is defaulted
// and drift is plain inequality.
import { sameJson } from '../domain/json.ts';
import type { KubeObject, NewObject, OwnerReference } from '../kube/objects.ts';
import type { Form } from './configuration-keeper.ts';

export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly Webhook[];
}

export interface Webhook {
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
  readonly metadata: { readonly name: string; readonly ownerReferences?: readonly OwnerReference[] };
};

/** Where the API server finds the webhook. */
export interface WebhookService {
  readonly name: string;
  readonly namespace: string;
  readonly port: number;
}

/** Every configuration that is ours carries it. */
export const managedLabel = 'stepup.dev/managed';
export const gatePrefix = 'stepup-';
export const stampName = 'stepup-stamp';

/** True for configurations that we made: what bears the name but not the label is somebody else's. */
export function isManaged(configuration: KubeObject): boolean {
  return configuration.metadata.name.startsWith(gatePrefix) && configuration.metadata.labels?.[managedLabel] === 'true';
}

/** Of configurations that are not ours only the names are kept. */
export function onlyOurs({ apiVersion, kind, metadata, webhooks = [] }: WebhookConfiguration): WebhookConfiguration {
  const isOurs = metadata.name.startsWith(gatePrefix);
  return { apiVersion, kind, metadata, ...(isOurs && { webhooks }) };
}

/** True when what is stored does what is wanted. Labels and owners that others added do no harm. */
export function isInPlace(stored: WebhookConfiguration, wanted: NewObject<WebhookConfiguration>): boolean {
  const { labels = {}, ownerReferences = [] } = wanted.metadata;
  return (
    same(stored.webhooks ?? [], wanted.webhooks ?? []) &&
    Object.entries(labels).every(([key, value]) => stored.metadata.labels?.[key] === value) &&
    ownerReferences.every(({ uid }) => stored.metadata.ownerReferences?.some((owner) => owner.uid === uid))
  );
}

/** The stored object with what is wanted in it. */
export function broughtBack(
  stored: WebhookConfiguration,
  wanted: NewObject<WebhookConfiguration>,
): WebhookConfiguration {
  const { labels, ownerReferences } = wanted.metadata;
  return {
    ...stored,
    metadata: {
      ...stored.metadata,
      labels: { ...stored.metadata.labels, ...labels },
      ...(ownerReferences !== undefined && { ownerReferences }),
    },
    webhooks: wanted.webhooks ?? [],
  };
}

export const webhookForm: Form<WebhookConfiguration> = { isInPlace, broughtBack };

/** The configuration with another bundle of authorities and nothing else changed. */
export function withBundle<T extends { readonly webhooks?: readonly Webhook[] }>(
  configuration: T,
  caBundle: string,
): T {
  const webhooks = (configuration.webhooks ?? []).map((webhook) => ({
    ...webhook,
    clientConfig: { ...webhook.clientConfig, caBundle },
  }));
  return { ...configuration, webhooks };
}

function same(a: unknown, b: unknown): boolean {
  return sameJson(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
}
