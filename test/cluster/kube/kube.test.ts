// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// src/kube against a real API server: what it stores, what it refuses, and what happens when it goes away.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type ApiError, isAlreadyExists, isConflict, isNotFound } from '../../../src/kube/http/api-error.ts';
import { loadCredentials } from '../../../src/kube/http/credentials.ts';
import { RestClient } from '../../../src/kube/http/rest.ts';
import { EventRecorder, type KubeEvent } from '../../../src/kube/objects/events.ts';
import { LeaderElector, type LeaderElectorOptions, type Lease } from '../../../src/kube/objects/lease.ts';
import type { KubeObject } from '../../../src/kube/objects/objects.ts';
import { ResourceClient } from '../../../src/kube/objects/resource-client.ts';
import * as resources from '../../../src/kube/objects/resources.ts';
import { Reflector, type ReflectorOptions, type WatchEnd } from '../../../src/kube/watch/reflector.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

interface Namespace extends KubeObject {
  readonly status?: { readonly phase?: string; readonly conditions?: readonly unknown[] };
}

interface Pod extends KubeObject {
  readonly spec?: { readonly containers: readonly { readonly name: string; readonly image: string }[] };
  readonly status?: { readonly phase?: string };
}

let plane: ControlPlane;
let rest: RestClient;
let configMaps: ResourceClient<ConfigMap>;
let stop: AbortController;
let names = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  rest = new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths: [plane.adminKubeconfig] }) });
  configMaps = new ResourceClient(rest, resources.configMaps);
}, 600_000);

afterAll(async () => {
  rest?.close();
  await plane?.stop();
}, 30_000);

afterEach(() => stop?.abort());

/** A key no other test uses. */
function freshKey() {
  names += 1;
  return { namespace: 'default', name: `test-${names}` };
}

describe('credentials', () => {
  test('of a service account are read from its folder and re-read when the API server refuses them', async () => {
    await plane.kubectl(['create', 'serviceaccount', 'robot', '-n', 'default']);
    const token = (await plane.kubectl(['create', 'token', 'robot', '-n', 'default'])).stdout.trim();
    const folder = join(plane.dir, 'robot');
    await mkdir(folder);
    await writeFile(join(folder, 'ca.crt'), plane.ca);
    await writeFile(join(folder, 'namespace'), 'default');
    await writeFile(join(folder, 'token'), 'old');
    const { hostname: host, port } = new URL(plane.server);
    const credentials = await loadCredentials({ kind: 'inCluster', host, port, folder });
    expect(credentials.namespace).toBe('default');
    const robot = new RestClient({ credentials });
    const reviews = new ResourceClient<KubeObject & { status: { userInfo: { username: string } } }>(
      robot,
      resources.selfSubjectReviews,
    );
    await expect(reviews.create({ metadata: {} })).rejects.toMatchObject({ status: 401 });
    await writeFile(join(folder, 'token'), `${token}\n`);
    const { status } = await reviews.create({ metadata: {} });
    expect(status.userInfo.username).toBe('system:serviceaccount:default:robot');
    robot.close();
  });
});

describe('resource client', () => {
  test('creates, reads, replaces and deletes; unknown fields and types survive', async () => {
    const key = freshKey();
    const created = await configMaps.create({ metadata: key, data: { a: '1' } });
    expect(created).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', metadata: key, data: { a: '1' } });
    expect(await configMaps.get(key)).toEqual(created);
    const replaced = await configMaps.replace({ ...created, data: { a: '2' } });
    expect(replaced.data).toEqual({ a: '2' });
    await configMaps.delete(key, { preconditions: { uid: created.metadata.uid } });
    const error = await configMaps.get(key).catch((reason: ApiError) => reason);
    expect(isNotFound(error)).toBe(true);
    expect((error as ApiError).message).toBe(
      `get configmaps default/${key.name}: 404 NotFound: configmaps "${key.name}" not found`,
    );
  });

  test('a name that is taken and a version that is old are refused, each in its own way', async () => {
    const key = freshKey();
    const first = await configMaps.create({ metadata: key });
    expect(isAlreadyExists(await configMaps.create({ metadata: key }).catch((reason) => reason))).toBe(true);
    await configMaps.replace({ ...first, data: { a: '1' } });
    const stale = await configMaps.replace({ ...first, data: { a: '2' } }).catch((reason) => reason);
    expect([isConflict(stale), isAlreadyExists(stale)]).toEqual([true, false]);
    const { resourceVersion } = first.metadata;
    const old = await configMaps.delete(key, { preconditions: { resourceVersion } }).catch((reason) => reason);
    expect(isConflict(old)).toBe(true);
    const unknown = { ...first, metadata: { ...first.metadata, resourceVersion: '' } };
    await expect(configMaps.replace(unknown)).rejects.toMatchObject({ status: 400 });
    expect((await configMaps.get(key)).data).toEqual({ a: '1' });
  });

  test('status is written alone, and only over the version that was read', async () => {
    const client = new ResourceClient<Namespace>(rest, resources.namespaces);
    const { name } = freshKey();
    const created = await client.create({ metadata: { name } });
    const condition = { type: 'Test', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' };
    const changed = { ...created, metadata: { ...created.metadata, labels: { ignored: 'yes' } } };
    const written = await client.replaceStatus({ ...changed, status: { ...created.status, conditions: [condition] } });
    expect(written.status?.conditions).toMatchObject([condition]);
    const stale = await client.replaceStatus({ ...created, status: {} }).catch((reason) => reason);
    expect(isConflict(stale)).toBe(true);
  });

  test('applying takes over fields only when told to, and a dry run stores nothing', async () => {
    const key = freshKey();
    await configMaps.apply({ metadata: key, data: { a: '1' } }, { fieldManager: 'one' });
    const theirs = { metadata: key, data: { a: '2' } };
    expect(isConflict(await configMaps.apply(theirs, { fieldManager: 'two' }).catch((reason) => reason))).toBe(true);
    const dry = await configMaps.apply(theirs, { fieldManager: 'two', force: true, dryRun: true });
    expect([dry.data, (await configMaps.get(key)).data]).toEqual([{ a: '2' }, { a: '1' }]);
    await configMaps.apply(theirs, { fieldManager: 'two', force: true });
    expect((await configMaps.get(key)).data).toEqual({ a: '2' });
  });

  test('a merge patch changes what it names, under a version when it names one', async () => {
    const key = freshKey();
    const created = await configMaps.create({ metadata: key, data: { a: '1', b: '1' } });
    expect((await configMaps.mergePatch(key, { data: { a: null, c: '1' } })).data).toEqual({ b: '1', c: '1' });
    const { resourceVersion } = created.metadata;
    const stale = await configMaps.mergePatch(key, { metadata: { resourceVersion } }).catch((reason) => reason);
    expect(isConflict(stale)).toBe(true);
  });

  test('a list follows its pages, in one namespace or all, with kinds filled in', async () => {
    const labels = { list: `l${freshKey().name}` };
    const keys = Array.from({ length: 7 }, freshKey);
    for (const key of keys) {
      await configMaps.create({ metadata: { ...key, labels } });
    }
    const labelSelector = `list=${labels.list}`;
    for (const namespace of [{ namespace: 'default' }, {}]) {
      const list = await configMaps.list({ ...namespace, labelSelector, limit: 3 });
      expect(list.items.map(({ metadata }) => metadata.name).sort()).toEqual(keys.map(({ name }) => name).sort());
      expect(list.items.every(({ kind, apiVersion }) => kind === 'ConfigMap' && apiVersion === 'v1')).toBe(true);
    }
    expect((await configMaps.list({ namespace: 'kube-public', labelSelector })).items).toEqual([]);
  });
});

/** A running reflector over config maps with one label value, and what it has seen. */
function reflect(labelSelector: string, options: Partial<ReflectorOptions<ConfigMap>> = {}) {
  const seen: string[] = [];
  const ends: WatchEnd[] = [];
  const errors: unknown[] = [];
  stop = new AbortController();
  const reflector = new Reflector<ConfigMap>({
    source: configMaps,
    labelSelector,
    namespace: 'default',
    onError: (error) => errors.push(error),
    observer: { watchClosed: (end) => ends.push(end) },
    ...options,
  });
  reflector.onChange(({ type, object }) => seen.push(`${type} ${object.data?.v}`));
  const running = reflector.run(stop.signal);
  return { reflector, seen, ends, errors, running };
}

describe('reflector', () => {
  const waiting = { timeout: 20_000, interval: 20 };

  test('sees what is there, what is added, changed and deleted', async () => {
    const labels = { reflect: 'changes' };
    const old = await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: 'old' } });
    const { reflector, seen, running } = reflect('reflect=changes');
    await reflector.synced;
    expect(seen).toEqual(['set old']);
    const added = await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: 'new' } });
    await configMaps.replace({ ...added, data: { v: 'changed' } });
    await configMaps.delete(old.metadata);
    await vi.waitFor(() => expect(seen).toHaveLength(4), waiting);
    expect(seen).toEqual(['set old', 'set new', 'set changed', 'delete old']);
    expect([...reflector.objects.values()].map(({ data }) => data)).toEqual([{ v: 'changed' }]);
    stop.abort();
    await running;
  });

  test('an object that leaves a selector is deleted, shown as it was when it last matched', async () => {
    const { reflector, seen } = reflect('reflect=leaves');
    await reflector.synced;
    const key = freshKey();
    await configMaps.create({ metadata: { ...key, labels: { reflect: 'leaves' } }, data: { v: 'in' } });
    await configMaps.mergePatch(key, { metadata: { labels: { reflect: 'left' } }, data: { v: 'out' } });
    await vi.waitFor(() => expect(seen).toEqual(['set in', 'delete in']), waiting);
  });

  test('a field selector selects one object', async () => {
    const key = freshKey();
    const { reflector, seen } = reflect('reflect=field', { fieldSelector: `metadata.name=${key.name}` });
    await reflector.synced;
    const labels = { reflect: 'field' };
    await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: 'other' } });
    await configMaps.create({ metadata: { ...key, labels }, data: { v: 'mine' } });
    await vi.waitFor(() => expect(seen).toEqual(['set mine']), waiting);
  });

  test('an object whose status leaves a field selector is deleted, and its old status is shown', async () => {
    await vi.waitFor(
      async () => expect((await plane.kubectl(['get', 'serviceaccount', 'default'])).stdout).toContain('default'),
      waiting,
    );
    const pods = new ResourceClient<Pod>(rest, resources.pods);
    const seen: (string | undefined)[][] = [];
    const fieldSelector = 'status.phase=Pending';
    stop = new AbortController();
    const reflector = new Reflector({ source: pods, namespace: 'default', fieldSelector });
    reflector.onChange(({ type, object }) => seen.push([type, object.status?.phase, object.metadata.resourceVersion]));
    void reflector.run(stop.signal);
    await reflector.synced;
    const created = await pods.create({
      metadata: freshKey(),
      spec: { containers: [{ name: 'main', image: 'none.invalid/none' }] },
    });
    const running = await pods.replaceStatus({ ...created, status: { ...created.status, phase: 'Running' } });
    await vi.waitFor(() => expect(seen).toHaveLength(2), waiting);
    expect(seen).toEqual([
      ['set', 'Pending', created.metadata.resourceVersion],
      ['delete', 'Pending', running.metadata.resourceVersion],
    ]);
  }, 30_000);

  test('survives a restart of the API server without losing or repeating anything', async () => {
    const labels = { reflect: 'restart' };
    await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: '1' } });
    const { reflector, seen, ends } = reflect('reflect=restart');
    await reflector.synced;
    await plane.apiServers[0]?.restart();
    await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: '2' } });
    await vi.waitFor(() => expect(seen).toEqual(['set 1', 'set 2']), waiting);
    expect(ends.length).toBeGreaterThan(0);
  }, 60_000);

  test('notices that the API server is frozen, and goes on when it is back', async () => {
    const labels = { reflect: 'frozen' };
    const { reflector, seen, ends } = reflect('reflect=frozen', { silenceMs: 1_000 });
    await reflector.synced;
    plane.apiServers[0]?.pause();
    await vi.waitFor(() => expect(ends).toContain('silent'), waiting);
    const frozen = await configMaps.get(freshKey(), { deadlineMs: 300 }).catch((reason: ApiError) => reason);
    expect((frozen as ApiError).kind).toBe('deadline');
    plane.apiServers[0]?.resume();
    await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: '1' } });
    await vi.waitFor(() => expect(seen).toEqual(['set 1']), waiting);
  }, 60_000);

  test('lists again when what it missed is no longer kept, and reports what was deleted meanwhile', async () => {
    const labels = { reflect: 'gone' };
    const first = await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: '1' } });
    let gone = false;
    const { reflector, seen, ends } = reflect('reflect=gone', {
      source: {
        page: (options) => configMaps.page(options),
        // Once a version from before everything: the API server answers with a real 410.
        watch: (options) => {
          const resourceVersion = gone ? options.resourceVersion : '1';
          gone = true;
          return configMaps.watch({ ...options, resourceVersion });
        },
      },
    });
    await reflector.synced;
    await configMaps.delete(first.metadata);
    await configMaps.create({ metadata: { ...freshKey(), labels }, data: { v: '2' } });
    await vi.waitFor(() => expect(seen).toEqual(['set 1', 'delete 1', 'set 2']), waiting);
    expect(ends).toEqual(['gone']);
  }, 60_000);
});

describe('leader election', () => {
  const timing = { leaseDurationSeconds: 3, renewDeadlineMs: 2_000, retryPeriodMs: 200 };
  const errors: unknown[] = [];

  /** An elector that leads until it is told to stop, and notes when. */
  function candidate(
    lease: { namespace: string; name: string },
    identity: string,
    log: string[],
    leases: LeaderElectorOptions['leases'] = new ResourceClient<Lease>(rest, resources.leases),
  ) {
    const controller = new AbortController();
    const elector = new LeaderElector({
      leases,
      lease,
      identity,
      ...timing,
      onError: (error) => errors.push(error),
    });
    const running = elector.run(controller.signal, async (signal) => {
      log.push(`${identity} leads`);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      log.push(`${identity} stops`);
    });
    return { elector, running, stop: () => controller.abort() };
  }

  test('of two one leads; when it is told to stop, the other leads at once', async () => {
    const lease = freshKey();
    const log: string[] = [];
    const one = candidate(lease, 'one', log);
    await vi.waitFor(() => expect(log).toEqual(['one leads']), { timeout: 5_000, interval: 10 });
    const two = candidate(lease, 'two', log);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(log).toEqual(['one leads']);
    expect([one.elector.isLeader, two.elector.isLeader, two.elector.holder]).toEqual([true, false, 'one']);
    const stoppedAtMs = performance.now();
    one.stop();
    await one.running;
    await vi.waitFor(() => expect(log).toEqual(['one leads', 'one stops', 'two leads']), {
      timeout: 5_000,
      interval: 10,
    });
    expect(performance.now() - stoppedAtMs).toBeLessThan(1_500);
    two.stop();
    await two.running;
    const { spec } = await new ResourceClient<Lease>(rest, resources.leases).get(lease);
    expect(spec).toMatchObject({ leaseDurationSeconds: 1, leaseTransitions: 1 });
    expect(spec?.holderIdentity ?? '').toBe('');
    expect(spec?.renewTime).toMatch(/\.\d{6}Z$/);
    expect(errors).toEqual([]);
  }, 30_000);

  test('a leader that is cut off stops before the other leads', async () => {
    const lease = freshKey();
    const log: string[] = [];
    const reachable = new ResourceClient<Lease>(rest, resources.leases);
    let cutOff = false;
    const one = candidate(lease, 'one', log, {
      get: (key, options) => reachable.get(key, options),
      create: (object, options) => reachable.create(object, options),
      replace: (object, options) => (cutOff ? new Promise(() => {}) : reachable.replace(object, options)),
    });
    await vi.waitFor(() => expect(log).toEqual(['one leads']), { timeout: 5_000, interval: 10 });
    const two = candidate(lease, 'two', log);
    cutOff = true;
    await vi.waitFor(() => expect(log).toContain('two leads'), { timeout: 15_000, interval: 10 });
    expect(log).toEqual(['one leads', 'one stops', 'two leads']);
    one.stop();
    two.stop();
    await two.running;
  }, 30_000);
});

describe('events', () => {
  test('are shown by kubectl, once however often they are emitted, also about cluster-scoped objects', async () => {
    const failures: unknown[] = [];
    const recorder = new EventRecorder({
      events: new ResourceClient<KubeEvent>(rest, resources.events),
      controller: 'stepup.dev/operator',
      instance: 'stepup-0',
      onError: (error) => failures.push(error),
    });
    const map = await configMaps.create({ metadata: freshKey() });
    const regarding = { apiVersion: map.apiVersion, kind: map.kind, ...freshReference(map) };
    const approved = { type: 'Normal', action: 'Approve', reason: 'Approved', note: 'approved by alice' } as const;
    recorder.emit({ regarding, ...approved });
    recorder.emit({ regarding, ...approved });
    recorder.emit({ regarding, ...approved, type: 'Warning', note: `é${'x'.repeat(2_000)}` });
    recorder.emit({ regarding: { apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpPolicy', name: 'p' }, ...approved });
    await vi.waitFor(() => expect(recorder.counts.written + recorder.counts.failed).toBe(3));
    expect(failures).toEqual([]);
    const shown = async (name: string) =>
      (await plane.kubectl(['get', 'events', '-n', 'default', '--field-selector', `involvedObject.name=${name}`]))
        .stdout;
    const aboutMap = await shown(map.metadata.name);
    expect(aboutMap.match(/configmap\/test-\d+/g)).toHaveLength(2);
    expect(aboutMap).toContain('approved by alice');
    expect(await shown('p')).toContain('stepuppolicy/p');
  });
});

function freshReference({ metadata: { namespace = '', name, uid } }: KubeObject) {
  return { namespace, name, uid };
}
