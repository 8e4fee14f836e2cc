// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What becomes of a reserved write: what was written is never taken for lost.
import { describe, expect, test } from 'vitest';
import type { Change } from '../../../../src/domain/change/change.ts';
import { changeOf } from '../../../../src/domain/change/change-of.ts';
import { settle } from '../../../../src/domain/lifecycle/settle.ts';
import type { Use } from '../../../../src/domain/model/approval.ts';
import type { Action } from '../../../../src/domain/model/policy.ts';
import type { AdmissionRequest } from '../../../../src/domain/model/request.ts';
import type { Seen } from '../../../../src/domain/model/seen.ts';
import type { JsonObject } from '../../../../src/lib/json.ts';
import {
  context,
  creation,
  deletion,
  deployment,
  deploys,
  privileged,
  request,
  set,
} from '../../../support/builders/domain.ts';

function use(asked: AdmissionRequest, action: Action = deploys, live?: JsonObject): Use {
  return used(privileged(asked, action, live === undefined ? context : { ...context, live }));
}

/** An update that amounts to a deletion. */
function ending(oldObject: JsonObject, object: JsonObject): Use {
  const row = { ...deploys, shape: 'DeletionByUpdate', reach: 'Selected', action: deploys } as const;
  const change = changeOf(row, request({ oldObject, object }), context);
  if (typeof change === 'string') throw new Error(`harmless: ${change}`);
  return used(change);
}

function used({ digest, base, effect, objectUID, oldResourceVersion }: Change): Use {
  return {
    attemptKey: 'key',
    digest,
    base,
    ...(effect === undefined ? {} : { effect }),
    reservedAt: 't',
    ...(objectUID === undefined ? {} : { objectUID }),
    ...(oldResourceVersion === undefined ? {} : { oldResourceVersion }),
  };
}

const state = (object: JsonObject, isNext = true): Seen => ({ kind: 'State', object, isNext });
const version = (object: JsonObject, resourceVersion: string) =>
  set(object, ['metadata', 'resourceVersion'], resourceVersion);
const image = use(request());
const withVolume = (volume: JsonObject, generation: number, image = 'web:1') =>
  set(deployment(image, generation), ['spec', 'template', 'spec', 'volumes'], [{ name: 'v', ...volume }]);
const emptySources = use(request({ object: withVolume({ projected: { sources: [] } }, 2, 'web:2') }));
const onlyEmpty = use(
  request({ object: withVolume({ projected: {} }, 2), oldObject: withVolume({ projected: { sources: null } }, 1) }),
);
const scaleOf = (replicas: number, resourceVersion = '101'): JsonObject => ({
  metadata: { uid: 'uid-web', resourceVersion },
  spec: replicas === 0 ? {} : { replicas },
});
const scale = (from: number, to: number, live?: JsonObject) =>
  use(request({ subresource: 'scale', oldObject: scaleOf(from), object: scaleOf(to) }), deploys, live);
const replicas = (count: number, generation: number) =>
  set(deployment('web:1', generation), ['spec', 'replicas'], count);
const elsewhere = (count: number, generation: number): JsonObject => ({
  metadata: { uid: 'uid-web', resourceVersion: String(100 + generation), generation },
  spec: { size: count },
});
/** A custom resource with replicas, and with a number of workers that its Scale may be about. */
const workers = (replicas: number, count: number, generation: number): JsonObject =>
  set(elsewhere(count, generation), ['spec', 'replicas'], replicas);
const scaleWorkers = (live: JsonObject, resourceVersion = '101') => {
  const scaled = { group: 'example.dev', subresource: 'scale' };
  const [oldObject, object] = [scaleOf(3, resourceVersion), scaleOf(5, resourceVersion)];
  return use(request({ ...scaled, oldObject, object }), deploys, live);
};
const config = (value: string, resourceVersion: string): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'c', uid: 'uid-c', resourceVersion },
  data: { a: value },
});
const configs: Action = { operations: ['UPDATE'], apiGroups: [''], resources: ['configmaps'] };
const data = use(
  request({ group: '', resource: 'configmaps', oldObject: config('1', '5'), object: config('2', '5') }),
  configs,
);
const service = (spec: JsonObject, resourceVersion: string): JsonObject => ({
  metadata: { name: 's', uid: 'uid-s', resourceVersion },
  spec: { selector: { a: 'b' }, ...spec },
});
const away = { type: 'ExternalName', externalName: 'example.com' };
const sentAway = use(
  request({
    group: '',
    resource: 'services',
    oldObject: service({ type: 'ClusterIP', internalTrafficPolicy: 'Cluster' }, '5'),
    object: service({ ...away, internalTrafficPolicy: 'Cluster' }, '5'),
  }),
  { operations: ['UPDATE'], apiGroups: [''], resources: ['services'] },
);
const pods: Action = { operations: ['UPDATE'], apiGroups: [''], resources: ['pods'] };
const pod = (generation: number, spec: JsonObject): JsonObject => ({
  metadata: { uid: 'uid-p', resourceVersion: String(generation), generation },
  spec,
});
const podImage = use(
  request({ group: '', resource: 'pods', oldObject: pod(1, { image: 'a' }), object: pod(2, { image: 'b' }) }),
  pods,
);
const { kind: _, apiVersion: __, ...listed } = config('2', '6');
const dying = (finalizers: string[], resourceVersion: string, deletionGracePeriodSeconds = 30): JsonObject => ({
  metadata: {
    uid: 'uid-d',
    resourceVersion,
    deletionTimestamp: 't',
    deletionGracePeriodSeconds,
    // The API server leaves empty lists out.
    ...(finalizers.length === 0 ? {} : { finalizers }),
  },
});
const sooner = use(deletion(dying(['a'], '5'), { options: { gracePeriodSeconds: 5 } }));
const unhold = ending(dying(['a', 'b'], '5'), dying(['b'], '5'));
const live: JsonObject = { metadata: { uid: 'uid-d', resourceVersion: '5' } };
const owned = set(
  live,
  ['metadata', 'ownerReferences'],
  [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'o', uid: 'o' }],
);
const adopt = ending(live, owned);
const force = use(
  deletion(dying(['orphan'], '5'), { options: { gracePeriodSeconds: 0, propagationPolicy: 'Background' } }),
);
const signing = { group: 'certificates.k8s.io', resource: 'certificatesigningrequests', subresource: 'approval' };
const approvals: Action = {
  operations: ['UPDATE'],
  apiGroups: [signing.group],
  resources: [`${signing.resource}/approval`],
};
const certificate = (resourceVersion: string, approvedAt?: string, labels: JsonObject = {}): JsonObject => ({
  metadata: { name: 'c', uid: 'uid-c', resourceVersion, labels },
  spec: { request: 'x' },
  status:
    approvedAt === undefined ? {} : { conditions: [{ type: 'Approved', status: 'True', lastUpdateTime: approvedAt }] },
});
const signed = use(request({ ...signing, oldObject: certificate('5'), object: certificate('5', 't1') }), approvals);
const born = use(creation(set(deployment(), ['metadata', 'uid'], 'uid-new')));

describe('settling', () => {
  const rows: readonly (readonly [string, string, Use, Seen])[] = [
    ['nothing was looked at', 'Unseen', image, { kind: 'Nothing' }],
    ['the base still stands', 'Stands', image, state(deployment('web:1', 1))],
    ['the next generation shows the image', 'Happened', image, state(deployment('web:2', 2))],
    [
      'the next generation shows it with labels and status of later',
      'Happened',
      image,
      state(set(version(deployment('web:2', 2), '999'), ['status'], {}), false),
    ],
    ['the next generation shows another image', 'Lost', image, state(deployment('web:3', 2))],
    ['the next generation shows the old image', 'Lost', image, state(deployment('web:1', 2))],
    [
      // protobuf keeps no empty list, and the field is not omitted where it is empty (measured).
      'the next generation shows it, an empty list read back as null',
      'Happened',
      emptySources,
      state(withVolume({ projected: { sources: null } }, 2, 'web:2')),
    ],
    [
      'the next generation shows the empty list under another image',
      'Lost',
      emptySources,
      state(withVolume({ projected: { sources: null } }, 2, 'web:3')),
    ],
    ['nothing but emptiness changes, and may not be seen', 'Untold', onlyEmpty, state(withVolume({}, 2))],
    ['the generation after it says nothing', 'Untold', image, state(deployment('web:3', 3))],
    ['the object is gone', 'Untold', image, { kind: 'Absent' }],
    ['the object is another one', 'Untold', image, state(set(deployment('web:3', 2), ['metadata', 'uid'], 'uid-2'))],
    ['a scale to 0 that was written', 'Happened', scale(3, 0, replicas(3, 1)), state(replicas(0, 2))],
    ['a scale from 0 that was written', 'Happened', scale(0, 3, replicas(0, 1)), state(replicas(3, 2))],
    ['a scale that was not', 'Lost', scale(3, 0, replicas(3, 1)), state(replicas(7, 2))],
    [
      'a scale whose parent keeps replicas elsewhere, written',
      'Untold',
      scale(3, 5, elsewhere(3, 1)),
      state(elsewhere(5, 2)),
    ],
    [
      'a scale whose parent keeps replicas elsewhere, not written',
      'Stands',
      scale(3, 5, elsewhere(3, 1)),
      state(elsewhere(3, 1)),
    ],
    [
      'a scale of what may keep its replicas in another place of the same number, written there',
      'Untold',
      scaleWorkers(workers(3, 3, 1)),
      state(workers(3, 5, 2)),
    ],
    [
      'a scale of what keeps them in the one place of that number, not written',
      'Lost',
      scaleWorkers(workers(3, 4, 1)),
      state(workers(3, 5, 2)),
    ],
    [
      'a scale of what keeps them in the one place of that number, written',
      'Happened',
      scaleWorkers(workers(3, 4, 1)),
      state(workers(5, 4, 2)),
    ],
    [
      'a scale of what had moved, so that nobody knows which place it is, written',
      'Untold',
      scaleWorkers(workers(3, 4, 1), '100'),
      state(workers(3, 5, 2)),
    ],
    ['a scale whose parent was not read, written', 'Untold', scale(3, 5), state(replicas(5, 2))],
    [
      'a scale whose parent moved before it was read, written',
      'Happened',
      scale(3, 5, replicas(3, 2)),
      state(replicas(5, 3)),
    ],
    [
      'a scale whose parent moved before it was read, as it was read',
      'Stands',
      scale(3, 5, replicas(3, 2)),
      state(replicas(3, 2)),
    ],
    [
      'a scale whose parent moved before it was read, next generation without it',
      'Lost',
      scale(3, 5, replicas(3, 2)),
      state(replicas(7, 3)),
    ],
    ['data as it was', 'Stands', data, state(config('1', '5'))],
    ['data as admitted', 'Happened', data, state(config('2', '6'))],
    ['data as admitted, read from a list', 'Happened', data, state(listed)],
    ['data as admitted, some states later', 'Untold', data, state(config('2', '7'), false)],
    [
      'a Service as admitted, read without what its new type does not have',
      'Happened',
      sentAway,
      state(service(away, '6')),
    ],
    [
      'a Service that was sent elsewhere',
      'Lost',
      sentAway,
      state(service({ ...away, externalName: 'example.org' }, '6')),
    ],
    ['other data in the next state', 'Lost', data, state(config('3', '6'))],
    ['a pod as admitted', 'Happened', podImage, state(pod(2, { image: 'b' }))],
    [
      'a pod as admitted and then bound, which leaves its generation',
      'Happened',
      podImage,
      state(pod(2, { image: 'b', nodeName: 'n' })),
    ],
    ['a pod of another image', 'Lost', podImage, state(pod(2, { image: 'c', nodeName: 'n' }))],
    ['a certificate approved as admitted', 'Happened', signed, state(certificate('6', 't1'))],
    [
      'a certificate approved by a later try, admitted on the same state',
      'Happened',
      signed,
      state(certificate('6', 't2')),
    ],
    ['a certificate that somebody has labelled', 'Lost', signed, state(certificate('6', undefined, { a: 'b' }))],
    ['a certificate that is as it was', 'Stands', signed, state(certificate('5'))],
    ['a deletion of what is still there', 'Stands', use(deletion(deployment())), state(deployment())],
    [
      'a deletion of what is going',
      'Happened',
      use(deletion(deployment())),
      state(set(version(deployment(), '9'), ['metadata', 'deletionTimestamp'], 't')),
    ],
    ['a deletion of what is gone', 'Happened', use(deletion(deployment())), { kind: 'Absent' }],
    [
      'a deletion of what has been made anew',
      'Happened',
      use(deletion(deployment())),
      state(set(deployment(), ['metadata', 'uid'], 'uid-2')),
    ],
    ['a second deletion of what was going already', 'Stands', force, state(dying(['orphan'], '5'))],
    ['a second deletion once somebody else has written', 'Stands', force, state(dying(['orphan'], '6'))],
    ['a second deletion once its finalizers are those it asked for', 'Happened', force, state(dying([], '6', 0))],
    ['a sooner deletion that leaves what others hold', 'Happened', sooner, state(dying(['a'], '6', 5))],
    ['a sooner deletion of which only somebody else has written', 'Stands', sooner, state(dying(['a'], '6'))],
    ['a second deletion once it is gone', 'Happened', force, { kind: 'Absent' }],
    ['a finalizer that is still there', 'Stands', unhold, state(dying(['a', 'b'], '6'))],
    ['a finalizer that was taken away', 'Happened', unhold, state(dying(['b'], '6'))],
    ['the other finalizer, by somebody else', 'Stands', unhold, state(dying(['a'], '6'))],
    ['an owner that is not given yet, of what somebody marks', 'Stands', adopt, state(dying([], '6'))],
    ['an owner that was given', 'Happened', adopt, state(owned)],
    ['a creation that is there', 'Happened', born, state(set(deployment(), ['metadata', 'uid'], 'uid-new'))],
    ['a creation that is not there', 'Stands', born, { kind: 'Absent' }],
    ['a creation of that name by somebody else', 'Stands', born, state(deployment())],
    [
      'what leaves nothing to look at',
      'Admitted',
      { ...image, base: { kind: 'Request', requestUID: 'r' } },
      { kind: 'Nothing' },
    ],
  ];
  test.each(rows)('%s: %s', (_title, want, used, seen) => {
    expect(settle(used, seen)).toBe(want);
  });
});
