// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Backups as people and tools make and restore them.
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import {
  type Actors,
  approvalsIn,
  configMaps,
  decisionsIn,
  type Key,
  pathOf,
  type Said,
} from '../../support/installation/actors.ts';

/** One approval, the words about it, and its target, each as the API server shows it. */
export interface Backup {
  readonly approval: KubeObject;
  readonly decisions: readonly KubeObject[];
  readonly target?: KubeObject;
}

export async function backupOf(actors: Actors, key: Key): Promise<Backup> {
  const approval = await actors.do<KubeObject>('admin', 'GET', pathOf(key));
  const { items } = await actors.do<{ items: KubeObject[] }>('admin', 'GET', decisionsIn(key.namespace));
  const about = (decision: KubeObject) =>
    (decision.spec as { approval: { uid: string } }).approval.uid === approval.metadata.uid;
  const { name } = (approval.spec as { action: { name: string } }).action;
  const target = await actors.send('admin', 'GET', `${configMaps(key.namespace)}/${name}`);
  const decisions = items.filter(about);
  return { approval, decisions, ...(target.isDone ? { target: target.body as KubeObject } : {}) };
}

/** What a backup tool leaves of an object: no status, and nothing that the API server writes. */
export function bare(object: KubeObject, overrides: { readonly name?: string } = {}): KubeObject {
  const { uid: _, resourceVersion: __, creationTimestamp: ___, generation: ____, ...metadata } = object.metadata;
  const { status: _____, ...rest } = object;
  return { ...rest, metadata: { ...metadata, ...overrides } };
}

/** Restores approval, decisions and target as the admin; returns what became of the approval. */
export async function restore(
  actors: Actors,
  { approval, decisions, target }: Backup,
  given: { readonly name?: string; readonly isWhole?: boolean } = {},
): Promise<Said> {
  const { isWhole = false, ...overrides } = given;
  const namespace = approval.metadata.namespace ?? '';
  if (target !== undefined) await actors.send('admin', 'POST', configMaps(namespace), bare(target));
  const object = isWhole ? withoutVersion(approval) : bare(approval, overrides);
  const said = await actors.send('admin', 'POST', approvalsIn(namespace), object);
  for (const decision of decisions) await actors.send('admin', 'POST', decisionsIn(namespace), bare(decision));
  return said;
}

/** As `kubectl get -o yaml` prints it; the API server creates nothing that carries a resourceVersion. */
function withoutVersion(object: KubeObject): KubeObject {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
