// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The gate over real HTTPS and kinds in memory: what is allowed, what is denied, and in which words.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpDecision } from '../../../../src/api/kinds.ts';
import { decisionStatement } from '../../../../src/domain/seals/seal.ts';
import {
  deletion,
  deployment,
  imageUpdate,
  ownNamespace,
  ownUsername,
  review,
} from '../../../support/builders/reviews.ts';
import { status, uncertain } from '../../../support/fakes/fake-kinds.ts';
import { nameIn, reasonIn } from '../../../support/fakes/webhook-client.ts';
import {
  approved as approvedBy,
  counted,
  filed,
  type Harness,
  startWebhook,
} from '../../../support/fakes/webhook-harness.ts';
import { sealedApproval, sealedDecision, sealedRelease } from '../../../support/fakes/webhook-seals.ts';
import { keptKey, keyringOf } from '../../../support/seals.ts';
import { decisionFailed } from '../decision-failed.ts';

let webhook: Harness;
beforeEach(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
});
afterEach(() => webhook.stop());

const approved = (asked: object, policy?: string) => approvedBy(webhook, asked, policy);

const stored = ({ metadata }: StepUpApproval): StepUpApproval | undefined =>
  webhook.approvals.all.find((one) => one.metadata.uid === metadata.uid);

describe('a request without approval', () => {
  test('is denied in one line with the next command, and for machines in details', async () => {
    const answer = await webhook.ask(imageUpdate());
    expect({ ...answer, uid: '' }).toMatchInlineSnapshot(`
      {
        "allowed": false,
        "auditAnnotations": {
          "approval": "prod/deploys-83a7d4c452",
          "outcome": "Denied",
          "policy": "deploys",
          "reason": "ApprovalRequired",
        },
        "status": {
          "code": 403,
          "details": {
            "causes": [
              {
                "message": "deploys",
                "reason": "Policy",
              },
              {
                "message": "ApprovalRequired",
                "reason": "Reason",
              },
              {
                "message": "prod",
                "reason": "Namespace",
              },
              {
                "message": "1 of 1 approval by group approvers missing",
                "reason": "Missing",
              },
              {
                "message": "kubectl -n prod get sua deploys-83a7d4c452 -o jsonpath={.status.approveWith} | kubectl create -f -",
                "reason": "ApproveCommand",
              },
            ],
            "group": "stepup.dev",
            "kind": "stepupapprovals",
            "name": "deploys-83a7d4c452",
          },
          "message": "stepup: deploys requires approval to UPDATE deployments prod/web: 1 of 1 approval by group approvers missing. Approval prod/deploys-83a7d4c452. Approve: kubectl -n prod get sua deploys-83a7d4c452 -o jsonpath={.status.approveWith} | kubectl create -f -",
          "reason": "StepUpRequired",
          "status": "Failure",
        },
        "uid": "",
      }
    `);
  });

  test('is filed with what an approver reads, once', async () => {
    const name = nameIn(await webhook.ask(imageUpdate()));
    const approval = await filed(webhook, name);
    expect(nameIn(await webhook.ask(imageUpdate()))).toBe(name);
    expect(webhook.approvals.count('create')).toBe(1);
    const { spec, metadata } = approval;
    const createdBy = { username: spec.createdBy?.username, seal: spec.createdBy?.seal?.replace(/.*/, 'a seal') };
    expect({ ...spec, createdBy, change: { ...spec.change, digest: '' } }).toMatchInlineSnapshot(`
      {
        "action": {
          "group": "apps",
          "name": "web",
          "namespace": "prod",
          "objectUID": "object-web",
          "operation": "UPDATE",
          "resource": "deployments",
          "subresource": "",
          "version": "v1",
        },
        "change": {
          "askedOn": {
            "generation": 4,
            "uid": "object-web",
          },
          "digest": "",
          "digestVersion": "v2",
          "fields": [
            "/spec/template",
          ],
          "preview": {
            "diff": "# deploys: UPDATE deployments prod/web
      # requester: system:serviceaccount:ci:deployer
      # history: first time on record
      # reason: none given
      # changes: /spec/template
      # image by tag: nginx:2
      --- before
      +++ after
      @@ -10,5 +10,5 @@
         template:
           spec:
             containers:
      -        - image: nginx:1
      +        - image: nginx:2
                 name: c
      ",
            "truncated": false,
          },
        },
        "createdBy": {
          "seal": "a seal",
          "username": "system:serviceaccount:stepup-system:stepup",
        },
        "origin": "Denied",
        "policy": {
          "generation": 1,
          "name": "deploys",
          "uid": "uid-3",
        },
        "requester": {
          "uid": "u-deployer",
          "username": "system:serviceaccount:ci:deployer",
        },
        "ttlSeconds": 900,
      }
    `);
    expect(metadata.namespace).toBe('prod');
    expect(spec.createdBy?.username).toBe(ownUsername);
    expect(Object.keys(metadata.labels ?? {})).toEqual(['stepup.dev/target']);
  });

  test.each([
    ['an engine only', [{ name: 'rules', engine: 'opa' }], 1],
    [
      'an engine and a person',
      [
        { name: 'rules', engine: 'opa' },
        { name: 'people', approvers: { groups: ['approvers'] } },
      ],
      7,
    ],
  ])('that lacks %s is asked to come again under Retry when that may be there', async (_, require, seconds) => {
    webhook.policy('rules', { approval: { require }, request: { whenPending: 'Retry', retryAfterSeconds: 7 } });
    expect((await webhook.ask(imageUpdate(), 'rules')).status).toMatchObject({
      code: 429,
      details: { retryAfterSeconds: seconds },
    });
    webhook.policy('rules', { approval: { require } });
    expect((await webhook.ask(imageUpdate(), 'rules')).status?.code).toBe(403);
  });

  test('is asked to come again under Retry, save in a dry run', async () => {
    webhook.policy('waits', { request: { whenPending: 'Retry', retryAfterSeconds: 7 } });
    const answer = await webhook.ask(deletion(), 'waits');
    expect(answer.status).toMatchObject({ code: 429, reason: 'StepUpRequired', details: { retryAfterSeconds: 7 } });
    const token = {
      resource: { group: '', version: 'v1', resource: 'serviceaccounts' },
      subResource: 'token',
      object: { spec: {} },
      dryRun: true,
    };
    webhook.policy('tokens', {
      actions: [{ operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'] }],
      request: { whenPending: 'Retry' },
    });
    const dry = await webhook.ask(review(token), 'tokens');
    expect(dry.status).toMatchObject({ code: 403, reason: 'StepUpRequired' });
    expect((await webhook.ask(review({ ...token, dryRun: false }), 'tokens')).status?.code).toBe(429);
  });

  test('is filed in our own namespace when its own has no room', async () => {
    let namespaces: (string | undefined)[] = [];
    webhook.approvals.before = (verb, object) => {
      if (verb !== 'create') return;
      namespaces = [...namespaces, object?.metadata.namespace];
      if (object?.metadata.namespace === 'prod') throw status(403, 'Forbidden', [{ reason: 'NamespaceTerminating' }]);
    };
    const first = await webhook.ask(deletion());
    expect((await filed(webhook, nameIn(first))).metadata.namespace).toBe(ownNamespace);
    expect(namespaces).toEqual(['prod', ownNamespace]);
    const again = await webhook.ask(deletion());
    expect(again.status?.message).toContain(`Approval ${ownNamespace}/${nameIn(first)}.`);
  });
});

describe('a request that needs no approval', () => {
  test.each<[string, () => object, string]>([
    ['one that changes nothing', () => imageUpdate('nginx:1'), 'Allowed NotGoverned'],
    [
      'one outside of the fields',
      () => review({ operation: 'UPDATE', oldObject: deployment({ metadata: { labels: { a: 'b' } } }) }),
      'Allowed NotGoverned',
    ],
    ['one inside', () => imageUpdate('nginx:2'), 'Denied ApprovalRequired'],
    ['a dry run', () => imageUpdate('nginx:2', 4, { dryRun: true }), 'Allowed DryRun'],
  ])('%s costs nothing', async (_, asked, want) => {
    expect(reasonIn(await webhook.ask(asked()))).toBe(want);
    if (want.startsWith('Denied')) return;
    expect(webhook.approvals.calls).toEqual([]);
    expect(webhook.decisions.calls).toEqual([]);
  });

  test('a dry run says what the real request needs', async () => {
    webhook.policy('targets', { grant: { binding: 'Target' } });
    const dry = (policy: string) => webhook.ask(deletion({ dryRun: true }), policy);
    expect((await dry('deploys')).warnings).toMatchInlineSnapshot(`
      [
        "stepup: deploys requires approval for the real request",
        "stepup: change.digest sha256:47906c6a1a06e9f5e35939d664e1b446e577413970760a1edf4e3c570224522c",
      ]
    `);
    expect((await dry('targets')).warnings).toEqual(['stepup: targets requires approval for the real request']);
  });

  test('a dry run of a token is no dry run', async () => {
    webhook.policy('tokens', {
      actions: [{ operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'] }],
    });
    const resource = { group: '', version: 'v1', resource: 'serviceaccounts' };
    const answer = await webhook.ask(review({ resource, subResource: 'token', object: {}, dryRun: true }), 'tokens');
    expect(reasonIn(answer)).toBe('Denied ApprovalRequired');
  });
});

describe('an approved request', () => {
  test('passes by one write and no read, is re-admitted on the same state only', async () => {
    const approval = await approved(imageUpdate());
    const readsBefore = webhook.approvals.count('list');
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Reserved');
    expect(webhook.approvals.count('list')).toBe(readsBefore);
    expect(webhook.approvals.count('replaceStatus')).toBe(1);
    expect(stored(approval)?.status).toMatchObject({
      phase: 'Reserved',
      uses: [{ base: { kind: 'Generation', generation: 4 }, votes: ['ada'] }],
    });
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Readmitted');
    expect(reasonIn(await webhook.ask(imageUpdate('nginx:3')))).toBe('Denied ApprovalRequired');
    expect(webhook.approvals.count('replaceStatus')).toBe(1);
  });

  test('passes the first time though the cache has not seen the approval', async () => {
    webhook.approvals.isHeldBack = true;
    webhook.decisions.isHeldBack = true;
    await approved(deletion());
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
  });

  test('applied by hand passes by one live view, and a copy of it does not when it is gone', async () => {
    const filed = await approved(deletion());
    const { labels } = filed.metadata;
    webhook.approvals.remove(filed.metadata);
    const stamp = (nonce: string) => ({
      username: 'ada',
      groups: ['approvers'],
      stampedAt: new Date().toISOString(),
      nonce,
    });
    const byHand = (name: string, nonce: string) =>
      webhook.approvals.put({
        metadata: { name: `deploys-${name}`, namespace: 'prod', labels: { ...labels } },
        spec: sealedApproval('prod', { ...filed.spec, origin: 'Applied', createdBy: stamp(nonce) }),
      });
    const original = byHand('0000000001', 'drawn');
    const readsBefore = webhook.approvals.count('list');
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    expect(webhook.approvals.count('list') - readsBefore, 'in both namespaces').toBe(2);
    webhook.approvals.remove(original.metadata);
    byHand('0000000002', 'drawn');
    expect((await webhook.ask(deletion())).status?.message).toContain('it is a copy of deploys-0000000001');
    byHand('0000000003', 'drawn anew');
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
  });

  test('by hand passes without a read where the cache has watched since before the stamp', async () => {
    const original = await approved(deletion());
    const spec = (nonce: string) => {
      const createdBy = { username: 'ada', groups: ['approvers'], stampedAt: new Date().toISOString(), nonce };
      return sealedApproval('prod', { ...original.spec, origin: 'Applied', createdBy });
    };
    const { labels = {} } = original.metadata;
    webhook.approvals.remove(original.metadata);
    const put = (name: string, nonce: string) =>
      webhook.approvals.put({ metadata: { name, namespace: 'prod', labels }, spec: spec(nonce) });
    const first = put('deploys-0000000005', 'drawn');
    webhook.caches.unbrokenSinceMs = performance.now() - 61_000;
    const readsBefore = webhook.approvals.count('list');
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    expect(webhook.approvals.count('list')).toBe(readsBefore);
    // What has gone from the cache is remembered, so a copy is held against it.
    webhook.approvals.remove(first.metadata);
    webhook.server.saw(first, true);
    put('deploys-0000000006', 'drawn');
    expect((await webhook.ask(deletion())).status?.message).toContain('it is a copy of deploys-0000000005');
  });

  test('is remembered as a watch has shown it', async () => {
    const original = await approved(deletion());
    const createdBy = { username: 'ada', groups: ['approvers'], stampedAt: new Date().toISOString(), nonce: 'drawn' };
    const spec = sealedApproval('prod', { ...original.spec, origin: 'Applied', createdBy });
    const used = { ...original, spec, status: { phase: 'Denied' } } as const;
    webhook.approvals.remove(original.metadata);
    const { labels = {} } = original.metadata;
    webhook.approvals.put({ metadata: { name: 'deploys-0000000004', namespace: 'prod', labels }, spec });
    webhook.server.saw(used, false);
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Denied ApprovalRequired');
  });

  test('is denied once its time is over', async () => {
    await approved(deletion());
    webhook.aheadMs = 900_000;
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Denied ApprovalRequired');
    webhook.aheadMs = 890_000;
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
  });

  test('is not re-admitted after a Deny that the cache has not seen', async () => {
    const approval = await approved(deletion());
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    webhook.decisions.isHeldBack = true;
    const { name, namespace, uid } = approval.metadata;
    webhook.decisions.put({
      metadata: { name: 'deny', namespace, labels: { 'stepup.dev/approval': uid } },
      spec: sealedDecision(namespace, {
        approval: { name, uid, digest: approval.spec.change?.digest ?? '' },
        verdict: 'Deny',
        decidedBy: { username: 'bo', groups: ['approvers'] },
      }),
    });
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Denied ApprovalRequired');
  });

  test('is not approved by what was written past admission', async () => {
    const approval = await filed(webhook, nameIn(await webhook.ask(deletion())));
    const { name, namespace, uid } = approval.metadata;
    const said = {
      approval: { name, uid, digest: approval.spec.change?.digest ?? '' },
      verdict: 'Approve',
      decidedBy: { username: 'ada', groups: ['approvers'] },
      decidedAt: new Date().toISOString(),
    } as const;
    const put = (spec: StepUpDecision['spec']) =>
      webhook.decisions.put({
        metadata: { name: 'forged', namespace, labels: { 'stepup.dev/approval': uid } },
        spec,
      });
    const forged = [
      said,
      { ...said, seal: 'nonsense' },
      { ...said, seal: keyringOf([keptKey()]).sign(decisionStatement(namespace, said)) },
      { ...sealedDecision(namespace, { ...said, decidedBy: { username: 'mallory' } }), decidedBy: said.decidedBy },
      { ...sealedDecision(namespace, { ...said, verdict: 'Deny' }), verdict: 'Approve' as const },
      sealedDecision('elsewhere', said),
    ];
    for (const spec of forged) {
      put(spec);
      expect(reasonIn(await webhook.ask(deletion())), JSON.stringify(spec)).toBe('Denied ApprovalRequired');
    }
    const { seal, ...rest } = sealedDecision(namespace, said);
    put({ ...rest, ...(seal === undefined ? {} : { seal }) });
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
  });

  test('is not given back by a release that stepup did not write', async () => {
    const approval = await approved(deletion());
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    const release = { use: 0, releasedAt: '2026-01-01T00:00:00Z', why: 'lost' };
    webhook.approvals.change(approval.metadata, (object) => ({
      ...object,
      status: { ...object.status, phase: 'Approved', releases: [release] },
    }));
    expect(stored(approval)?.status?.uses?.length).toBe(1);
    expect(reasonIn(await webhook.ask(deletion())), 'still reserved for the first').toBe('Allowed Readmitted');
    webhook.approvals.change(approval.metadata, (object) => ({
      ...object,
      status: { ...object.status, phase: 'Approved', releases: [sealedRelease(object, release)] },
    }));
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    expect(stored(approval)?.status?.uses?.length).toBe(2);
  });

  test('waits for a reservation that is being settled', async () => {
    const approval = await approved(deletion());
    const asked = (resourceVersion: string) =>
      review({
        operation: 'UPDATE',
        object: deployment({
          image: 'nginx:5',
          metadata: { uid: 'object-web', resourceVersion, generation: undefined },
        }),
        oldObject: deployment({ metadata: { uid: 'object-web', resourceVersion, generation: undefined } }),
      });
    const update = await approved(asked('1'));
    expect(reasonIn(await webhook.ask(asked('1')))).toBe('Allowed Reserved');
    setTimeout(() => {
      webhook.approvals.change(update.metadata, (object) => ({
        ...object,
        status: {
          ...object.status,
          phase: 'Approved',
          releases: [sealedRelease(object, { use: 0, releasedAt: '2026-01-01T00:00:00Z', why: 'lost' })],
        },
      }));
    }, 300);
    expect(reasonIn(await webhook.ask(asked('2')))).toBe('Allowed Reserved');
    expect(stored(update)?.status?.uses?.length).toBe(2);
    expect(stored(approval)?.status).toBeUndefined();
  });
});

describe('the compare-and-swap', () => {
  const touch = (approval: StepUpApproval) => webhook.approvals.change(approval.metadata, (object) => ({ ...object }));

  test('is tried again on a live view after a conflict', async () => {
    const approval = await approved(deletion());
    let conflicts = 0;
    webhook.approvals.before = (verb) => {
      if (verb === 'replaceStatus' && conflicts++ < 3) touch(approval);
    };
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    expect(webhook.approvals.count('replaceStatus')).toBe(4);
    expect(await counted(webhook, 'stepup_reservations_total', { result: 'conflict' })).toBe(3);
  });

  test('is given up after three', async () => {
    const approval = await approved(deletion());
    webhook.approvals.before = (verb) => {
      if (verb === 'replaceStatus') touch(approval);
    };
    const answer = await webhook.ask(deletion());
    expect(answer.status).toMatchInlineSnapshot(`
      {
        "code": 403,
        "details": {
          "causes": [
            {
              "message": "deploys",
              "reason": "Policy",
            },
            {
              "message": "Contended",
              "reason": "Reason",
            },
          ],
          "group": "stepup.dev",
          "kind": "stepuppolicies",
          "name": "deploys",
        },
        "message": "stepup: deploys: the approval changed three times while it was being reserved. Nothing was admitted. Send the request again in a moment",
        "reason": "Contended",
        "status": "Failure",
      }
    `);
    expect(stored(approval)?.status).toBeUndefined();
  });

  test('denies when nobody can tell whether it was done, and re-admits when it was', async () => {
    const approval = await approved(deletion());
    webhook.approvals.before = (verb) => {
      if (verb === 'replaceStatus') throw uncertain();
    };
    const answer = await webhook.ask(deletion());
    expect(answer.status).toStrictEqual(decisionFailed);
    webhook.approvals.before = () => undefined;
    expect(stored(approval)?.status).toBeUndefined();
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
  });

  test('keeps fields that this release does not know', async () => {
    const approval = await approved(deletion());
    webhook.approvals.change(approval.metadata, (object) => ({ ...object, status: { surprise: 1 } }) as StepUpApproval);
    await webhook.ask(deletion());
    expect(stored(approval)?.status).toMatchObject({ surprise: 1, phase: 'Reserved' });
  });

  test('is not made on an older state of what was seen reserved', async () => {
    const approval = await approved(deletion());
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Allowed Reserved');
    // Restored from a backup: the use is gone.
    webhook.approvals.change(approval.metadata, ({ status: _, ...object }) => object as StepUpApproval);
    expect(reasonIn(await webhook.ask(deletion()))).toBe('Denied ApprovalRequired');
    expect(nameIn(await webhook.ask(deletion()))).not.toBe(approval.metadata.name);
  });
});

describe('what keeps stepup from deciding is a denial', () => {
  test.each<[string, (harness: Harness) => string | undefined]>([
    [
      'caches that have not synced',
      (harness) => {
        harness.caches.hasSynced = false;
        return undefined;
      },
    ],
    ['a policy that is not there', () => 'nowhere'],
    [
      'a policy that says otherwise than what is sent',
      (harness) => {
        harness.policy('other', { actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] }] });
        return 'other';
      },
    ],
    [
      'a missing reason',
      (harness) => {
        harness.policy('reasons', { approval: { require: [], reasonRequired: true } });
        return 'reasons';
      },
    ],
    [
      'a missing ticket',
      (harness) => {
        harness.policy('tickets', { approval: { require: [], ticketRequired: true } });
        return 'tickets';
      },
    ],
    [
      'an API server that cannot be read',
      (harness) => {
        harness.approvals.before = () => {
          throw uncertain();
        };
        return undefined;
      },
    ],
  ])('%s', async (name, prepare) => {
    const answer = await webhook.ask(imageUpdate(), prepare(webhook));
    expect(answer.allowed).toBe(false);
    expect({ [name]: answer.status }).toMatchSnapshot();
  });

  test('a request that states the reason and ticket its policy requires is filed with them', async () => {
    webhook.policy('stated', {
      approval: { require: [{ name: 'a', approvers: { users: ['ada'] } }], reasonRequired: true, ticketRequired: true },
    });
    const annotations = { 'stepup.dev/reason': 'fix', 'stepup.dev/ticket': 'T-1' };
    const answer = await webhook.ask(review({ object: deployment({ metadata: { annotations } }) }), 'stated');
    expect(answer.status?.reason).toBe('StepUpRequired');
    expect((await filed(webhook, nameIn(answer))).spec).toMatchObject({ reason: 'fix', ticket: 'T-1' });
  });

  test('a read that the API server throttles for an instant is made again, and one for ever denies', async () => {
    let left = 2;
    webhook.approvals.before = (verb) => {
      if (verb === 'list' && left-- > 0) throw status(429, 'TooManyRequests');
    };
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Denied ApprovalRequired');
    left = Number.POSITIVE_INFINITY;
    expect(reasonIn(await webhook.ask(imageUpdate('nginx:3')))).toBe('Denied Failed');
  });

  test('an approval whose answer was lost in our namespace is not filed a second time at home', async () => {
    const tried: (string | undefined)[] = [];
    webhook.approvals.before = (verb, object) => {
      if (verb !== 'create') return;
      tried.push(object?.metadata.namespace);
      // There is room again when it is tried again.
      if (tried.length === 1) throw status(403, 'Forbidden', [{ reason: 'NamespaceTerminating' }]);
      if (tried.length === 2) throw uncertain();
    };
    const name = nameIn(await webhook.ask(imageUpdate('nginx:4')));
    expect((await filed(webhook, name)).metadata.namespace).toBe('stepup-system');
    expect(tried).toEqual(['prod', 'stepup-system', 'stepup-system']);
  });

  test('a request under a fresh policy that only the API server knows is decided by that policy', async () => {
    webhook.policies.isHeldBack = true;
    webhook.policy('fresh');
    expect(reasonIn(await webhook.ask(imageUpdate(), 'fresh'))).toBe('Denied ApprovalRequired');
    expect(reasonIn(await webhook.ask(imageUpdate('nginx:1'), 'fresh'))).toBe('Allowed NotGoverned');
  });
});

describe('shapes that are judged on an object the review does not carry', () => {
  const pods = [{ operations: ['DELETE'], apiGroups: [''], resources: ['pods'] }] as const;
  const eviction = (over: object = {}) =>
    review({
      kind: { group: 'policy', version: 'v1', kind: 'Eviction' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      subResource: 'eviction',
      name: 'web-1',
      object: { kind: 'Eviction', deleteOptions: { preconditions: { uid: 'pod-uid' } } },
      ...over,
    });
  const pod = { metadata: { uid: 'pod-uid', resourceVersion: '5', name: 'web-1' } };

  test('an eviction is the deletion of its pod', async () => {
    webhook.policy('pods', { actions: pods });
    webhook.api.targets.set('/api/v1/namespaces/prod/pods/web-1', pod);
    const answer = await webhook.ask(eviction(), 'pods');
    expect(answer.status?.message).toMatchInlineSnapshot(
      `"stepup: pods requires approval to DELETE pods prod/web-1: 1 of 1 approval by group approvers missing. Approval prod/pods-91f6110219. Approve: kubectl -n prod get sua pods-91f6110219 -o jsonpath={.status.approveWith} | kubectl create -f -"`,
    );
    expect(webhook.api.targetReads).toEqual(['/api/v1/namespaces/prod/pods/web-1']);
    webhook.approve(await filed(webhook, nameIn(answer)));
    expect(reasonIn(await webhook.ask(eviction(), 'pods'))).toBe('Allowed Reserved');
    expect(reasonIn(await webhook.ask(eviction(), 'pods'))).toBe('Allowed Readmitted');
  });

  test.each([
    ['no UID', {}],
    ['no UID in what it names', { preconditions: { resourceVersion: '5' } }],
    ['another UID', { preconditions: { uid: 'pod-uid-before' } }],
  ])('an approved eviction that names %s is denied, for it may end another pod', async (_what, deleteOptions) => {
    webhook.policy('pods', { actions: pods });
    webhook.api.targets.set('/api/v1/namespaces/prod/pods/web-1', pod);
    webhook.approve(await filed(webhook, nameIn(await webhook.ask(eviction(), 'pods'))));
    const answer = await webhook.ask(eviction({ object: { kind: 'Eviction', deleteOptions } }), 'pods');
    expect(answer.status?.message).toBe(
      'stepup: pods: the target object could not be read. The eviction does not name the UID of this pod. Send it again in a moment',
    );
    expect(reasonIn(await webhook.ask(eviction(), 'pods'))).toBe('Allowed Reserved');
  });

  test('a policy that observes asks no eviction to name anything', async () => {
    webhook.policy('pods', { actions: pods, mode: 'Observe' });
    webhook.api.targets.set('/api/v1/namespaces/prod/pods/web-1', pod);
    const answer = await webhook.ask(eviction({ object: { kind: 'Eviction' } }), 'pods');
    expect(reasonIn(answer)).toBe('Allowed ApprovalRequired');
  });

  test.each<[string, Error | undefined]>([
    ['that is not there', undefined],
    ['that may not be read', status(403, 'Forbidden')],
    ['that cannot be read', uncertain()],
  ])('an eviction of a pod %s is denied', async (name, error) => {
    webhook.policy('pods', { actions: pods });
    if (error !== undefined) webhook.api.targets.set('/api/v1/namespaces/prod/pods/web-1', error);
    expect({ [name]: (await webhook.ask(eviction(), 'pods')).status }).toMatchSnapshot();
    expect(reasonIn(await webhook.ask(eviction({ dryRun: true }), 'pods'))).toBe('Allowed DryRun');
  });

  const scale = (replicas: number, resourceVersion = '10') => {
    const metadata = { name: 'web', namespace: 'prod', uid: 'object-web', resourceVersion };
    return review({
      kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
      subResource: 'scale',
      operation: 'UPDATE',
      object: { metadata, spec: { replicas } },
      oldObject: { metadata, spec: { replicas: 1 } },
    });
  };
  const path = '/apis/apps/v1/namespaces/prod/deployments/web';

  test('a scale takes its base from the parent, so that a status write in between does no harm', async () => {
    const parent = (resourceVersion: string) => ({ metadata: { uid: 'object-web', resourceVersion, generation: 3 } });
    webhook.api.targets.set(path, parent('10'));
    const approval = await approved(scale(5));
    expect(reasonIn(await webhook.ask(scale(5)))).toBe('Allowed Reserved');
    expect(stored(approval)?.status?.uses?.[0]?.base).toEqual({
      kind: 'Scale',
      uid: 'object-web',
      resourceVersion: '10',
      generation: 3,
    });
    webhook.api.targets.set(path, parent('11'));
    expect(reasonIn(await webhook.ask(scale(5, '11')))).toBe('Allowed Readmitted');
  });

  test('a scale to the same number reads nothing', async () => {
    expect(reasonIn(await webhook.ask(scale(1)))).toBe('Allowed NotGoverned');
    expect(webhook.api.targetReads).toEqual([]);
  });

  test('a scale whose parent cannot be read asks on its resourceVersion alone', async () => {
    webhook.api.targets.set(path, uncertain());
    const approval = await approved(scale(5));
    expect(reasonIn(await webhook.ask(scale(5)))).toBe('Allowed Reserved');
    expect(stored(approval)?.status?.uses?.[0]?.base).toEqual({
      kind: 'Scale',
      uid: 'object-web',
      resourceVersion: '10',
    });
  });
});

describe('what becomes of a namespace', () => {
  const namespace = (labels: object) => ({ metadata: { name: 'prod', uid: 'ns-uid', resourceVersion: '3', labels } });
  const asked = (over: object) =>
    review({
      kind: { group: '', version: 'v1', kind: 'Namespace' },
      resource: { group: '', version: 'v1', resource: 'namespaces' },
      name: 'prod',
      oldObject: namespace({ environment: 'production' }),
      object: null,
      ...over,
    });
  const leaves = () => asked({ operation: 'UPDATE', object: namespace({}) });
  const deleted = () => asked({ operation: 'DELETE' });

  beforeEach(() => {
    webhook.policy('deploys', { namespaceShapes: 'namespace-deletion' });
    webhook.policy('secrets', {
      actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] }],
      namespaceSelector: {
        matchExpressions: [
          { key: 'tier', operator: 'DoesNotExist' },
          { key: 'environment', operator: 'Exists' },
        ],
      },
      namespaceShapes: 'namespace-deletion',
    });
    webhook.policy('namespace-deletion', {
      actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['namespaces'] }],
      approval: { require: [{ name: 'two', count: 2, approvers: { groups: ['approvers'] } }] },
    });
  });

  test.each<[string, () => object]>([
    ['leaving the selector', leaves],
    ['being deleted', deleted],
  ])('%s asks under the shared policy whoever is asked, and one approval serves all', async (_, request) => {
    const policies = ['deploys', 'secrets', 'namespace-deletion'];
    const answers = await Promise.all(policies.map((policy) => webhook.ask(request(), policy)));
    expect(new Set(answers.map(nameIn)).size).toBe(1);
    expect(answers[0]?.status?.message).toContain('stepup: namespace-deletion requires approval to');
    const approval = await filed(webhook, nameIn(answers[0]!));
    expect(approval.metadata.namespace).toBe(ownNamespace);
    expect(webhook.approvals.count('create')).toBe(1);
    webhook.approve(approval, 'ada');
    expect(reasonIn(await webhook.ask(request(), 'deploys'))).toBe('Denied ApprovalRequired');
    webhook.approve(approval, 'bo');
    const allowed = await Promise.all(policies.map((policy) => webhook.ask(request(), policy)));
    expect(allowed.map(({ auditAnnotations }) => auditAnnotations?.reason).sort()).toEqual([
      'Readmitted',
      'Readmitted',
      'Reserved',
    ]);
    expect(stored(approval)?.status?.uses?.length).toBe(1);
  });

  test('asks under its own policy where the shared one is not ready', async () => {
    webhook.policy('namespace-deletion', {}, {});
    const answer = await webhook.ask(deleted(), 'deploys');
    expect(answer.status?.message).toContain('stepup: deploys requires approval to DELETE namespaces prod:');
  });
});
