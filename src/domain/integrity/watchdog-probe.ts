// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The probe by which stepup proves that the API server calls its webhooks: the creation of a Lease as a dry run. Each
// webhook that is called adds a warning to the answer (ADR 0014).
import { type JsonObject, valueAt } from '../../lib/json.ts';

/**
 * The name must not begin with that of a release and a dash, so that the guard lets any account use it that can create Leases
 * in stepup's namespace, such as that of `helm test`.
 */
export const probeName = 'stepup.watchdog';

/** The webhooks select the probe by this label, and nothing else has it. */
export const probeLabel = 'stepup.dev/watchdog';
export const probeLabelValue = 'probe';

/** The policies whose webhooks should answer. */
const askedAnnotation = 'stepup.dev/watchdog-policies';

const prefix = 'stepup watchdog: ';

/** The API server drops warnings beyond 4,096 characters in total; names have at most 50. */
const mostAtOnce = 40;

export interface Probe {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
}

/** One Lease for as many policies as one answer has room for. */
export function probesFor(policies: readonly string[], namespace: string): readonly Probe[] {
  const count = Math.ceil(policies.length / mostAtOnce);
  return Array.from({ length: count }, (_, index) => ({
    metadata: {
      name: probeName,
      namespace,
      labels: { [probeLabel]: probeLabelValue },
      annotations: { [askedAnnotation]: policies.slice(index * mostAtOnce, (index + 1) * mostAtOnce).join(',') },
    },
  }));
}

/** The answer of a policy's webhook to a probe: the policy's name, if the probe asks for it. */
export function probeWarnings(policy: string, object: JsonObject | undefined): readonly string[] {
  const annotations = valueAt(object, '/metadata/annotations') as Readonly<Record<string, unknown>> | undefined;
  const asked = annotations?.[askedAnnotation];
  const isAsked = typeof asked === 'string' && asked.split(',').includes(policy);
  return isAsked ? [`${prefix}${policy}`] : [];
}

/** The policies whose webhooks were called, from the warnings of an answer. */
export function answeredIn(warnings: readonly string[]): readonly string[] {
  return warnings.filter((text) => text.startsWith(prefix)).map((text) => text.slice(prefix.length));
}
