// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The probe by which stepup proves that the API server calls its webhooks: the creation of a Lease as a dry run. Each
// webhook that is called adds a warning to the answer (ADR 0014).
import { type JsonObject, valueAt } from '../../lib/json.ts';

/**
 * Not a name that begins with a release's own and a dash: the guard leaves it to every account that may create Leases in our
 * namespace, such as that of `helm test`.
 */
export const probeName = 'stepup.watchdog';

/** By this label gates are sent the question, and nothing else is. */
export const probeLabel = 'stepup.dev/watchdog';
export const probeLabelValue = 'probe';

/** Which policies' gates are to answer. */
const askedAnnotation = 'stepup.dev/watchdog-policies';

const prefix = 'stepup watchdog: ';

/** The API server drops what goes beyond 4,096 characters of warnings; names have at most 50. */
const mostAtOnce = 40;

export interface Probe {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
}

/** One Lease for so many policies as one answer has room for. */
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

/** What the gate of a policy says to a probe: its name, where it was asked for it. */
export function probeWarnings(policy: string, object: JsonObject | undefined): readonly string[] {
  const annotations = valueAt(object, '/metadata/annotations') as Readonly<Record<string, unknown>> | undefined;
  const asked = annotations?.[askedAnnotation];
  const isAsked = typeof asked === 'string' && asked.split(',').includes(policy);
  return isAsked ? [`${prefix}${policy}`] : [];
}

/** The policies whose gates were called, by the warnings of an answer. */
export function answeredIn(warnings: readonly string[]): readonly string[] {
  return warnings.filter((text) => text.startsWith(prefix)).map((text) => text.slice(prefix.length));
}
