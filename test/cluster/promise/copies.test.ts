// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Copies, restores and deletions: whatever becomes of an approval, of its target or of their namespace, no approval is
// spent twice; also while our webhooks are away.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import type { ApprovalSpec } from '../../../src/domain/model/approval.ts';
import { withSealedCreation } from '../../../src/domain/seals/seal.ts';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import { clusterKeyring } from '../../support/control-plane/cluster-keyring.ts';
import { eventually } from '../../support/eventually.ts';
import {
  type Action,
  Actors,
  approvalsIn,
  byHand,
  configMaps,
  decisionsIn,
  effects,
  type Key,
  pathOf,
  putBack,
  tried,
} from '../../support/installation/actors.ts';
import { approvalNamedIn } from '../../support/installation/approvals.ts';
import { whileBlocked } from '../../support/installation/blocker.ts';
import { apply, type Installation, installStepup, systemNamespace } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { whileWebhooksAreAway } from '../../support/installation/webhooks-away.ts';
import { type Backup, backupOf, bare, restore } from './backup.ts';

let stepup: Installation;
let actors: Actors;
beforeAll(async () => {
  stepup = await installStepup();
  actors = new Actors(stepup);
  await createScratch();
  const changes = [{ operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], resources: ['configmaps'] }];
  await addPolicy(stepup, 'targets', changes, { grant: { binding: 'Target' } });
}, 300_000);
afterAll(() => stepup?.stop());

const inProd = (name: string, operation: Action['operation'] = 'UPDATE'): Action => ({
  operation,
  namespace: 'prod',
  name,
});

/** A second production namespace, to be deleted and made again. */
async function createScratch(): Promise<void> {
  const labels = { environment: 'production' };
  const rbac = 'rbac.authorization.k8s.io';
  await apply(stepup.cluster, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'scratch', labels } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name: 'deployer', namespace: 'scratch' },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'stepup-gated-admin' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'deployer' }],
    },
  ]);
}

async function recreateScratch(): Promise<void> {
  await actors.do('admin', 'DELETE', '/api/v1/namespaces/scratch');
  await eventually(
    'the namespace to be gone',
    async () => (await actors.send('admin', 'GET', '/api/v1/namespaces/scratch')).code === 404,
    { timeoutMs: 30_000 },
  );
  await createScratch();
}

/** Applied by hand and used once. */
async function spentByHand(action: Action): Promise<Key> {
  await putBack(actors, action);
  const key = await actors.applied('targets', action);
  expect(await tried(actors, action)).toMatchObject({ isDone: true });
  expect(await actors.uses(key)).toBe(1);
  return key;
}

/** Filed on a denial, approved by a decision and used once. */
async function spentAsFiled(action: Action): Promise<Key> {
  await putBack(actors, action);
  const key = approvalNamedIn((await tried(actors, action)).message);
  expect(await actors.approve(key)).toMatchObject({ isDone: true });
  expect(await tried(actors, action)).toMatchObject({ isDone: true });
  return key;
}

const remove = (key: Key) => actors.do('admin', 'DELETE', pathOf(key));
const patchStatus = (key: Key, status: object | null) =>
  actors.send('admin', 'PATCH', `${pathOf(key)}/status`, { status });

describe('with the webhooks in place, a spent approval', () => {
  test('that is applied as it was read, or written over, stays spent', async () => {
    const action = inProd('applied-again');
    const key = await spentByHand(action);
    const text = JSON.stringify(await actors.read(key));
    for (const args of [['apply'], ['apply', '--server-side', '--force-conflicts'], ['replace']]) {
      await stepup.kubectl('admin', [...args, '-f', '-'], { stdin: text });
    }
    for (const status of [null, {}, { phase: 'Approved' }, { phase: 'Approved', uses: [] }, { uses: null }]) {
      await patchStatus(key, status);
    }
    const { status, ...unspent } = await actors.read(key);
    const replaced = { ...unspent, status: { ...status, phase: 'Approved', uses: [], releases: [] } };
    expect(await actors.send('admin', 'PUT', `${pathOf(key)}/status`, replaced)).toMatchObject({ code: 422 });
    expect(await actors.uses(key)).toBe(1);
    expect(await effects(actors, action)).toBe(0);
  });

  test('that is deleted and restored is refused, but a new vote of its creator counts', async () => {
    const action = inProd('restored');
    const key = await spentByHand(action);
    const backup = await backupOf(actors, key);
    await remove(key);
    const { createdBy: _, origin: __, ...unsigned } = backup.approval.spec as Record<string, unknown>;
    const copies = { whole: backup.approval, bare: bare(backup.approval) };
    for (const who of ['admin', 'ada', 'grace'] as const) {
      for (const [what, copy] of Object.entries(copies)) {
        const { resourceVersion: _, ...metadata } = copy.metadata;
        const said = await actors.send(who, 'POST', approvalsIn('prod'), { ...copy, metadata });
        expect(said.message, `${what} by ${who}`).toContain('this is a copy of another approval');
      }
    }
    expect(await effects(actors, action)).toBe(0);
    const anew = { ...bare(backup.approval), spec: unsigned };
    expect(await actors.send('admin', 'POST', approvalsIn('prod'), anew)).toMatchObject({ isDone: false });
    expect(await actors.send('ada', 'POST', approvalsIn('prod'), anew)).toMatchObject({ isDone: true });
    expect(await effects(actors, action)).toBe(1);
  });

  test('goes for one incarnation of its target', async () => {
    const byName = inProd('again', 'DELETE');
    await spentByHand(byName);
    expect(await effects(actors, byName), 'another of that name').toBe(0);
    const filed = inProd('reborn', 'DELETE');
    await putBack(actors, filed);
    const key = approvalNamedIn((await tried(actors, filed)).message);
    expect(await actors.approve(key)).toMatchObject({ isDone: true });
    await actors.do('admin', 'DELETE', `${configMaps('prod')}/reborn`);
    expect(await effects(actors, filed), 'approved for one that is gone').toBe(0);
  });

  test('that was reserved for one incarnation does not serve the next', async () => {
    const action = inProd('half-done');
    await putBack(actors, action);
    const key = await actors.applied('targets', action);
    await whileBlocked(actors, { namespace: 'prod', prefix: 'half-done' }, async () => {
      expect((await tried(actors, action)).message).toContain('nobody.example.com');
      expect(await actors.uses(key)).toBe(1);
      await actors.do('admin', 'DELETE', `${configMaps('prod')}/half-done`).catch(() => undefined);
    });
    await actors.send('admin', 'DELETE', `${configMaps('prod')}/half-done`);
    expect(await effects(actors, action)).toBe(0);
  });

  test('that is deleted between its reservation and its effect serves nobody', async () => {
    const action = inProd('deleted-between');
    await putBack(actors, action);
    const key = await actors.applied('targets', action);
    const backup = await whileBlocked(actors, { namespace: 'prod', prefix: 'deleted-between' }, async () => {
      expect((await tried(actors, action)).message).toContain('nobody.example.com');
      expect(await actors.uses(key)).toBe(1);
      const found = await backupOf(actors, key);
      await remove(key);
      return found;
    });
    expect(await effects(actors, action)).toBe(0);
    expect(await restore(actors, backup)).toMatchObject({ isDone: false });
    expect(await effects(actors, action)).toBe(0);
  });

  test('is gone with its namespace, and does not come back with it', async () => {
    const action: Action = { operation: 'UPDATE', namespace: 'scratch', name: 'moved' };
    const backup = await backupOf(actors, await spentByHand(action));
    await recreateScratch();
    expect(await restore(actors, backup)).toMatchObject({ isDone: false });
    expect(await effects(actors, action)).toBe(0);
  });

  test('whose status somebody empties before it is used is used once', async () => {
    const action = inProd('emptied');
    await putBack(actors, action);
    const key = await actors.applied('targets', action);
    await actors.reached(key, 'Approved');
    expect(await patchStatus(key, null)).toMatchObject({ isDone: true });
    expect(await effects(actors, action, 3)).toBe(1);
  });
});

interface Story {
  readonly what: string;
  readonly action: Action;
  /** Before the webhooks are away. */
  readonly before: () => Promise<unknown>;
  /** While they are; the approval that people will look at. */
  readonly during: () => Promise<Key | undefined>;
  /** How many effects there may still be. */
  readonly left: 0 | 1;
  /** What the approval says of the vote that does not count. */
  readonly says?: string;
}

function stories(): readonly Story[] {
  const backups = new Map<string, Backup>();
  const backupBefore = async (action: Action, key: Key, isKept = false) => {
    backups.set(action.name, await backupOf(actors, key));
    if (!isKept) await remove(key);
  };
  const restored = async ({ name }: Action, given: Parameters<typeof restore>[2] = {}): Promise<Key> => {
    const backup = backups.get(name);
    if (backup === undefined) throw new Error(`no backup of ${name}`);
    const said = await restore(actors, backup, given);
    if (!said.isDone) throw new Error(`restore ${name}: ${said.message}`);
    const { namespace = '', name: approval } = (said.body as StepUpApproval).metadata;
    return { namespace, name: approval };
  };
  const spentBefore =
    (action: Action, isKept = false) =>
    async () =>
      backupBefore(action, await spentByHand(action), isKept);
  const gone = inProd('away-gone');
  const whole = inProd('away-whole');
  const beside = inProd('away-beside');
  const unspent = inProd('away-unspent');
  const velero = inProd('away-velero', 'DELETE');
  const filed = inProd('away-filed', 'CREATE');
  const moved: Action = { operation: 'UPDATE', namespace: 'scratch', name: 'away-moved' };
  const old = inProd('away-old');
  const fresh = inProd('away-fresh');
  const over = inProd('away-over');
  return [
    {
      what: 'of one that is gone',
      action: gone,
      before: spentBefore(gone),
      during: () => restored(gone),
      left: 0,
    },
    {
      what: 'of one that is gone, as kubectl printed it',
      action: whole,
      before: spentBefore(whole),
      during: () => restored(whole, { isWhole: true }),
      left: 0,
    },
    {
      what: 'beside the original',
      action: beside,
      before: spentBefore(beside, true),
      during: () => restored(beside, { name: 'beside' }),
      left: 0,
      says: 'it is a copy of targets-away-beside-',
    },
    {
      what: 'beside an original that is still to be used',
      action: unspent,
      before: async () => {
        await putBack(actors, unspent);
        await backupBefore(unspent, await actors.applied('targets', unspent), true);
      },
      during: () => restored(unspent, { name: 'unspent' }),
      left: 1,
      says: 'it is a copy of targets-away-unspent-',
    },
    {
      what: 'with its target, which it had deleted',
      action: velero,
      before: async () => {
        await putBack(actors, velero);
        const key = await actors.applied('targets', velero);
        backups.set(velero.name, await backupOf(actors, key));
        expect(await tried(actors, velero)).toMatchObject({ isDone: true });
        await remove(key);
      },
      during: () => restored(velero),
      left: 0,
    },
    {
      what: 'of one that was filed, with its decisions',
      action: filed,
      before: async () => backupBefore(filed, await spentAsFiled(filed)),
      during: () => restored(filed),
      left: 0,
    },
    {
      what: 'with its namespace',
      action: moved,
      before: async () => {
        await backupBefore(moved, await spentByHand(moved), true);
        await recreateScratch();
      },
      during: () => restored(moved),
      left: 0,
    },
    {
      what: 'of one that was stamped minutes ago, of which nobody knows any more',
      action: old,
      before: async () => {
        await putBack(actors, old);
        const key = await actors.applied('targets', old);
        const backup = await backupOf(actors, key);
        await remove(key);
        const { createdBy, ...spec } = backup.approval.spec as { createdBy: object };
        const stampedAt = new Date(Date.now() - 180_000).toISOString();
        // As the replica would have stamped it then: an old stamp that is not sealed counts for nothing anyway.
        const stamped = { ...spec, createdBy: { ...createdBy, stampedAt, nonce: 'old' } } as unknown as ApprovalSpec;
        const seals = await clusterKeyring(stepup.cluster.admin);
        const approval = { ...backup.approval, spec: withSealedCreation('prod', stamped, seals) } as KubeObject;
        backups.set(old.name, { ...backup, approval });
      },
      during: () => restored(old),
      left: 0,
      says: 'it is a copy of one that was stamped at ',
    },
    {
      what: 'that is none, but an approval made meanwhile',
      action: fresh,
      before: async () => {
        await putBack(actors, fresh);
        const key = await actors.applied('targets', fresh);
        backups.set(fresh.name, await backupOf(actors, key));
        await remove(key);
      },
      during: async () => {
        const { labels = {} } = backups.get(fresh.name)?.approval.metadata ?? {};
        const made = byHand('targets', fresh);
        const object = { ...made, metadata: { ...made.metadata, labels } };
        const { metadata } = await actors.do<StepUpApproval>('ada', 'POST', approvalsIn('prod'), object);
        return metadata;
      },
      left: 0,
      says: "it was created while the API server did not call stepup's webhook; create it again",
    },
    {
      what: 'written over the spent one',
      action: over,
      before: async () => {
        await backupBefore(over, await spentByHand(over), true);
      },
      during: async () => {
        const [spent] = await actors.about('prod', over.name);
        if (spent === undefined) throw new Error('it is gone');
        const stdin = JSON.stringify(backups.get(over.name)?.approval);
        await stepup.kubectl('admin', ['apply', '-f', '-'], { stdin });
        for (const status of [null, { phase: 'Approved' }, { uses: [] }]) await patchStatus(spent.metadata, status);
        return undefined;
      },
      left: 0,
    },
  ];
}

describe('a copy restored while the webhooks are away', () => {
  const told = stories();
  const looked = new Map<string, Key>();

  beforeAll(async () => {
    for (const { before } of told) await before();
    await whileWebhooksAreAway(stepup, actors, 'targets', async () => {
      for (const { what, during } of told) {
        const key = await during();
        if (key !== undefined) looked.set(what, key);
      }
    });
  }, 180_000);

  test.each(told)('$what has $left effects', async ({ what, action, left, says }) => {
    const key = looked.get(what);
    if (says !== undefined && key !== undefined) {
      const { status } = await actors.reached(key, ({ status }) => (status?.missing ?? '').includes(says));
      expect(status?.votes).toBe('0/1');
    }
    expect(await effects(actors, action, left + 1)).toBe(left);
  });

  test('has none more when all replicas have been replaced and know nothing', async () => {
    const path = `/api/v1/namespaces/${systemNamespace}/pods`;
    const pods = await stepup.cluster.admin.list(`${path}?labelSelector=app.kubernetes.io/name=stepup`);
    const uids = new Set(pods.items.map(({ metadata }) => metadata.uid));
    for (const { metadata } of pods.items) await stepup.cluster.admin.delete(`${path}/${metadata.name}`);
    await eventually(
      'new replicas to be Ready',
      async () => {
        const { items } = await stepup.cluster.admin.list(`${path}?labelSelector=app.kubernetes.io/name=stepup`);
        const isReady = (pod: unknown) => JSON.stringify(pod).includes('"type":"Ready","status":"True"');
        const others = items.filter(({ metadata }) => !uids.has(metadata.uid));
        return others.length === pods.items.length && items.length === others.length && others.every(isReady);
      },
      { timeoutMs: 60_000 },
    );
    // Those whose original has gone within a minute and a half of its stamp are what replicas have to remember.
    const forgotten = ['of one that is gone', 'of one that is gone, as kubectl printed it'];
    const kept = told.filter(({ what }) => !forgotten.includes(what) && !/target|namespace/.test(what));
    expect(kept.length).toBeGreaterThan(4);
    for (const { what, action } of kept) expect(await effects(actors, action, 1), what).toBe(0);
  });

  test('that is approved by a decision of its own passes once', async () => {
    const key = looked.get('beside the original');
    if (key === undefined) throw new Error('no copy');
    expect(await actors.approve(key, 'grace')).toMatchObject({ isDone: true });
    expect(await effects(actors, inProd('away-beside'), 3)).toBe(1);
  });

  test('that was created again with the webhooks in place passes once', async () => {
    await actors.applied('targets', inProd('away-fresh'));
    expect(await effects(actors, inProd('away-fresh'), 3)).toBe(1);
  });

  test('brings decisions that speak of nobody', async () => {
    const { items } = await actors.do<{ items: { spec: { approval: { uid: string } } }[] }>(
      'admin',
      'GET',
      decisionsIn('prod'),
    );
    const uids = new Set((await actors.about('prod', 'away-filed')).map(({ metadata }) => metadata.uid));
    expect(items.filter(({ spec }) => uids.has(spec.approval.uid))).toEqual([]);
  });
});
