// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Engines as the chart configures them: a real Open Policy Agent, and one that does not keep to the contract.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { answering, approving, type Door, json, startDoor } from '../../support/fakes/fake-engine.ts';
import {
  type ApprovalObject,
  approvalNamedIn,
  approve,
  approveDenied,
  phaseOf,
} from '../../support/installation/approvals.ts';
import {
  type Actor,
  apply,
  type Installation,
  installStepup,
  policiesReady,
} from '../../support/installation/installation.ts';
import { counted } from '../../support/installation/metrics.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { type Opa, startOpa } from './opa.ts';

const example = fileURLToPath(new URL('../../../examples/policy-engine.yaml', import.meta.url));

let opa: Opa;
let door: Door;
let stepup: Installation;

beforeAll(async () => {
  [opa, door] = [await startOpa(), await startDoor()];
  const engines = [
    { name: 'opa', url: opa.url, format: 'opa', caBundle: opa.caBundle },
    // The same server, and nobody said that its authority is to be trusted.
    { name: 'stranger', url: opa.url, format: 'opa' },
    { name: 'door', url: door.url, format: 'stepup' },
  ];
  const values = engines.flatMap((engine, i) =>
    Object.entries({ ...engine, timeoutSeconds: '1' }).map(([key, value]) => `engines[${i}].${key}=${value}`),
  );
  stepup = await installStepup({ values });
  await stepup.cluster.kubectl(['apply', '-f', '-'], { stdin: readFileSync(example, 'utf8') });
  const by = (resource: string, engine: string, spec: object = {}) =>
    addPolicy(stepup, `${resource}-deletion`, [{ operations: ['DELETE'], apiGroups: [''], resources: [resource] }], {
      approval: { require: [{ name: 'rules', engine }] },
      grant: { binding: 'Target' },
      ...spec,
    });
  await by('podtemplates', 'door');
  await by('limitranges', 'stranger');
  const people = { name: 'people', approvers: { groups: ['approvers'] } };
  await by('services', 'door', { approval: { require: [{ name: 'rules', engine: 'door' }, people] } });
  await by('resourcequotas', 'door', { request: { whenPending: 'Retry' } });
}, 400_000);
afterAll(async () => {
  await stepup?.stop();
  await Promise.all([opa?.stop(), door?.stop()]);
});

const bodies: Readonly<Record<string, object>> = {
  configmap: { apiVersion: 'v1', kind: 'ConfigMap' },
  podtemplate: {
    apiVersion: 'v1',
    kind: 'PodTemplate',
    template: { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: 'c:1' }] } },
  },
  limitrange: { apiVersion: 'v1', kind: 'LimitRange', spec: { limits: [] } },
  service: { apiVersion: 'v1', kind: 'Service', spec: { ports: [{ port: 80 }] } },
  resourcequota: { apiVersion: 'v1', kind: 'ResourceQuota', spec: { hard: {} } },
};

const make = (kind: string, name: string) =>
  apply(stepup.cluster, [{ ...bodies[kind], metadata: { namespace: 'prod', name } }]);
const removal = (kind: string, name: string) => ['-n', 'prod', 'delete', kind, name, '--wait=false'];
const remove = (kind: string, name: string, actor: Actor = 'root-bot') => stepup.kubectl(actor, removal(kind, name));

/** The object made, its deletion refused, and the approval that the refusal names. */
async function refused(kind: string, name: string) {
  await make(kind, name);
  const denied = await remove(kind, name);
  expect(denied.code, denied.stdout).not.toBe(0);
  return { denied, key: approvalNamedIn(denied.stderr) };
}

interface Told extends ApprovalObject {
  readonly status?: ApprovalObject['status'] & { readonly missing?: string; readonly engines?: readonly object[] };
}

async function told(key: { namespace: string; name: string }): Promise<Told> {
  return (await stepup.cluster.admin.get(
    `/apis/stepup.dev/v1alpha1/namespaces/${key.namespace}/stepupapprovals/${key.name}`,
  )) as unknown as Told;
}

/** Waits until the engine has approved and only the person is missing. */
const halfApproved = (key: { namespace: string; name: string }) =>
  eventually(`${key.name} to have one vote`, async () => (await told(key)).status?.votes === '1/2', {
    timeoutMs: 15_000,
  });

const missing = (key: { namespace: string; name: string }, text: string) =>
  eventually(
    `${key.name} to say: ${text}`,
    async () => {
      const { status } = await told(key);
      if (!status?.missing?.includes(text)) throw new Error(`it says: ${status?.missing}`);
      return status;
    },
    { timeoutMs: 15_000 },
  );

async function decisionsOn({ namespace, name }: { namespace: string; name: string }) {
  const args = ['-n', namespace, 'get', 'sud', '--field-selector', `spec.approval.name=${name}`, '-o', 'json'];
  const { stdout } = await stepup.kubectl('admin', args);
  return (JSON.parse(stdout) as { items: { spec: Record<string, unknown> }[] }).items.map(({ spec }) => spec);
}

describe('a policy that needs OPA and one person', () => {
  test('passes with both, and the decision names engine and rule', async () => {
    const { denied, key } = await refused('configmap', 'tmp-a');
    expect(denied.stderr).toContain('the approval of engine opa, 1 of 1 approval by group approvers missing');
    await halfApproved(key);
    expect((await told(key)).status?.missing).toBe('1 of 1 approval by group approvers');
    expect(await decisionsOn(key)).toMatchObject([
      {
        verdict: 'Approve',
        kind: 'Engine',
        engine: { name: 'opa', rule: 'temporary' },
        reason: 'it was made to be deleted',
        decidedBy: { username: 'system:serviceaccount:stepup-system:stepup' },
      },
    ]);
    expect((await remove('configmap', 'tmp-a')).code, 'OPA alone is not enough').not.toBe(0);
    await approve(stepup, key);
    expect(await remove('configmap', 'tmp-a')).toMatchObject({ code: 0 });
    expect(await counted(stepup, 'stepup_engine_answers_total', { engine: 'opa', result: 'Approve' })).toBe(1);
  });

  test('tells OPA what the account did to the target before', async () => {
    const { key } = await refused('configmap', 'tmp-a');
    await halfApproved(key);
    expect(await decisionsOn(key)).toMatchObject([{ engine: { name: 'opa', rule: 'done-before' } }]);
  });

  test('is denied for good when OPA denies, though a person approved', async () => {
    const { key } = await refused('configmap', 'protected-b');
    const ended = await phaseOf(stepup, key, 'Denied');
    expect(ended.status).toMatchObject({
      conditions: expect.arrayContaining([
        expect.objectContaining({ type: 'Denied', message: 'denied by engine opa' }),
      ]),
    });
    expect((await approve(stepup, key)).stderr).toContain('the approval has ended');
    expect((await remove('configmap', 'protected-b')).code).not.toBe(0);
  });

  test('waits while OPA abstains, says so everywhere, and does not pass by the person alone', async () => {
    const { key } = await refused('configmap', 'plain-c');
    await missing(key, 'the approval of engine opa (engine opa: abstained: no rule speaks of it)');
    expect((await told(key)).status?.engines).toEqual([{ name: 'opa', abstained: 'no rule speaks of it' }]);
    await approve(stepup, key);
    await missing(key, 'the approval of engine opa');
    expect((await remove('configmap', 'plain-c')).stderr).toContain('(engine opa: abstained: no rule speaks of it)');
    const events = await eventually('the event', async () => {
      const args = ['-n', 'prod', 'get', 'events', '--field-selector', `reason=EngineAbstained`];
      const { stdout } = await stepup.kubectl('admin', args);
      return stdout.includes(key.name) ? stdout : undefined;
    });
    expect(events).toContain('engine opa: abstained: no rule speaks of it');
  });
});

describe('OPA out of order', () => {
  afterEach(async () => {
    opa.component.resume();
    if (opa.component.pid === undefined) await opa.component.restart();
  });

  test('down: nothing passes, and once it is back all goes on by itself', async () => {
    await opa.component.stop();
    const { key } = await refused('configmap', 'tmp-d');
    await missing(key, 'engine opa: abstained: it cannot be reached (ECONNREFUSED)');
    await approveDenied(stepup, await remove('configmap', 'tmp-d'));
    await opa.component.restart();
    await phaseOf(stepup, key, 'Approved');
    expect((await told(key)).status?.engines ?? []).toEqual([]);
    expect(await remove('configmap', 'tmp-d')).toMatchObject({ code: 0 });
  });

  test('slow: it is not waited for longer than configured', async () => {
    opa.component.pause();
    const { key } = await refused('configmap', 'tmp-e');
    await missing(key, 'engine opa: abstained: no answer within 1 s');
    opa.component.resume();
    await halfApproved(key);
  });

  test('with a certificate from nobody that is trusted: it is not asked', async () => {
    const { key } = await refused('limitrange', 'limits');
    await missing(key, 'engine stranger: abstained: its certificate or TLS cannot be accepted (');
    expect(await decisionsOn(key)).toEqual([]);
  });
});

describe('an engine that does not keep to the contract', () => {
  beforeEach(() => {
    door.answer = approving;
  });

  test('passes while it does', async () => {
    const { key } = await refused('podtemplate', 'honest');
    await phaseOf(stepup, key, 'Approved');
    expect(await remove('podtemplate', 'honest')).toMatchObject({ code: 0 });
    const review = JSON.parse(door.asked.at(-1)?.body ?? '{}');
    expect(review).toMatchObject({
      apiVersion: 'stepup.dev/v1alpha1',
      kind: 'EngineReview',
      engine: 'door',
      policy: { name: 'podtemplates-deletion' },
      requester: {
        username: 'system:serviceaccount:ci:root-bot',
        serviceAccount: { namespace: 'ci', name: 'root-bot' },
        credential: expect.stringMatching(/^JTI=/),
      },
      action: { operation: 'DELETE', resource: 'podtemplates', namespace: 'prod', name: 'honest' },
      change: {
        digest: expect.stringMatching(/^sha256:/),
        // The operator may not read this kind.
        targetChangedSinceAsked: 'unknown',
        preview: { diff: expect.stringContaining('DELETE') },
      },
      votes: { required: 1, received: 0, decisions: [] },
      history: { firstTime: true, uses: [] },
    });
  });

  test('is told the node, the owners, the history, and what has become of the target meanwhile', async () => {
    const { cluster } = stepup;
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'ci', name: 'porter' } };
    await apply(cluster, [
      { ...account, metadata: { ...account.metadata, annotations: { 'stepup.dev/owner': 'olive' } } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'porter' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'porter' }],
      },
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'runner-node' } },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace: 'ci', name: 'porter-1' },
        spec: { nodeName: 'runner-node', serviceAccountName: 'porter', containers: [{ name: 'c', image: 'c:1' }] },
      },
    ]);
    const uidOf = async (path: string) => {
      const { metadata } = (await cluster.admin.get(path)) as { metadata: { uid: string } };
      return metadata.uid;
    };
    const pod = { name: 'porter-1', uid: await uidOf('/api/v1/namespaces/ci/pods/porter-1') };
    const node = { name: 'runner-node', uid: await uidOf('/api/v1/nodes/runner-node') };
    const kubeconfig = await cluster.serviceAccountKubeconfig('ci/porter', { boundPod: pod });
    const removeAsPod = () => cluster.kubectl(removal('service', 'moving'), { kubeconfig });
    const asked = (key: { name: string }) =>
      door.asked.map(({ body }) => JSON.parse(body)).filter(({ approval }) => approval.name === key.name);
    const changed = (key: { name: string }, want: boolean) =>
      eventually(
        `${key.name} to be asked about with ${want}`,
        async () => asked(key).find(({ change }) => change.targetChangedSinceAsked === want),
        { timeoutMs: 15_000 },
      );

    door.answer = answering(200, json, '{"verdict":"Abstain","reason":"wait"}');
    await make('service', 'moving');
    const key = approvalNamedIn((await removeAsPod()).stderr);
    expect(await changed(key, false)).toMatchObject({
      requester: { pod, node, owners: ['olive'] },
      history: { firstTime: true, uses: [] },
    });
    expect(asked(key)[0].change.preview.diff).toMatch(
      /\n# requester: system:serviceaccount:ci:porter \(pod porter-1, node runner-node, credential JTI=\S+\)\n# owners: olive\n# history: first time on record\n/,
    );
    await cluster.kubectl(['-n', 'prod', 'label', 'service', 'moving', 'moved=yes']);
    await changed(key, true);
    const said = await approve(stepup, key);
    expect(said.stderr).toContain('Warning: stepup: the target has changed since the approval was requested');

    door.answer = approving;
    await phaseOf(stepup, key, 'Approved');
    expect(await removeAsPod()).toMatchObject({ code: 0 });
    await make('service', 'moving');
    const again = approvalNamedIn((await removeAsPod()).stderr);
    expect(await changed(again, false)).toMatchObject({
      history: { firstTime: false, uses: [{ approval: key.name, policy: 'services-deletion' }] },
    });
    expect(asked(again)[0].change.preview.diff).toContain(`(${key.name})\n`);
  });

  test.each([
    ['page', answering(200, { 'content-type': 'text/html' }, '<p>Approve</p>'), 'not plain application/json'],
    ['opa', answering(200, json, '{"result":{"verdict":"Approve","reason":"x","rule":"r"}}'), 'not Approve, Deny'],
    ['ruleless', answering(200, json, '{"verdict":"Approve","reason":"x"}'), 'Approve without the id of a rule'],
    ['twice', answering(200, json, '{"verdict":"Deny","verdict":"Approve","reason":"x","rule":"r"}'), 'cannot be read'],
    ['broken', answering(200, json, '{"verdict":"Approve"'), 'cannot be read'],
    ['error', answering(500, json, '{"verdict":"Approve","reason":"x","rule":"r"}'), 'it answered 500'],
    ['huge', answering(200, json, ' '.repeat(70_000)), 'larger than 64 KiB'],
    ['redirect', answering(307, { location: '/elsewhere' }, ''), 'answered 307, and redirects are not followed'],
  ])('%s: approves nothing', async (name, answer, why) => {
    door.answer = answer;
    const { key } = await refused('podtemplate', name);
    await missing(key, `engine door: abstained: `);
    expect((await told(key)).status?.missing).toContain(why);
    expect(door.asked.map(({ path }) => path)).not.toContain('/elsewhere');
    expect(await decisionsOn(key)).toEqual([]);
  });

  test('under Retry kubectl waits a second for it, and passes by itself', async () => {
    await make('resourcequota', 'patient');
    const deleted = await remove('resourcequota', 'patient');
    expect(deleted).toMatchObject({ code: 0 });
  });
});

describe('authority of engines', () => {
  test.each<[string, object]>([
    ['kind Engine', { kind: 'Engine' }],
    ['an engine', { engine: { name: 'opa', rule: 'r' } }],
  ])('nobody else creates a decision with %s', async (_, spec) => {
    const { key } = await refused('configmap', 'plain-f');
    await eventually('the approval to say how', async () => (await told(key)).status?.approveWith !== undefined);
    const decision = JSON.parse((await told(key)).status?.approveWith ?? '') as { spec: object };
    const forged = JSON.stringify({ ...decision, spec: { ...decision.spec, ...spec } });
    for (const actor of ['approver', 'root-bot'] as const) {
      const created = await stepup.kubectl(actor, ['create', '-f', '-'], { stdin: forged });
      expect(created.stderr).toContain('only stepup itself records votes of engines');
    }
  });

  test('a policy that names an engine nobody configured is not Ready, and says what to do', async () => {
    const spec = {
      actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['services'] }],
      approval: { require: [{ name: 'rules', engine: 'nobody' }] },
    };
    await apply(stepup.cluster, [
      { apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpPolicy', metadata: { name: 'lost' }, spec },
    ]);
    const sentence = await eventually('the policy to be judged', async () => {
      const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].message}';
      return (await stepup.kubectl('admin', ['get', 'sup', 'lost', '-o', path])).stdout;
    });
    expect(sentence).toContain('names engine nobody, which is not configured');
    await stepup.kubectl('admin', ['delete', 'sup', 'lost']);
    await policiesReady(stepup.cluster);
  });
});
