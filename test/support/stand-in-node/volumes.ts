// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A pod's volumes as folders: written before its containers start, rewritten when their sources change.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { AdminClient } from '../control-plane/admin-client.ts';
import { requestToken } from '../control-plane/service-account-token.ts';
import { type VolumeFiles, writeAtomically } from './atomic-files.ts';
import type { DataKind, DataSources } from './data-sources.ts';
import { readField } from './downward.ts';
import type { PathMapping } from './expand.ts';
import type { Container, DownwardItem, KeyToPath, Pod, ProjectedSource, TokenProjection, Volume } from './pod.ts';

export interface VolumeContext {
  readonly pod: Pod;
  readonly podIp: string;
  readonly folder: string;
  readonly admin: AdminClient;
  readonly sources: DataSources;
}

export interface PodVolumes {
  /** Writes what changed. Throws while a source that is not optional is missing. */
  refresh(): Promise<void>;
  /** Where each mount of the container is on this machine. */
  mappings(container: Container): readonly PathMapping[];
}

export function createVolumes(context: VolumeContext): PodVolumes {
  const volumes = context.pod.spec.volumes ?? [];
  const written = new Map<string, string>();
  const tokens = createTokens(context);
  const folderOf = (name: string) => join(context.folder, 'volumes', name);
  return {
    refresh: async () => {
      for (const volume of volumes) {
        if (volume.emptyDir) {
          mkdirSync(folderOf(volume.name), { recursive: true });
          continue;
        }
        const files = await filesOf(volume, context, tokens);
        const state = JSON.stringify([...files].map(([path, content]) => [path, content.toString('base64')]));
        if (written.get(volume.name) === state) continue;
        writeAtomically(folderOf(volume.name), files);
        written.set(volume.name, state);
      }
    },
    mappings: ({ volumeMounts = [] }) =>
      volumeMounts.map(({ name, mountPath, subPath }) => ({
        mountPath,
        hostPath: subPath ? join(folderOf(name), subPath) : folderOf(name),
      })),
  };
}

async function filesOf(volume: Volume, context: VolumeContext, tokens: Tokens): Promise<VolumeFiles> {
  if (volume.secret) {
    const { secretName: name, ...rest } = volume.secret;
    return dataFiles('secrets', { name, ...rest }, context);
  }
  if (volume.configMap) return dataFiles('configmaps', volume.configMap, context);
  if (volume.downwardAPI) return downwardFiles(volume.downwardAPI.items ?? [], context);
  if (!volume.projected)
    throw new Error(`mount volume "${volume.name}": its type is not imitated by the stand-in node`);
  const parts = await Promise.all(volume.projected.sources.map((source) => projectedFiles(source, context, tokens)));
  return new Map(parts.flatMap((part) => [...part]));
}

async function projectedFiles(source: ProjectedSource, context: VolumeContext, tokens: Tokens): Promise<VolumeFiles> {
  if (source.secret) return dataFiles('secrets', source.secret, context);
  if (source.configMap) return dataFiles('configmaps', source.configMap, context);
  if (source.downwardAPI) return downwardFiles(source.downwardAPI.items ?? [], context);
  const projection = source.serviceAccountToken;
  if (!projection) throw new Error(`project ${Object.keys(source).join()}: not imitated by the stand-in node`);
  return new Map([[projection.path, Buffer.from(await tokens.get(projection))]]);
}

interface DataReference {
  readonly name: string;
  readonly optional?: boolean;
  readonly items?: readonly KeyToPath[];
}

async function dataFiles(
  kind: DataKind,
  { name, optional, items }: DataReference,
  context: VolumeContext,
): Promise<VolumeFiles> {
  const data = await context.sources.read(kind, context.pod.metadata.namespace ?? '', name);
  if (!data && optional) return new Map();
  if (!data) throw new Error(`mount ${kind}/${name}: not found`);
  if (!items) return data;
  return new Map(
    items.flatMap(({ key, path }) => {
      const content = data.get(key);
      if (content) return [[path, content] as const];
      if (optional) return [];
      throw new Error(`mount ${kind}/${name}: no key "${key}"`);
    }),
  );
}

function downwardFiles(items: readonly DownwardItem[], { pod, podIp }: VolumeContext): VolumeFiles {
  return new Map(
    items.map(({ path, fieldRef }) => {
      if (!fieldRef) throw new Error(`project "${path}": resourceFieldRef is not imitated by the stand-in node`);
      return [path, Buffer.from(readField(pod, fieldRef.fieldPath, podIp))];
    }),
  );
}

interface Tokens {
  get(projection: TokenProjection): Promise<string>;
}

/** Tokens bound to the pod, renewed at 80 % of their life as the kubelet does. */
function createTokens({ admin, pod }: VolumeContext): Tokens {
  const cached = new Map<string, { readonly token: string; readonly renewAtMs: number }>();
  const account = `${pod.metadata.namespace}/${pod.spec.serviceAccountName ?? 'default'}`;
  const boundPod = { name: pod.metadata.name, uid: pod.metadata.uid ?? '' };
  return {
    get: async ({ path, audience, expirationSeconds = 3600 }) => {
      const known = cached.get(path);
      if (known && Date.now() < known.renewAtMs) return known.token;
      const audiences = audience ? { audiences: [audience] } : {};
      const token = await requestToken(admin, account, { boundPod, expirationSeconds, ...audiences });
      cached.set(path, { token, renewAtMs: Date.now() + expirationSeconds * 800 });
      return token;
    },
  };
}
