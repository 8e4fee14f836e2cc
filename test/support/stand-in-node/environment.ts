// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A container's environment: envFrom, then env in order, as rendered.

import type { DataKind, DataSources } from './data-sources.ts';
import { readField } from './downward.ts';
import { expandVariables } from './expand.ts';
import type { Container, EnvVar, KeyRef, Pod } from './pod.ts';

export interface EnvironmentContext {
  readonly pod: Pod;
  readonly podIp: string;
  readonly sources: DataSources;
}

/** Only what the pod says: nothing of the harness's own environment gets in. */
export async function environmentOf(
  container: Container,
  context: EnvironmentContext,
): Promise<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const { prefix = '', secretRef, configMapRef } of container.envFrom ?? []) {
    const kind = secretRef ? 'secrets' : 'configmaps';
    const ref = secretRef ?? configMapRef;
    const data = ref ? await readData(kind, ref, context) : undefined;
    for (const [key, value] of data ?? []) env[prefix + key] = value.toString('utf8');
  }
  for (const variable of container.env ?? []) {
    const value = await resolveVariable(variable, env, context);
    if (value !== undefined) env[variable.name] = value;
  }
  return env;
}

async function resolveVariable(
  variable: EnvVar,
  env: Record<string, string>,
  context: EnvironmentContext,
): Promise<string | undefined> {
  const { value, valueFrom } = variable;
  if (!valueFrom) return expandVariables(value ?? '', env);
  if (valueFrom.fieldRef) return readField(context.pod, valueFrom.fieldRef.fieldPath, context.podIp);
  if (valueFrom.secretKeyRef) return readKey('secrets', valueFrom.secretKeyRef, context);
  if (valueFrom.configMapKeyRef) return readKey('configmaps', valueFrom.configMapKeyRef, context);
  throw new Error(
    `set variable "${variable.name}": ${Object.keys(valueFrom).join()} is not imitated by the stand-in node`,
  );
}

async function readKey(kind: DataKind, ref: KeyRef, context: EnvironmentContext): Promise<string | undefined> {
  const value = (await readData(kind, ref, context))?.get(ref.key);
  if (value === undefined && !ref.optional) throw new Error(`read ${kind}/${ref.name}: no key "${ref.key}"`);
  return value?.toString('utf8');
}

async function readData(
  kind: DataKind,
  ref: { name: string; optional?: boolean },
  { pod, sources }: EnvironmentContext,
) {
  const data = await sources.read(kind, pod.metadata.namespace ?? '', ref.name);
  if (!data && !ref.optional) throw new Error(`read ${kind}/${ref.name}: not found`);
  return data;
}
