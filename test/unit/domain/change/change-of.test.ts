// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which requests are the same change, which are not, and which are none.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameBase } from '../../../../src/domain/lifecycle/reservation.ts';
import type { Action } from '../../../../src/domain/model/policy.ts';
import type { AdmissionRequest } from '../../../../src/domain/model/request.ts';
import { digestOf } from '../../../../src/lib/digest.ts';
import { type Json, type JsonObject, joined, sameJson, without } from '../../../../src/lib/json.ts';
import {
  attempt,
  change,
  context,
  creation,
  deletion,
  deployment,
  deploys,
  policy,
  privileged,
  request,
  rowsFor,
  set,
} from '../../../support/builders/domain.ts';

const anything: Action = {
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  apiGroups: ['example.dev'],
  resources: ['things'],
};
const restartedAt = ['spec', 'template', 'metadata', 'annotations', 'kubectl.kubernetes.io/restartedAt'];
const restart = (when: string, image = 'web:1') => request({ object: set(deployment(image, 2), restartedAt, when) });
const meta = (object: JsonObject, key: string, value: Json) => set(object, ['metadata', key], value);
const thing = (members: JsonObject): JsonObject => ({
  metadata: { name: 'x', uid: 'uid-x', resourceVersion: '5' },
  ...members,
});
const things = (from: JsonObject, to: JsonObject) =>
  request({ group: 'example.dev', resource: 'things', oldObject: thing(from), object: thing(to) });
const generated = (prefix: string, name: string) =>
  creation({ metadata: { generateName: prefix, name, uid: 'u' }, spec: {} }, { name: '' });
const podWith = (volume: string, secret = 'db') =>
  creation(
    {
      metadata: { name: 'p', uid: 'u' },
      spec: {
        volumes: [
          { name: volume, projected: {} },
          { name: 'own', secret: { secretName: secret } },
        ],
        containers: [
          { name: 'c', volumeMounts: [{ name: volume, mountPath: '/t' }], envFrom: [{ secretRef: { name: secret } }] },
        ],
      },
    },
    { group: '', kind: 'Pod', resource: 'pods', name: 'p' },
  );
const job = (uid: string, name = 'j', more: JsonObject = {}) => {
  const labels = {
    'controller-uid': uid,
    'batch.kubernetes.io/controller-uid': uid,
    'job-name': name,
    app: 'a',
    ...more,
  };
  const spec = {
    selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } },
    template: { metadata: { labels } },
  };
  return creation({ metadata: { name, uid, labels }, spec }, { group: 'batch', kind: 'Job', resource: 'jobs', name });
};
const service = (spec: JsonObject) =>
  creation(
    { metadata: { name: 's', uid: 'u' }, spec },
    { group: '', kind: 'Service', resource: 'services', name: 's' },
  );
const remove = (options: JsonObject, more: Partial<AdmissionRequest> = {}) =>
  deletion(deployment(), { options, ...more });
const jobs = { group: 'batch', resource: 'jobs' };

type Pair = readonly [string, AdmissionRequest, AdmissionRequest, Action?];

describe('the same change', () => {
  const rows: readonly Pair[] = [
    ['two restarts', restart('10:00'), restart('11:00')],
    [
      'an image, whoever changed the replicas',
      request(),
      request({
        oldObject: set(deployment('web:1', 4), ['spec', 'replicas'], 9),
        object: set(deployment('web:2', 5), ['spec', 'replicas'], 9),
      }),
    ],
    [
      'an image with labels that nobody governs',
      request(),
      request({ object: meta(deployment('web:2', 2), 'labels', { a: 'b' }) }),
    ],
    ['a generated name', generated('x-', 'x-bcdf2'), generated('x-', 'x-zzz99')],
    [
      'a generated name that was cut',
      generated('y'.repeat(70), `${'y'.repeat(58)}bcdf2`),
      generated('y'.repeat(70), `${'y'.repeat(58)}zzz99`),
    ],
    ['a Pod with another token volume', podWith('kube-api-access-aaaaa'), podWith('kube-api-access-bbbbb')],
    ['a Job with another UID', job('uid-1'), job('uid-2')],
    [
      'a Service with other allocations',
      service({ clusterIP: '10.0.0.1', ports: [{ port: 1, nodePort: 30001 }] }),
      service({ clusterIP: '10.0.0.2', ports: [{ port: 1, nodePort: 30002 }] }),
    ],
    ['a deletion with a longer grace period', remove({}), remove({ gracePeriodSeconds: 60 })],
    ['a deletion in the background, asked for or by default', remove({}), remove({ propagationPolicy: 'Background' })],
    [
      'a Job deletion that orphans, asked for or by default',
      remove({}, jobs),
      remove({ propagationPolicy: 'Orphan' }, jobs),
    ],
    [
      'an update beside a status that moves',
      things({ spec: 1, status: 1 }, { spec: 2, status: 1 }),
      things({ spec: 1, status: 2 }, { spec: 2, status: 2 }),
      anything,
    ],
  ];
  for (const [title, one, other, action = deploys] of rows) {
    test(title, () => {
      expect(privileged(other, action).digest).toBe(privileged(one, action).digest);
    });
  }
});

describe('another change', () => {
  const rows: readonly Pair[] = [
    ['another image', request(), request({ object: deployment('web:3', 2) })],
    ['a restart with another image', restart('10:00'), restart('10:00', 'web:2')],
    [
      'a restart and the same content as a change',
      restart('10:00'),
      request({ oldObject: deployment('web:0', 1), object: deployment('web:1', 2) }),
    ],
    [
      'an image with other replicas',
      request(),
      request({ object: set(deployment('web:2', 2), ['spec', 'replicas'], 9) }),
    ],
    [
      'replicas absent, and null',
      request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], undefined) }),
      request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], null) }),
    ],
    [
      'integers that are one double',
      request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], 9007199254740993n) }),
      request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], 9007199254740992n) }),
    ],
    [
      'an integer, and its digits as text',
      request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], 9007199254740993n) }),
      request({ object: set(deployment('web:1', 2), ['spec', 'replicas'], '9007199254740993') }),
    ],
    ['a name of choice with a generateName', generated('x-', 'x-bcdf2'), generated('x-', 'kube-proxy')],
    ['a name of choice that starts like it', generated('x-', 'x-bcdf2'), generated('x-', 'x-bcdf2-more')],
    [
      'a Pod with another Secret, named like a token volume',
      podWith('kube-api-access-aaaaa', 'kube-api-access-ccccc'),
      podWith('kube-api-access-aaaaa', 'kube-api-access-ddddd'),
    ],
    ['a Job with another label', job('uid-1'), job('uid-1', 'j', { app: 'b' })],
    [
      'a Job with another name as a label',
      job('uid-1'),
      job('uid-1', 'j', { 'batch.kubernetes.io/job-name': 'other' }),
    ],
    ['a headless Service', service({ clusterIP: 'None' }), service({ clusterIP: '10.0.0.1' })],
    ['a Service of another port', service({ ports: [{ port: 1 }] }), service({ ports: [{ port: 2 }] })],
    ['a deletion that orphans', remove({}), remove({ orphanDependents: true })],
    ['a deletion that waits for dependents', remove({}), remove({ propagationPolicy: 'Foreground' })],
    ['a deletion at once', remove({}), remove({ gracePeriodSeconds: 0 })],
    ['a Job deletion with its pods', remove({}, jobs), remove({ propagationPolicy: 'Background' }, jobs)],
    ['the deletion of the next incarnation', remove({}), deletion(meta(deployment(), 'uid', 'uid-2'))],
    [
      'an update that removes the status',
      things({ spec: 1, status: 1 }, { spec: 2, status: 1 }),
      things({ spec: 1, status: 1 }, { spec: 2 }),
      anything,
    ],
    [
      'an ignored member taken away with its parent, and its parent emptied',
      things({ a: { b: 1 } }, { a: {} }),
      things({ a: { b: 1 } }, {}),
      { ...anything, digestIgnore: ['/a/b/c'] },
    ],
  ];
  for (const [title, one, other, action = deploys] of rows) {
    test(title, () => {
      expect(privileged(other, action).digest).not.toBe(privileged(one, action).digest);
    });
  }

  test('a generated name is asked for by its prefix, a name of choice by itself', () => {
    const names = [generated('x-', 'x-bcdf2'), generated('x-', 'kube-proxy')].map(
      (asked) => attempt(asked).action.name,
    );
    expect(names).toEqual(['x-*', 'kube-proxy']);
  });
  test('annotations of a Binding bind, since they go to its pod', () => {
    const pods: Action = { operations: ['CREATE'], apiGroups: [''], resources: ['pods/binding'] };
    const bind = (annotations: JsonObject) =>
      creation(
        { metadata: { name: 'p', annotations }, target: { name: 'n' } },
        { group: '', resource: 'pods', subresource: 'binding', name: 'p' },
      );
    expect(privileged(bind({ a: '1' }), pods).digest).not.toBe(privileged(bind({ a: '2' }), pods).digest);
  });
});

describe('no change at all', () => {
  const dying = (members: JsonObject): JsonObject => ({
    ...deployment(),
    metadata: { name: 'web', uid: 'uid-web', deletionTimestamp: 't', ...members },
  });
  const update = (from: JsonObject, to: JsonObject): AdmissionRequest => request({ oldObject: from, object: to });
  const all: Action = { ...deploys };
  const whole = { operations: deploys.operations, apiGroups: deploys.apiGroups, resources: deploys.resources };
  const grace = dying({ deletionGracePeriodSeconds: 30 });
  const rows: readonly (readonly [string, string, AdmissionRequest, Action])[] = [
    ['the same object again', 'NoChange', update(deployment(), deployment()), whole],
    ['managedFields alone', 'NoChange', update(deployment(), meta(deployment(), 'managedFields', [1])), whole],
    ['labels outside fields', 'OutsideFields', update(deployment(), meta(deployment(), 'labels', { a: 'b' })), all],
    ['labels without fields', 'privileged', update(deployment(), meta(deployment(), 'labels', { a: 'b' })), whole],
    ['an ignored member', 'privileged', restart('10:00'), all],
    [
      'an item of a list that a pointer tries to name',
      'privileged',
      request(),
      { ...deploys, fields: ['/spec/template/spec/containers/0/image'] },
    ],
    ['the same deletion again', 'AlreadyDeleting', deletion(grace), all],
    [
      'the same deletion with more grace',
      'AlreadyDeleting',
      deletion(grace, { options: { gracePeriodSeconds: 31 } }),
      all,
    ],
    ['the same deletion with less grace', 'privileged', deletion(grace, { options: { gracePeriodSeconds: 29 } }), all],
    ['the same deletion at once', 'privileged', deletion(grace, { options: { gracePeriodSeconds: 0 } }), all],
    [
      'the same deletion with other propagation',
      'privileged',
      deletion(grace, { options: { propagationPolicy: 'Orphan' } }),
      all,
    ],
    [
      'a finalizer of a dying object',
      'AlreadyDeleting',
      update(dying({ finalizers: ['a', 'b'] }), dying({ finalizers: ['b'] })),
      whole,
    ],
    [
      'a finalizer of a dying object with a label',
      'privileged',
      update(dying({ finalizers: ['a'] }), dying({ labels: { x: 'y' } })),
      whole,
    ],
    [
      'a finalizer of a living object',
      'privileged',
      update(meta(deployment(), 'finalizers', ['a']), deployment()),
      whole,
    ],
    ['another spec of a dying object', 'privileged', update(dying({}), set(dying({}), ['spec', 'replicas'], 0)), all],
  ];
  test.each(rows)('%s: %s', (_, want, asked, action) => {
    const found = change(asked, action);
    expect(typeof found === 'string' ? found : 'privileged').toBe(want);
  });
});

describe('deletion by an update', () => {
  const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: 'uid-owner' };
  const owned = (...owners: JsonObject[]) => meta(deployment(), 'ownerReferences', owners);
  const rows: readonly (readonly [string, boolean, JsonObject, JsonObject])[] = [
    ['an owner more', true, owned(), owned(owner)],
    ['an owner under a name that does not exist', true, owned(owner), owned({ ...owner, name: 'gone' })],
    ['an owner of a kind that does not exist', true, owned(owner), owned({ ...owner, kind: 'Gone' })],
    ['the same owner, blocking', false, owned(owner), owned({ ...owner, blockOwnerDeletion: true })],
    ['an owner less', false, owned(owner), owned()],
  ];
  test.each(rows)('%s: %s', (_, want, oldObject, object) => {
    const deletes = policy({ actions: [{ ...deploys, operations: ['DELETE'] }] });
    const [row] = rowsFor(deletes, request({ oldObject, object }));
    if (row === undefined) throw new Error('no row');
    expect(row.shape).toBe('DeletionByUpdate');
    const isDeletion = attemptOrNone(request({ oldObject, object }), deletes) === 'DELETE';
    expect(isDeletion).toBe(want);
  });
  function attemptOrNone(asked: AdmissionRequest, under: ReturnType<typeof policy>): string {
    try {
      return attempt(asked, under).action.operation;
    } catch {
      return 'none';
    }
  }
});

describe('an eviction', () => {
  test('is the deletion of its pod', () => {
    const pods = policy({ actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['pods'] }] });
    const pod: JsonObject = { metadata: { name: 'p', uid: 'uid-p', resourceVersion: '7' } };
    const core = { group: '', kind: 'Pod', resource: 'pods', name: 'p' };
    const evict = creation({ metadata: { name: 'p' } }, { ...core, kind: 'Eviction', subresource: 'eviction' });
    const { requestUID: _, ...evicted } = attempt(evict, pods, { ...context, live: pod });
    const { requestUID: __, ...deleted } = attempt(deletion(pod, core), pods);
    expect(evicted).toEqual(deleted);
  });
});

describe('digests', () => {
  const json = fc.jsonValue({ maxDepth: 4 }).map((value): Json => JSON.parse(JSON.stringify(value)));
  const reversed = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([key, member]) => [key, reversed(member ?? null)]),
    );
  };
  const noise = fc.record({
    managedFields: json,
    resourceVersion: json,
    generation: fc.nat(),
    creationTimestamp: json,
    selfLink: json,
  });

  test('never depend on the order of keys', () => {
    fc.assert(fc.property(json, (value) => digestOf(reversed(value)) === digestOf(value)));
  });
  test('tell keys apart that JavaScript gives a meaning', () => {
    const texts = [
      '{}',
      '{"__proto__":1}',
      '{"toJSON":1}',
      '{"constructor":1}',
      '[]',
      '[null]',
      'null',
      '{"a":null}',
      '""',
    ];
    expect(new Set(texts.map((text) => digestOf(JSON.parse(text)))).size).toBe(texts.length);
  });
  test('never depend on noise', () => {
    fc.assert(
      fc.property(noise, fc.string(), (added, applied) => {
        const annotations = {
          'kubectl.kubernetes.io/last-applied-configuration': applied,
          'stepup.dev/reason': applied,
        };
        const noisy = creation({
          ...deployment(),
          metadata: { name: 'web', namespace: 'prod', uid: 'u', annotations, ...added },
        });
        return privileged(noisy).digest === privileged(creation(deployment())).digest;
      }),
    );
  });
  test('differ where governed values differ, beyond 2^53 too', () => {
    const value = fc.oneof(
      json,
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }).map(String),
    );
    const text = (one: Json): string => (typeof one === 'bigint' ? `${one}n` : JSON.stringify(reversed(one)));
    const asked = (one: Json) => privileged(creation({ metadata: { uid: 'u' }, data: { one } })).digest;
    fc.assert(fc.property(value, value, (a, b) => (asked(a) === asked(b)) === (text(sorted(a)) === text(sorted(b)))));
  });
  function sorted(value: Json): Json {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== 'object' || value === null) return value;
    const members = Object.entries(value).map(([key, member]) => [key, sorted(member ?? null)] as const);
    return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
});

describe('what is left out of an object', () => {
  const key = fc.constantFrom('a', 'b', 'c', '__proto__');
  const pointer = fc.array(key, { minLength: 1, maxLength: 3 }).map((tokens) => `/${tokens.join('/')}`);
  const pointers = fc.array(pointer, { maxLength: 3 });
  const { tree } = fc.letrec<{ tree: Json }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<Json>(1, 'x', null),
      fc.array(tie('tree'), { maxLength: 2 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 3 }),
    ),
  }));

  test('is the same left out at once or in two steps, in either order', () => {
    fc.assert(
      fc.property(tree, pointers, pointers, (value, some, more) => {
        const atOnce = without(value, joined(some, more));
        expect(sameJson(atOnce, without(without(value, some), more))).toBe(true);
        expect(sameJson(atOnce, without(without(value, more), some))).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is one list for the same two lists, and another for others', () => {
    const [some, more, others] = [['/a'], ['/b'], ['/c']];
    expect(joined(some, more)).toEqual(['/a', '/b']);
    expect(joined(some, more)).toBe(joined(some, more));
    expect(joined(some, others)).toEqual(['/a', '/c']);
    expect([joined([], more), joined(some, [])]).toEqual([more, some]);
  });
});

describe('one attempt key and one base', () => {
  test('have one effect', () => {
    const images = fc.constantFrom('web:1', 'web:2');
    const side = fc.record({
      image: images,
      replicas: fc.constantFrom(1, 2),
      label: fc.constantFrom('a', 'b'),
      when: fc.constantFrom('10', '11'),
    });
    const object = (of: { image: string; replicas: number; label: string; when: string }, generation: number) =>
      meta(
        set(set(deployment(of.image, generation), ['spec', 'replicas'], of.replicas), restartedAt, of.when),
        'labels',
        { l: of.label },
      );
    const whole = { operations: deploys.operations, apiGroups: deploys.apiGroups, resources: deploys.resources };
    const actions = fc.constantFrom<Action>(deploys, whole, { ...whole, digestIgnore: deploys.digestIgnore ?? [] });
    fc.assert(
      fc.property(actions, side, side, side, (action, from, one, other) => {
        const under = policy({ actions: [{ ...action, operations: ['UPDATE'] }] });
        const keys = [one, other].flatMap((to) => {
          const asked = request({ oldObject: object(from, 1), object: object(to, 2) });
          return typeof change(asked, action) === 'string' ? [] : [attempt(asked, under)];
        });
        const [a, b] = keys;
        if (a === undefined || b === undefined || a.attemptKey !== b.attemptKey) return;
        if (!isSameBase(a.change.base, b.change.base)) return;
        expect(a.change.effect?.after).toBe(b.change.effect?.after);
      }),
      { numRuns: 500 },
    );
  });
});
