// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Stamping over real HTTPS: what is written on approvals and decisions that people create, and what is not let in.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpApproval } from '../../../../src/api/kinds.ts';
import type { KubeObject } from '../../../../src/kube/objects/kube-object.ts';
import { deployer, ownNamespace, ownUsername, review } from '../../../support/builders/reviews.ts';
import { status, uncertain } from '../../../support/fakes/fake-kinds.ts';
import type { Response } from '../../../support/fakes/webhook-client.ts';
import { counted, type Harness, startWebhook } from '../../../support/fakes/webhook-harness.ts';
import { sealedApproval } from '../../../support/fakes/webhook-seals.ts';

let webhook: Harness;
beforeAll(async () => {
  webhook = await startWebhook();
  const actions = [{ operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] }] as const;
  webhook.policy('targets', { actions, grant: { binding: 'Target', ttlSeconds: 600 } });
  webhook.policy('contents');
  webhook.policy('two', {
    actions,
    grant: { binding: 'Target' },
    approval: {
      require: [
        {
          name: 'a',
          count: 2,
          approvers: { groups: ['approvers'], serviceAccounts: [{ namespace: 'bots', name: 'delegate' }] },
        },
      ],
    },
    subjects: { exclude: [{ kind: 'Group', name: 'exempt' }] },
  });
});
beforeEach(() => {
  webhook.approvals.before = () => undefined;
});
afterAll(() => webhook.stop());

const ada = { username: 'ada', uid: 'u-ada', groups: ['approvers', 'staff', 'exempt'] };
const resourceOf = (resource: string, kind: string) => ({
  kind: { group: 'stepup.dev', version: 'v1alpha1', kind },
  resource: { group: 'stepup.dev', version: 'v1alpha1', resource },
});
const digest = `sha256:${'a'.repeat(64)}`;

const byHand = (spec: object = {}) => ({
  policy: { name: 'targets' },
  requester: { username: deployer },
  action: { operation: 'DELETE', version: 'v1', resource: 'secrets', namespace: 'prod', name: 'db' },
  ...spec,
});

/** The creation of an approval by ada in prod. */
const approval = (over: { spec?: object; object?: object; review?: object } = {}) =>
  review({
    ...resourceOf('stepupapprovals', 'StepUpApproval'),
    name: '',
    userInfo: ada,
    object: { metadata: { name: 'x', namespace: 'prod' }, spec: byHand(over.spec), ...over.object },
    ...over.review,
  });

interface Patched {
  readonly '/spec': Readonly<Record<string, unknown>> & {
    readonly createdBy: Record<'stampedAt' | 'nonce' | 'seal', string>;
  };
  readonly [path: string]: unknown;
}
function patched(answer: Response): Patched {
  expect(answer.status).toBeUndefined();
  const operations = JSON.parse(Buffer.from(answer.patch ?? '', 'base64').toString()) as {
    op: string;
    path: string;
    value: unknown;
  }[];
  return Object.fromEntries(operations.map(({ path, value }) => [path, value])) as unknown as Patched;
}

describe('an approval applied by an approver', () => {
  test('is stamped whole', async () => {
    const labels = { team: 'db', 'stepup.dev/target': 'forged' };
    const extra = {
      'authentication.kubernetes.io/credential-id': ['JTI=1'],
      'example.com/secret': ['never stored'],
    };
    const answer = await webhook.stamp(
      approval({
        spec: { reason: 'rotated', ttlSeconds: 60, change: { preview: { diff: 'a lie' } } },
        object: { metadata: { name: 'x', labels } },
        review: { userInfo: { ...ada, extra } },
      }),
    );
    expect(answer.patchType).toBe('JSONPatch');
    const whole = patched(answer);
    const { createdBy } = whole['/spec'];
    expect(Date.parse(createdBy.stampedAt)).toBeGreaterThan(Date.now() - 10_000);
    expect(createdBy.nonce).toMatch(/^[\w-]{22}$/);
    expect(createdBy.seal).toMatch(/^[0-9a-f]{16}:[\w-]{86}$/);
    Object.assign(createdBy, { stampedAt: 'now', nonce: 'drawn', seal: 'a seal' });
    expect(whole).toMatchInlineSnapshot(`
      {
        "/metadata/labels": {
          "stepup.dev/target": "22f5bda0b30885569e55eff49c809e2f8182b81d177c1a75014926fa",
          "team": "db",
        },
        "/spec": {
          "action": {
            "name": "db",
            "namespace": "prod",
            "operation": "DELETE",
            "resource": "secrets",
            "version": "v1",
          },
          "change": {},
          "createdBy": {
            "extra": {
              "authentication.kubernetes.io/credential-id": [
                "JTI=1",
              ],
            },
            "groups": [
              "approvers",
              "exempt",
            ],
            "nonce": "drawn",
            "seal": "a seal",
            "stampedAt": "now",
            "uid": "u-ada",
            "username": "ada",
          },
          "origin": "Applied",
          "policy": {
            "generation": 1,
            "name": "targets",
            "uid": "uid-1",
          },
          "reason": "rotated",
          "requester": {
            "username": "system:serviceaccount:ci:deployer",
          },
          "ttlSeconds": 60,
        },
      }
    `);
    expect(answer.warnings).toBeUndefined();
  });

  test('keeps nothing that only admission can know', async () => {
    const requester = { username: deployer, node: { name: 'trusted' }, owners: ['nobody'] };
    const change = { digest, askedOn: { uid: 'u', generation: 1 } };
    const { '/spec': spec } = patched(await webhook.stamp(approval({ spec: { requester, change } })));
    expect(spec).toMatchObject({ requester: { username: deployer }, change: { digest } });
    expect(spec.requester).not.toHaveProperty('node');
    expect(spec.requester).not.toHaveProperty('owners');
    expect(spec.change).not.toHaveProperty('askedOn');
  });

  test.each<[string, object, unknown]>([
    ['longer than the policy is cut', { ttlSeconds: 6000 }, 600],
    ['shorter stays', { ttlSeconds: 60 }, 60],
    ['absent is the policy’s', {}, 600],
  ])('a ttl %s', async (_, spec, want) => {
    expect(patched(await webhook.stamp(approval({ spec })))['/spec'].ttlSeconds).toBe(want);
  });

  test('says what is missing besides', async () => {
    const answer = await webhook.stamp(approval({ spec: { policy: { name: 'two' } } }));
    expect(answer.warnings).toMatchInlineSnapshot(`
      [
        "stepup: 1 of 2 approvals so far; 1 of 2 approvals by group approvers or service account bots/delegate missing",
      ]
    `);
  });

  test('with a digest is of the version that is known here', async () => {
    const answer = await webhook.stamp(approval({ spec: { policy: { name: 'contents' }, change: { digest } } }));
    expect(patched(answer)['/spec']).toMatchObject({ change: { digest, digestVersion: 'v2' }, origin: 'Applied' });
    const ofBefore = { digest, digestVersion: 'v1' };
    const older = await webhook.stamp(approval({ spec: { policy: { name: 'contents' }, change: ofBefore } }));
    expect(patched(older)['/spec']).toMatchObject({ change: ofBefore });
  });

  test('for a cluster-scoped target lives in our namespace', async () => {
    const action = { operation: 'DELETE', version: 'v1', resource: 'namespaces', name: 'prod' };
    const home = { namespace: ownNamespace };
    expect((await webhook.stamp(approval({ spec: { action }, review: home }))).allowed).toBe(true);
    const elsewhere = await webhook.stamp(approval({ spec: { action } }));
    expect(elsewhere.status?.message).toMatchInlineSnapshot(
      `"stepup: approvals for cluster-scoped targets belong in namespace stepup-system; create it there"`,
    );
  });

  test.each(['contents-012345678', 'contents-012345678g', 'other-0123456789'])('may be named %s', async (name) => {
    const object = { metadata: { name, namespace: 'prod' }, spec: byHand() };
    expect((await webhook.stamp(approval({ object }))).allowed).toBe(true);
  });

  test('may name its own creator', async () => {
    expect(
      (await webhook.stamp(approval({ spec: { createdBy: { username: 'ada' }, origin: 'Applied' } }))).allowed,
    ).toBe(true);
  });
});

describe('an approval asked ahead by its requester', () => {
  const asked = (spec: object = {}, extra: object = {}) =>
    approval({
      spec,
      review: { userInfo: { username: deployer, uid: 'u', groups: ['system:serviceaccounts'], extra } },
    });

  test('is Asked and counts for nothing', async () => {
    const spec = patched(await webhook.stamp(asked()))['/spec'];
    expect(spec).toMatchObject({ origin: 'Asked', createdBy: { username: deployer, uid: 'u' } });
  });

  test('is from the node that the API server names, and from no other', async () => {
    const requester = { username: deployer, node: { name: 'trusted', uid: 'x' } };
    const nodeIn = async (extra: object) =>
      patched(await webhook.stamp(asked({ requester }, extra)))['/spec'].requester;
    expect(await nodeIn({ 'authentication.kubernetes.io/node-name': ['node-1'] })).toEqual({
      username: deployer,
      uid: 'u',
      node: { name: 'node-1' },
    });
    expect(await nodeIn({})).toEqual({ username: deployer, uid: 'u' });
  });

  test('is for the identity that asks, not for one that it names', async () => {
    const extra = {
      'authentication.kubernetes.io/pod-name': ['web-1'],
      'authentication.kubernetes.io/pod-uid': ['uid-web-1'],
      'authentication.kubernetes.io/credential-id': ['JTI=1'],
    };
    const claimed = { username: deployer, uid: 'v', pod: { name: 'trusted', uid: 'uid-trusted' }, credential: 'JTI=2' };
    const asks = (requester: object, userInfo: object) =>
      webhook.stamp(
        approval({ spec: { requester }, review: { userInfo: { username: deployer, groups: [], ...userInfo } } }),
      );
    const pod = { name: 'web-1', uid: 'uid-web-1' };
    const whole = { username: deployer, uid: 'u', pod, credential: 'JTI=1' };
    expect(patched(await asks({ username: deployer }, { uid: 'u', extra }))['/spec'].requester).toEqual(whole);
    expect(patched(await asks(claimed, { uid: 'u', extra }))['/spec'].requester).toEqual(whole);
    expect(patched(await asks(claimed, {}))['/spec'].requester).toEqual({ username: deployer });
    // An approver says whom the approval is for.
    expect(patched(await webhook.stamp(approval({ spec: { requester: claimed } })))['/spec'].requester).toEqual(
      claimed,
    );
  });

  test('is one of at most so many that wait, under each policy, and decided ones do not count', async () => {
    const actions = [{ operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] }] as const;
    webhook.policy('few', { actions, grant: { binding: 'Target' }, request: { maxPendingPerRequester: 2 } });
    const waiting = (name: string, policy: string, phase?: 'Approved') =>
      webhook.approvals.put({
        metadata: { name, namespace: 'prod' },
        spec: { ...byHand({ policy: { name: policy } }), origin: 'Asked' } as StepUpApproval['spec'],
        ...(phase === undefined ? {} : { status: { phase } }),
      });
    const few = () => webhook.stamp(asked({ policy: { name: 'few' } }));
    const put = [waiting('1', 'few'), waiting('2', 'few', 'Approved'), waiting('3', 'targets')];
    expect((await few()).allowed).toBe(true);
    put.push(waiting('4', 'few'));
    expect((await few()).status?.message).toBe(
      'stepup: the requester has too many approvals pending; have some decided, or wait until they time out',
    );
    expect((await webhook.stamp(asked())).allowed, 'of another policy').toBe(true);
    const applied = await webhook.stamp(approval({ spec: { policy: { name: 'few' } } }));
    expect(applied.allowed, 'by an approver').toBe(true);
    for (const { metadata } of put) webhook.approvals.remove(metadata);
  });

  test('may not say that it was Applied', async () => {
    expect((await webhook.stamp(asked({ origin: 'Applied' }))).allowed).toBe(false);
  });
});

describe('an approval is refused', () => {
  test.each<[string, () => object]>([
    ['of a policy that is not there', () => approval({ spec: { policy: { name: 'nowhere' } } })],
    ['by nobody in particular', () => approval({ review: { userInfo: { username: 'mallory', groups: [] } } })],
    [
      'by a gated account, though in the group',
      () => approval({ review: { userInfo: { username: 'system:serviceaccount:a:b', groups: ['approvers'] } } }),
    ],
    ['naming another creator', () => approval({ spec: { createdBy: { username: 'grace' } } })],
    ['carrying a stamp, though its own', () => approval({ spec: { createdBy: { username: 'ada', nonce: 'n' } } })],
    ['naming another origin', () => approval({ spec: { origin: 'Denied' } })],
    ['carrying a status', () => approval({ object: { status: { phase: 'Approved', uses: [] } } })],
    ['without digest where content binds', () => approval({ spec: { policy: { name: 'contents' } } })],
    ['with a digest of another version', () => approval({ spec: { change: { digest, digestVersion: 'v9' } } })],
    [
      'under the name that a refused request may print',
      () => approval({ object: { metadata: { name: 'contents-0123456789', namespace: 'prod' }, spec: byHand() } }),
    ],
    ['in another namespace than its target', () => approval({ review: { namespace: 'dev' } })],
    ['without policy', () => approval({ spec: { policy: {} } })],
    ['without requester', () => approval({ spec: { requester: 'me' } })],
    ['without action', () => approval({ spec: { action: null } })],
    ['with an action of another type', () => approval({ spec: { action: { operation: 'DELETE', name: 7 } } })],
    ['with an unknown operation', () => approval({ spec: { action: { operation: 'PATCH', name: 'x' } } })],
    ['without version', () => approval({ spec: { action: { operation: 'DELETE', resource: 'x', name: 'x' } } })],
    [
      'about a namespace as if it lay in one',
      () =>
        approval({
          spec: { action: { operation: 'DELETE', version: 'v1', resource: 'namespaces', namespace: 'a', name: 'a' } },
        }),
    ],
    ['that is none', () => approval({ object: { spec: 'x' } })],
    ['by way of an update', () => approval({ review: { operation: 'UPDATE', oldObject: {} } })],
    ['of another kind', () => approval({ review: resourceOf('stepuppolicies', 'StepUpPolicy') })],
  ])('%s', async (_, asked) => {
    const answer = await webhook.stamp(asked());
    expect(answer).toMatchObject({ allowed: false });
    expect(answer.patch).toBeUndefined();
    expect(answer.status).toMatchSnapshot();
  });
});

describe('while somebody else may change what is said', () => {
  test('nothing is stamped, and it says whose fault it is', async () => {
    webhook.api.foreign = [
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'MutatingAdmissionPolicy',
        metadata: { name: 'swap' },
      } as KubeObject,
    ];
    const refused = await webhook.stamp(approval());
    expect(refused).toMatchObject({ allowed: false, status: { code: 403, reason: 'Forbidden' } });
    expect(refused.status?.message).toContain('MutatingAdmissionPolicy swap can change this object');
    webhook.api.foreign = [];
    expect((await webhook.stamp(approval())).allowed).toBe(true);
  });
});

describe('a decision', () => {
  let stored: StepUpApproval;
  beforeEach(() => {
    stored = webhook.approvals.put({
      metadata: { name: `about-${webhook.approvals.all.length}`, namespace: 'prod' },
      spec: { ...byHand({ policy: { name: 'two' } }), change: { digest }, origin: 'Denied' } as StepUpApproval['spec'],
    });
  });
  const word = (over: { spec?: object; review?: object } = {}) =>
    review({
      ...resourceOf('stepupdecisions', 'StepUpDecision'),
      name: '',
      userInfo: ada,
      object: {
        metadata: { generateName: 'x-', namespace: 'prod' },
        spec: {
          approval: { name: stored.metadata.name, uid: stored.metadata.uid, digest },
          verdict: 'Approve',
          ...over.spec,
        },
      },
      ...over.review,
    });

  test('is stamped whole, and says what is missing', async () => {
    const answer = await webhook.stamp(
      word({ spec: { decidedAt: '2020-01-01T00:00:00Z', kind: 'Delegate', reason: 'ok' } }),
    );
    const patch = patched(answer);
    const { decidedAt, seal, ...spec } = patch['/spec'];
    expect(seal).toMatch(/^[0-9a-f]{16}:[\w-]{86}$/);
    expect(Math.abs(Date.parse(String(decidedAt)) - Date.now())).toBeLessThan(5_000);
    expect(spec).toEqual({
      approval: { name: stored.metadata.name, uid: stored.metadata.uid, digest },
      verdict: 'Approve',
      reason: 'ok',
      kind: 'Human',
      decidedBy: { username: 'ada', uid: 'u-ada', groups: ['approvers', 'exempt'] },
    });
    expect(patch['/metadata/labels']).toEqual({ 'stepup.dev/approval': stored.metadata.uid });
    expect(patch['/metadata/ownerReferences']).toEqual([
      {
        apiVersion: 'stepup.dev/v1alpha1',
        kind: 'StepUpApproval',
        name: stored.metadata.name,
        uid: stored.metadata.uid,
      },
    ]);
    expect(answer.warnings).toMatchInlineSnapshot(`
      [
        "stepup: 1 of 2 approvals so far; 1 of 2 approvals by group approvers or service account bots/delegate missing",
      ]
    `);
  });

  test('of a second person says nothing more, and of the same person what is still missing', async () => {
    webhook.approve(stored, 'bo');
    expect((await webhook.stamp(word())).warnings).toBeUndefined();
    const again = word({ review: { userInfo: { ...ada, username: 'bo' } } });
    expect((await webhook.stamp(again)).warnings).toHaveLength(1);
  });

  test('that comes too late says so', async () => {
    webhook.approve(stored, 'bo');
    webhook.aheadMs = 3_601_000;
    const answer = await webhook.stamp(word());
    webhook.aheadMs = 0;
    expect(answer.warnings?.[0]).toContain('stepup: too late: the approval had to be decided by');
  });

  describe('about a target', () => {
    const path = '/api/v1/namespaces/prod/secrets/db';
    const says = 'stepup: the target has changed since the approval was requested';
    const warned = async (over: { spec?: object; isSealed?: boolean } = {}) => {
      const change = { digest, askedOn: { uid: 'u-db', resourceVersion: '7' } };
      const spec = { ...stored.spec, change, createdBy: { username: ownUsername } };
      stored = webhook.approvals.put({
        metadata: { name: `about-${webhook.approvals.all.length}`, namespace: 'prod' },
        spec: over.isSealed === false ? spec : sealedApproval('prod', spec),
      });
      const { warnings = [] } = await webhook.stamp(word({ spec: over.spec ?? {} }));
      return warnings.some((warning) => warning.startsWith(says));
    };
    const is = (uid: string, resourceVersion: string) =>
      webhook.api.targets.set(path, { metadata: { name: 'db', uid, resourceVersion } });
    afterEach(() => webhook.api.targets.delete(path));

    test('that is as it was asked on is stamped without a word', async () => {
      is('u-db', '7');
      expect(await warned()).toBe(false);
    });

    test.each([
      ['has changed', 'u-db', '8'],
      ['is another object', 'u-other', '7'],
    ])('that %s says so', async (_, uid, resourceVersion) => {
      is(uid, resourceVersion);
      expect(await warned()).toBe(true);
      expect(await warned({ spec: { verdict: 'Deny' } }), 'a denial needs no second look').toBe(false);
      expect(await warned({ isSealed: false }), 'nobody vouches for the state').toBe(false);
    });

    test('that is gone says so', async () => {
      expect(await warned()).toBe(true);
    });

    test.each([status(403, 'Forbidden'), status(500, 'InternalError')])(
      'that cannot be read is stamped without a word',
      async (error) => {
        webhook.api.targets.set(path, error);
        expect(await warned()).toBe(false);
      },
    );
  });

  test('of a delegate that the policy names is the delegate’s', async () => {
    const userInfo = { username: 'system:serviceaccount:bots:delegate', uid: 'd', groups: [] };
    const answer = await webhook.stamp(word({ spec: { onBehalfOf: 'grace' }, review: { userInfo } }));
    expect(patched(answer)['/spec']).toMatchObject({ kind: 'Delegate', onBehalfOf: 'grace' });
  });

  test('to withdraw is the requester’s, and no other word is', async () => {
    const review = { userInfo: { username: deployer, uid: 'u', groups: [] } };
    expect((await webhook.stamp(word({ spec: { verdict: 'Withdraw' }, review }))).allowed).toBe(true);
    expect((await webhook.stamp(word({ spec: { verdict: 'Withdraw' } }))).status?.message).toBe(
      'stepup: only the requester or the creator can withdraw an approval',
    );
    expect((await webhook.stamp(word({ spec: { verdict: 'Approve' }, review }))).status?.message).toBe(
      'stepup: the requester cannot approve its own action',
    );
  });

  const named = (over: object) => ({
    approval: { name: stored.metadata.name, uid: stored.metadata.uid, digest, ...over },
  });
  test.each<[string, () => object]>([
    ['about an approval that is not there', () => word({ spec: named({ name: 'nothing' }) })],
    ['about another approval of the name', () => word({ spec: named({ uid: 'another' }) })],
    ['about another digest', () => word({ spec: named({ digest: `sha256:${'b'.repeat(64)}` }) })],
    ['without the digest', () => word({ spec: named({ digest: undefined }) })],
    ['without approval', () => word({ spec: { approval: {} } })],
    ['in another namespace', () => word({ review: { namespace: 'dev' } })],
    ['with a verdict that is none', () => word({ spec: { verdict: 'Maybe' } })],
    ['with the verdict Review', () => word({ spec: { verdict: 'Review' } })],
    ['of kind Engine', () => word({ spec: { kind: 'Engine' } })],
    ['in the name of an engine', () => word({ spec: { engine: { name: 'opa', rule: 'r1' } } })],
    ['as a bypass', () => word({ spec: { bypass: true, reason: 'x' } })],
    ['in another’s name', () => word({ spec: { decidedBy: { username: 'grace' } } })],
    ['on behalf of another by no delegate', () => word({ spec: { onBehalfOf: 'grace' } })],
    ['by no approver', () => word({ review: { userInfo: { username: 'mallory', groups: ['staff'] } } })],
    [
      'by a gated account',
      () => word({ review: { userInfo: { username: 'system:serviceaccount:a:b', groups: ['approvers'] } } }),
    ],
  ])('%s is refused', async (_, asked) => {
    const answer = await webhook.stamp(asked());
    expect(answer.allowed).toBe(false);
    expect(answer.status?.message.replaceAll(stored.metadata.name, 'NAME')).toMatchSnapshot();
  });

  test('on an ended approval is refused with its phase', async () => {
    webhook.approvals.change(stored.metadata, (object) => ({ ...object, status: { phase: 'Denied' } }));
    expect((await webhook.stamp(word())).status?.message).toBe('stepup: the approval has ended; its phase is Denied');
  });

  test('on an approval of a policy that is gone is refused', async () => {
    webhook.policy('short-lived', { grant: { binding: 'Target' } });
    webhook.policies.remove({ name: 'short-lived' });
    webhook.approvals.change(stored.metadata, (object) => ({
      ...object,
      spec: { ...object.spec, policy: { name: 'short-lived' } },
    }));
    expect((await webhook.stamp(word())).status?.message).toBe(
      'stepup: there is no StepUpPolicy short-lived, so no vote can count; create it first',
    );
  });

  test('is refused when the approval cannot be read', async () => {
    webhook.approvals.before = () => {
      throw uncertain();
    };
    expect((await webhook.stamp(word())).status).toMatchObject({ code: 403, reason: 'Failed' });
    expect(await counted(webhook, 'stepup_stamps_total', { kind: 'decision', result: 'failed' })).toBe(1);
  });

  test('is refused before the caches have synced', async () => {
    webhook.caches.hasSynced = false;
    expect((await webhook.stamp(word())).status).toMatchObject({ code: 403, reason: 'NotReady' });
    webhook.caches.hasSynced = true;
  });
});
