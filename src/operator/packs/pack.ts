// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads ready-made policies from the chart's ConfigMap: one manifest for each key.
import { load } from 'js-yaml';
import type { StepUpPolicy } from '../../api/kinds.ts';
import { isRecord } from '../../lib/json.ts';

export interface Pack {
  readonly name: string;
  readonly spec: StepUpPolicy['spec'];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ReadPacks {
  readonly packs: readonly Pack[];
  readonly problems: readonly { readonly pack: string; readonly message: string }[];
}

/** On every policy that a pack made; its value is the pack's name. */
export const packLabel = 'stepup.dev/pack';
const suffix = '.yaml';

export function readPacks(data: Readonly<Record<string, string>>): ReadPacks {
  const packs: Pack[] = [];
  const problems: { pack: string; message: string }[] = [];
  for (const [file, text] of Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = file.endsWith(suffix) ? file.slice(0, -suffix.length) : file;
    try {
      packs.push(readPack(name, load(text)));
    } catch (error) {
      const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      problems.push({ pack: name, message });
    }
  }
  return { packs, problems };
}

function readPack(name: string, manifest: unknown): Pack {
  if (!isRecord(manifest)) throw new Error('is not an object');
  const { apiVersion, kind, metadata, spec } = manifest;
  if (apiVersion !== 'stepup.dev/v1alpha1' || kind !== 'StepUpPolicy') {
    throw new Error(`is a ${String(apiVersion)} ${String(kind)}, not a stepup.dev/v1alpha1 StepUpPolicy`);
  }
  if (!isRecord(metadata) || metadata.name !== name)
    throw new Error(`its metadata.name is not ${name}, as its key says`);
  if (!isRecord(spec)) throw new Error('has no spec');
  const { labels, annotations } = metadata;
  return {
    name,
    // The API server's schema checks the rest.
    spec: spec as unknown as StepUpPolicy['spec'],
    labels: isRecord(labels) ? (labels as Record<string, string>) : {},
    annotations: isRecord(annotations) ? (annotations as Record<string, string>) : {},
  };
}

export interface PackChanges {
  readonly apply: readonly Pack[];
  readonly remove: readonly StepUpPolicy[];
}

/**
 * What to do so that the policies are what the packs say. A policy is left alone while it is the very object and
 * generation that the pack's present text was applied as.
 */
export function packChanges(
  packs: readonly Pack[],
  policies: Iterable<StepUpPolicy>,
  applied: ReadonlyMap<string, Applied>,
  kept: ReadonlySet<string> = new Set(),
): PackChanges {
  const byName = new Map([...policies].map((policy) => [policy.metadata.name, policy]));
  const names = new Set([...packs.map(({ name }) => name), ...kept]);
  return {
    apply: packs.filter((pack) => !isApplied(pack, byName.get(pack.name), applied.get(pack.name))),
    remove: [...byName.values()].filter(({ metadata }) => {
      const pack = metadata.labels?.[packLabel];
      return pack !== undefined && !names.has(pack);
    }),
  };
}

/** Which object of which generation a pack's text became. */
export interface Applied {
  readonly text: string;
  readonly uid: string;
  readonly generation: number;
}

export function packText(pack: Pack): string {
  return JSON.stringify(pack);
}

function isApplied(pack: Pack, policy: StepUpPolicy | undefined, applied: Applied | undefined): boolean {
  if (policy === undefined || applied === undefined) return false;
  const { uid, generation, labels = {} } = policy.metadata;
  return (
    applied.text === packText(pack) &&
    applied.uid === uid &&
    applied.generation === generation &&
    labels[packLabel] === pack.name &&
    Object.entries(pack.labels).every(([key, value]) => labels[key] === value)
  );
}
