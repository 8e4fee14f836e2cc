// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The targets of the scenarios as the API serves them, and the reviews that the API server makes of changes to them.

import type { AdmissionRequest } from '../../../src/domain/model/request.ts';
import type { JsonObject } from '../../../src/lib/json.ts';
import { creation, deletion, deployment, request, set } from '../../support/builders/domain.ts';
import type { Target } from './world.ts';

/** What a gated client wants. */
export type Wish =
  | {
      readonly verb: 'UPDATE';
      readonly content: string /** Sends the resourceVersion it has read. */;
      readonly isBound?: boolean;
    }
  | { readonly verb: 'SCALE'; readonly replicas: number }
  | {
      readonly verb: 'DELETE' /** The object is marked by a first call and removed by a second one. */;
      readonly isTwice?: boolean;
    }
  | {
      readonly verb: 'CREATE';
      readonly content: string /** Server-side apply: an update where the object is there. */;
      readonly isApply?: boolean;
    };

export type Kind = 'Deployment' | 'ConfigMap';

const types = {
  Deployment: { group: 'apps', resource: 'deployments', kind: 'Deployment' },
  ConfigMap: { group: '', resource: 'configmaps', kind: 'ConfigMap' },
} as const;

export const firstTarget: Target = {
  resourceVersion: 1,
  isAbsent: false,
  uid: 'uid-1',
  generation: 1,
  content: 'a',
  replicas: 3,
  isGoing: false,
};

export function objectOf(target: Target, kind: Kind): JsonObject {
  const { uid, generation, resourceVersion, content, replicas, isGoing } = target;
  const plain: JsonObject =
    kind === 'Deployment'
      ? set(deployment(`web:${content}`, generation), ['spec', 'replicas'], replicas)
      : { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web', namespace: 'prod' }, data: { value: content } };
  const metadata: JsonObject = {
    name: 'web',
    namespace: 'prod',
    uid,
    resourceVersion: String(resourceVersion),
    ...(kind === 'Deployment' ? { generation } : {}),
    ...(isGoing ? { deletionTimestamp: '2026-01-01T12:02:00Z', deletionGracePeriodSeconds: 0 } : {}),
  };
  return { ...plain, metadata };
}

/** The target with other content, as the API server would store it; the same one where nothing changes. */
export function withContent(target: Target, change: Partial<Pick<Target, 'content' | 'replicas'>>): Target {
  const next = { ...target, ...change };
  if (next.content === target.content && next.replicas === target.replicas) return target;
  return { ...next, generation: target.generation + 1 };
}

/** The target after a write that changes none of what anybody here looks at: a status, a label. */
function _touched(target: Target): Target {
  return { ...target };
}

export function absent(target: Target): Target {
  return { ...target, isAbsent: true };
}

export function created(uid: string, content: string): Omit<Target, 'resourceVersion'> {
  return { isAbsent: false, uid, generation: 1, content, replicas: 3, isGoing: false };
}

/** What a request makes of the state that the API server has read; undefined where there is nothing to do. */
export function wished(wish: Wish, orig: Target, newUID: () => string): Target | undefined {
  switch (wish.verb) {
    case 'UPDATE':
    case 'SCALE': {
      if (orig.isAbsent) return undefined;
      const next = withContent(orig, wish.verb === 'UPDATE' ? { content: wish.content } : { replicas: wish.replicas });
      return next === orig ? undefined : next;
    }
    case 'DELETE':
      if (orig.isAbsent) return undefined;
      return wish.isTwice && !orig.isGoing
        ? { ...orig, isGoing: true, generation: orig.generation + 1 }
        : { ...orig, isAbsent: true };
    case 'CREATE': {
      // Admission comes first, AlreadyExists afterwards (docs/facts.md, B7).
      if (orig.isAbsent || !wish.isApply) return { ...orig, ...created(newUID(), wish.content) };
      const next = withContent(orig, { content: wish.content });
      return next === orig ? undefined : next;
    }
  }
}

export function reviewOf(wish: Wish, kind: Kind, orig: Target, next: Target): AdmissionRequest {
  const type = types[kind];
  const oldObject = objectOf(orig, kind);
  // Written back with the resourceVersion that was read: the new one is not known before it is stored.
  const object = objectOf({ ...next, resourceVersion: orig.resourceVersion }, kind);
  switch (wish.verb) {
    case 'UPDATE':
      return request({ ...type, oldObject, object });
    case 'SCALE':
      return request({ ...type, subresource: 'scale', oldObject: scaleOf(orig), object: scaleOf(next) });
    case 'DELETE':
      return deletion(oldObject, { ...type, options: { gracePeriodSeconds: 0 } });
    case 'CREATE':
      return wish.isApply && !orig.isAbsent
        ? request({ ...type, oldObject, object })
        : creation(set(object, ['metadata', 'resourceVersion'], undefined), type);
  }
}

/** A Scale carries UID and resourceVersion of its parent, and no generation (docs/facts.md, B13). */
function scaleOf({ uid, resourceVersion, replicas }: Target): JsonObject {
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'web', namespace: 'prod', uid, resourceVersion: String(resourceVersion) },
    spec: { replicas },
  };
}
