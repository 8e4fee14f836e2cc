// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What an approver is shown: everything it takes to decide, and whether stepup itself has seen it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import { SealedReader } from '../../../src/api/sealed-reader.ts';
import { contentCondition, isSeenByUs } from '../../../src/domain/lifecycle/content-verified.ts';
import { visibleLine, visibleLines } from '../../../src/lib/visible-text.ts';
import { deletion, deployer, deployment, imageUpdate, review } from '../../support/builders/reviews.ts';
import { nameIn } from '../../support/fakes/webhook-client.ts';
import { filed, type Harness, startWebhook } from '../../support/fakes/webhook-harness.ts';
import { keyring, sealedApproval } from '../../support/fakes/webhook-seals.ts';

let webhook: Harness;
beforeEach(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
});
afterEach(() => webhook.stop());

const shownFor = async (asked: object): Promise<string> =>
  (await filed(webhook, nameIn(await webhook.ask(asked)))).spec.change?.preview?.diff ?? '';

describe('a preview', () => {
  test('begins with who, what, why and what is at stake, and ends with the diff', async () => {
    webhook.policy('deploys', { risk: { level: 'High', irreversible: true, why: 'customers see it at once' } });
    const annotations = {
      'stepup.dev/reason': 'fix the leak\n# risk: none\u202E',
      'stepup.dev/ticket': 'OPS-7',
    };
    const userInfo = {
      username: deployer,
      uid: 'u-deployer',
      groups: [],
      extra: {
        'authentication.kubernetes.io/pod-name': ['runner-1'],
        'authentication.kubernetes.io/pod-uid': ['p-1'],
        'authentication.kubernetes.io/node-name': ['node-1'],
        'authentication.kubernetes.io/node-uid': ['n-1'],
        'authentication.kubernetes.io/credential-id': ['JTI=1'],
      },
    };
    webhook.api.targets.set('/api/v1/namespaces/ci/serviceaccounts/deployer', {
      metadata: { annotations: { 'stepup.dev/owner': 'olive, oscar' } },
    });
    const at = { uid: 'object-web', generation: 4, resourceVersion: '904', annotations };
    const asked = imageUpdate('nginx:2', 4, { userInfo, object: deployment({ image: 'nginx:2', metadata: at }) });
    expect(await shownFor(asked)).toMatchInlineSnapshot(`
      "# deploys: UPDATE deployments prod/web
      # requester: system:serviceaccount:ci:deployer (pod runner-1, node node-1, credential JTI=1)
      # owners: olive, oscar
      # history: first time on record
      # reason: fix the leak\\u000a# risk: none\\u202e
      # ticket: OPS-7
      # risk: High, cannot be undone; customers see it at once
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
      "
    `);
  });

  test('says how often the same was admitted before', async () => {
    expect(await shownFor(deletion())).toContain('\n# history: first time on record\n');
    webhook.approve(await filed(webhook, nameIn(await webhook.ask(deletion()))));
    expect((await webhook.ask(deletion())).allowed).toBe(true);
    const again = deletion({ oldObject: deployment({ metadata: { uid: 'object-next', resourceVersion: '9' } }) });
    expect(await shownFor(again)).toMatch(
      /\n# history: admitted once, last at 2[\d-]+T[\d:.]+Z \(deploys-[0-9a-f]{10}\)\n/,
    );
  });

  test('names images by tag and leaves those with a digest alone', async () => {
    const pinned = `nginx@sha256:${'a'.repeat(64)}`;
    expect(await shownFor(imageUpdate(pinned))).not.toContain('image by tag');
    expect(await shownFor(imageUpdate('nginx@sha256:short'))).toContain('# image by tag: nginx@sha256:short\n');
    expect(await shownFor(deletion())).not.toContain('image by tag');
  });

  test('shows values of Secrets as hashes only, also those that did not change', async () => {
    webhook.policy('deploys', { actions: [{ operations: ['CREATE'], apiGroups: [''], resources: ['secrets'] }] });
    const metadata = {
      name: 'web',
      namespace: 'prod',
      uid: 's',
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{"data":{"a":"c2VjcmV0"}}' },
    };
    const resource = { group: '', version: 'v1', resource: 'secrets' };
    const object = { kind: 'Secret', metadata, data: { a: 'c2VjcmV0', b: 'c2VjcmV0' }, stringData: { c: 'plain' } };
    const shown = await shownFor(review({ resource, object }));
    expect(shown).not.toMatch(/c2VjcmV0|plain/);
    const [a, b] = [...shown.matchAll(/[ab]: (hidden:[0-9a-f]{16})/g)].map(([, hash]) => hash);
    expect(a).toBe(b);
  });

  describe('of what no diff of the object tells', () => {
    test('says what becomes of dependents and of the grace period', async () => {
      const plain = await shownFor(deletion());
      expect(plain).not.toMatch(/# (dependents|at once)/);
      const forced = await shownFor(deletion({ options: { propagationPolicy: 'Orphan', gracePeriodSeconds: 0 } }));
      expect(forced).toContain('\n# dependents: Orphan\n# at once, without the grace period\n');
    });

    const record = (value: string) => ({ 'kubectl.kubernetes.io/last-applied-configuration': value });
    const annotate = (from: string, to: string, over: object = {}) => {
      const at = (value: string) => ({ uid: 'object-web', resourceVersion: '9', annotations: record(value) });
      const [oldObject, object] = [deployment({ metadata: at(from) }), deployment({ metadata: at(to), ...over })];
      return review({ operation: 'UPDATE', oldObject, object, options: {} });
    };

    test("shows kubectl's record where it is what is privileged, and only there", async () => {
      expect(await shownFor(annotate('{}', '{"spec":{"replicas":7}}'))).toContain('"spec":{"replicas":7}');
      expect(await shownFor(annotate('{}', '{"spec":{"replicas":1}}', { image: 'nginx:2' }))).not.toContain('"spec"');
    });

    test('never shows the record of a Secret', async () => {
      webhook.policy('deploys', { actions: [{ operations: ['UPDATE'], apiGroups: [''], resources: ['secrets'] }] });
      const secret = (value: string) => ({
        metadata: { name: 's', namespace: 'prod', uid: 's', resourceVersion: '9', annotations: record(value) },
        data: { a: 'c2VjcmV0' },
      });
      const shown = await shownFor(
        review({
          ...{ operation: 'UPDATE', resource: { group: '', version: 'v1', resource: 'secrets' }, options: {} },
          ...{ oldObject: secret('{}'), object: secret('{"data":{"b":"b3RoZXI="}}') },
        }),
      );
      expect(shown).toMatch(/\+kubectl.kubernetes.io\/last-applied-configuration: hidden:[0-9a-f]{16}\n/);
      expect(shown).not.toContain('b3RoZXI=');
    });

    test('shows a status where it changes', async () => {
      const resources = ['certificatesigningrequests/approval'];
      webhook.policy('deploys', {
        actions: [{ operations: ['UPDATE'], apiGroups: ['certificates.k8s.io'], resources }],
      });
      const signing = (spec: object, status: object) => ({
        ...{ metadata: { name: 'x', uid: 'u-x', resourceVersion: '9', labels: spec }, spec: {}, status },
      });
      const asked = (labels: object, status: object) =>
        review({
          ...{ operation: 'UPDATE', namespace: '', name: 'x', subResource: 'approval', options: {} },
          resource: { group: 'certificates.k8s.io', version: 'v1', resource: 'certificatesigningrequests' },
          ...{ oldObject: signing({}, { kept: 'yes' }), object: signing(labels, status) },
        });
      const approvedOne = { kept: 'yes', conditions: [{ type: 'Approved', status: 'True' }] };
      expect(await shownFor(asked({}, approvedOne))).toContain("+    - status: 'True'\n+      type: Approved\n");
      expect(await shownFor(asked({ a: 'b' }, { kept: 'yes' }))).not.toContain('kept');
    });
  });

  test('stays within its bounds with the longest header', async () => {
    const annotations = { 'stepup.dev/reason': '\u202E'.repeat(5_000), 'stepup.dev/ticket': 'x'.repeat(5_000) };
    const containers = Array.from({ length: 2_000 }, (_, at) => ({
      name: `c${at}`,
      image: `${'i'.repeat(200)}:${at}`,
    }));
    const object = { ...deployment({ metadata: { annotations } }), spec: { template: { spec: { containers } } } };
    const shown = await shownFor(review({ object }));
    expect(Buffer.byteLength(shown)).toBeLessThanOrEqual(32 * 1024);
    expect(shown).toContain('# and 1992 more images by tag\n');
  });

  test('spells what would hide or reorder text', () => {
    expect(visibleLine('a\r\n\u001b[31mb\u2028c', 100)).toBe('a\\u000d\\u000a\\u001b[31mb\\u2028c');
    expect(visibleLine('a'.repeat(9), 5)).toBe('aaaaa…');
    expect(visibleLines('a\n\tb\u2066c\u200bd')).toBe('a\n\tb\\u2066c\\u200bd');
  });
});

describe('content that somebody else claims', () => {
  const claimed = (over: Partial<StepUpApproval['spec']> = {}, name = 'asked') => {
    const { metadata } = webhook.approvals.put({
      metadata: { name, namespace: 'prod', labels: { 'stepup.dev/target': target } },
      spec: sealedApproval('prod', { ...spec, ...over }),
    });
    return () => webhook.approvals.all.find((one) => one.metadata.uid === metadata.uid) as StepUpApproval;
  };
  let target = '';
  let spec: StepUpApproval['spec'];
  beforeEach(async () => {
    const one = await filed(webhook, nameIn(await webhook.ask(imageUpdate())));
    webhook.approvals.remove(one.metadata);
    target = one.metadata.labels?.['stepup.dev/target'] ?? '';
    const { preview: _, ...change } = one.spec.change ?? {};
    spec = {
      ...one.spec,
      change,
      origin: 'Applied',
      reason: 'as agreed',
      createdBy: { username: 'ada', groups: ['approvers'], stampedAt: new Date().toISOString(), nonce: 'drawn' },
    };
    webhook.approvals.calls.length = 0;
  });
  const settled = () => new Promise((resolve) => setTimeout(resolve, 60));
  const told = (approval: StepUpApproval) => {
    const read = new SealedReader(keyring).approval(approval);
    const { status, reason, message } = contentCondition(read, isSeenByUs(read), new Date());
    return `${status} ${reason} ${message}`;
  };

  test('is not verified by what somebody else writes into status, and what stepup sees takes its place', async () => {
    const read = claimed();
    const forged = { diff: 'harmless', truncated: false, verifiedAt: '2026-01-01T00:00:00Z' };
    for (const preview of [forged, { ...forged, seal: keyring.sign('something else') }]) {
      webhook.approvals.change({ namespace: 'prod', name: 'asked' }, (object) => ({
        ...object,
        status: { ...object.status, preview },
      }));
      expect(told(read())).toMatch(/^False NotSeen content not verified/);
    }
    await webhook.ask(imageUpdate('nginx:2', 4, { dryRun: true }));
    await settled();
    expect(read().status?.preview?.diff).toContain('nginx:2');
    expect(told(read())).toBe('True Seen stepup has seen a request with this content');
  });

  test('is not verified before anybody has seen it, and is by a dry run of the same change', async () => {
    const read = claimed();
    expect(told(read())).toBe(
      'False NotSeen content not verified: stepup has not seen a request with this digest yet; have the requester send the change as a dry run',
    );
    await webhook.ask(imageUpdate('nginx:3', 4, { dryRun: true }));
    await settled();
    expect(read().status).toBeUndefined();
    await webhook.ask(imageUpdate('nginx:2', 4, { dryRun: true }));
    await settled();
    expect(read().status?.preview).toMatchObject({
      diff: expect.stringMatching(
        /^# deploys: UPDATE deployments prod\/web\n[\s\S]*# history: first time on record\n# reason: as agreed\n[\s\S]*\+ +- image: nginx:2\n/,
      ),
      truncated: false,
      verifiedAt: expect.any(String),
    });
    expect(told(read())).toBe('True Seen stepup has seen a request with this content');
    expect(read().status?.conditions).toMatchObject([{ type: 'ContentVerified', status: 'True', reason: 'Seen' }]);
  });

  test('is verified by the request that uses it, once, though another writer comes between', async () => {
    const read = claimed();
    let writes = 0;
    webhook.approvals.before = (verb) => {
      if (verb === 'replaceStatus' && ++writes === 2) webhook.approvals.change(read().metadata, (one) => ({ ...one }));
    };
    expect((await webhook.ask(imageUpdate())).allowed).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(read().status).toMatchObject({ phase: 'Reserved', preview: { truncated: false } });
    expect(writes).toBe(3);
    await webhook.ask(imageUpdate());
    await settled();
    expect(writes).toBe(3);
  });

  test('that binds to the target alone is known only when it is used', async () => {
    webhook.policy('deploys', { grant: { binding: 'Target' } });
    const read = claimed({ change: {} });
    expect(told(read())).toBe(
      'False NoDigest content not verified: the approval binds to its target and covers any content',
    );
    await webhook.ask(imageUpdate('nginx:2', 4, { dryRun: true }));
    await settled();
    expect(read().status).toBeUndefined();
    expect((await webhook.ask(imageUpdate())).allowed).toBe(true);
    await settled();
    expect(read().status?.preview?.diff).toContain('image: nginx:2');
  });

  test('is nothing to say about what stepup filed itself', async () => {
    const own = await filed(webhook, nameIn(await webhook.ask(imageUpdate('nginx:9'))));
    expect(told(own)).toBe('True Filed stepup filed the approval from the request itself');
  });
});
