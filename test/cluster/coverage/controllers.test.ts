// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Kubernetes' controllers are not gated, and they start and end Pods for whoever tells them to: by labels, deadlines,
// ordinals, histories. Each such word is refused to a gated account; a neighbouring one, which moves nothing, passes.
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import {
  type Actor,
  apply,
  type Installation,
  installStepup,
  systemNamespace,
} from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { repositoryFiles } from '../../support/repository-files.ts';
import { nodeCertificateRequest, speakingAs } from './kubernetes-itself.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
}, 300_000);
afterAll(() => stepup?.stop());

const template = { metadata: { labels: { a: 'x', b: 'x' } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } };
const once = { ...template, spec: { ...template.spec, restartPolicy: 'Never' } };
const selector = { matchLabels: { a: 'x' } };
const label = (value: string) => ({ metadata: { labels: { app: value } } });

interface Row {
  readonly what: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: object;
  readonly refused: readonly object[];
  readonly passes: object;
  readonly subresource?: string;
  readonly actor?: Actor;
}

const rows: readonly Row[] = [
  {
    what: 'a Pod keeps the labels by which it is owned, and its time',
    ...{ apiVersion: 'v1', kind: 'Pod', spec: template.spec },
    refused: [label('other'), { spec: { activeDeadlineSeconds: 1 } }],
    passes: { metadata: { annotations: { app: 'other' } } },
  },
  {
    what: 'a Pod is not said to have failed',
    ...{ apiVersion: 'v1', kind: 'Pod', spec: template.spec, subresource: 'status', actor: 'root-bot' },
    refused: [{ status: { phase: 'Failed' } }, label('other')],
    passes: { status: { message: 'hello' } },
  },
  {
    what: 'a ReplicaSet keeps the labels by which it is adopted',
    ...{ apiVersion: 'apps/v1', kind: 'ReplicaSet', spec: { replicas: 0, selector, template } },
    refused: [label('other')],
    passes: { spec: { minReadySeconds: 1 } },
  },
  {
    what: 'a Deployment keeps its history',
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas: 0, selector, template } },
    refused: [{ spec: { revisionHistoryLimit: 0 } }],
    passes: label('other'),
  },
  {
    what: 'a StatefulSet keeps its ordinals',
    ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', spec: { replicas: 0, serviceName: 'x', selector, template } },
    refused: [{ spec: { ordinals: { start: 5 } } }],
    passes: { spec: { minReadySeconds: 1 } },
  },
  {
    what: 'a ReplicationController keeps its selector',
    ...{ apiVersion: 'v1', kind: 'ReplicationController', spec: { replicas: 0, selector: { a: 'x' }, template } },
    refused: [{ spec: { selector: { a: null, b: 'x' } } }],
    passes: { spec: { minReadySeconds: 1 } },
  },
  {
    what: 'a Job keeps its times and tries',
    ...{ apiVersion: 'batch/v1', kind: 'Job', spec: { parallelism: 0, template: once } },
    refused: [
      { spec: { ttlSecondsAfterFinished: 0 } },
      { spec: { activeDeadlineSeconds: 1 } },
      { spec: { backoffLimit: 0 } },
    ],
    passes: label('other'),
  },
  {
    what: 'a CronJob keeps its history, and when it may run',
    ...{
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      spec: { schedule: '@yearly', jobTemplate: { spec: { template: once } } },
    },
    refused: [
      { spec: { successfulJobsHistoryLimit: 0 } },
      { spec: { failedJobsHistoryLimit: 0 } },
      { spec: { concurrencyPolicy: 'Replace' } },
      { spec: { startingDeadlineSeconds: 9 } },
    ],
    passes: label('other'),
  },
];

describe('what a controller is told', () => {
  test.each(rows)('$what', async ({ apiVersion, kind, spec, refused, passes, subresource, actor = 'deployer' }) => {
    const name = `told-${kind.toLowerCase()}${subresource ?? ''}`;
    await apply(stepup.cluster, [
      { apiVersion, kind, metadata: { name, namespace: 'prod', labels: { app: 'told' } }, spec },
    ]);
    const sub = subresource === undefined ? [] : [`--subresource=${subresource}`];
    const patch = (change: object) => {
      const args = ['-n', 'prod', 'patch', kind, name, ...sub, '--type=merge', '-p', JSON.stringify(change)];
      return stepup.kubectl(actor, args);
    };
    for (const change of refused) {
      const { code, stderr } = await patch(change);
      expect(stderr, JSON.stringify(change)).toContain('stepup: production-deploys requires approval to UPDATE');
      expect(code).not.toBe(0);
    }
    expect(await patch(passes)).toMatchObject({ code: 0 });
  });
});

describe('with every pack enabled, a policy on everybody, and no replica running', () => {
  const requests = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  const as = (user: string, group?: string) => speakingAs(stepup.cluster.admin, user, group);

  beforeAll(async () => {
    const packs = repositoryFiles()
      .filter((path) => /^charts\/stepup\/packs\/[\w-]+\.yaml$/.test(path))
      .map((path) => `packs.${basename(path, '.yaml')}.enabled=true`);
    expect(packs.length).toBeGreaterThan(2);
    await stepup.upgrade(packs);
    const verbs = { operations: ['CREATE', 'UPDATE', 'DELETE'] };
    const everything = [
      { ...verbs, apiGroups: [''], resources: ['nodes', 'nodes/status'] },
      { ...verbs, apiGroups: ['coordination.k8s.io'], resources: ['leases'] },
      { ...verbs, apiGroups: ['certificates.k8s.io'], resources: ['certificatesigningrequests'] },
      { ...verbs, apiGroups: [''], resources: ['pods', 'pods/status', 'serviceaccounts/token', 'configmaps'] },
      { ...verbs, apiGroups: ['apps'], resources: ['deployments', 'replicasets'] },
    ];
    const subjects = { include: [{ kind: 'User', name: '*' }], exclude: [{ kind: 'User', name: 'stepup-admin' }] };
    await addPolicy(stepup, 'everybody', everything, { subjects, namespaceSelector: null, namespaceShapes: null });
    await apply(stepup.cluster, nodeRights);
    await scaleToNothing();
  }, 120_000);

  test('a gated account is refused, and so is a person that the policy names', async () => {
    const create = ['-n', 'prod', 'create', 'deployment', 'refused', '--image=nginx:1'];
    for (const actor of ['deployer', 'outsider'] as const) {
      const { code, stderr } = await stepup.kubectl(actor, create);
      expect([actor, code]).not.toEqual([actor, 0]);
      if (actor === 'deployer') expect(stderr).toContain('failed calling webhook');
    }
    const named = await as('alice', 'system:masters')('POST', '/api/v1/namespaces/dev/configmaps', {
      metadata: { name: 'a' },
    });
    expect([named.code, JSON.stringify(named.body)]).toEqual([500, expect.stringContaining('failed calling webhook')]);
  });

  test('a kubelet keeps its node alive, runs Pods, and gets tokens and certificates', async () => {
    const { admin } = stepup.cluster;
    const [
      {
        metadata: { name: node },
      } = { metadata: { name: '' } },
    ] = (await admin.list('/api/v1/nodes')).items;
    const kubelet = as(`system:node:${node}`, 'system:nodes');
    const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
    const spec = { holderIdentity: node, leaseDurationSeconds: 40 };
    const account = { metadata: { name: 'runs', namespace: 'prod' }, automountServiceAccountToken: false };
    await admin.post('/api/v1/namespaces/prod/serviceaccounts', account);
    const pod = await admin.post('/api/v1/namespaces/prod/pods', {
      metadata: { name: 'runs' },
      spec: { ...template.spec, nodeName: node, serviceAccountName: 'runs' },
    });
    const bound = { apiVersion: 'v1', kind: 'Pod', name: 'runs', uid: pod.metadata.uid };
    const token = { spec: { expirationSeconds: 3600, audiences: [], boundObjectRef: bound } };
    const said = [
      await kubelet('POST', lease, { metadata: { name: node }, spec }),
      await kubelet('PATCH', `${lease}/${node}`, { spec: { leaseDurationSeconds: 41 } }),
      await kubelet('PATCH', `/api/v1/nodes/${node}/status`, { status: { allocatable: { pods: '99' } } }),
      await kubelet('PATCH', '/api/v1/namespaces/prod/pods/runs/status', { status: { phase: 'Running' } }),
      await kubelet('POST', '/api/v1/namespaces/prod/serviceaccounts/runs/token', token),
      await kubelet('DELETE', '/api/v1/namespaces/prod/pods/runs', { gracePeriodSeconds: 0 }),
      await kubelet('POST', requests, await nodeCertificateRequest(node)),
      await as('system:bootstrap:abcdef', 'system:bootstrappers')(
        'POST',
        requests,
        await nodeCertificateRequest('new'),
      ),
    ];
    expect(said.map(({ code }) => code)).toEqual([201, 200, 200, 200, 201, 200, 201, 201]);
    await eventually('the certificate', async () => {
      const { status } = await admin.get<Issued>(`${requests}/kubelet-${node}`);
      return status.certificate;
    });
  });

  test("Kubernetes' controllers roll out, run Jobs, collect garbage and empty namespaces", async () => {
    const { admin } = stepup.cluster;
    const deployments = '/apis/apps/v1/namespaces/prod/deployments';
    const podsOf = async (label: string) =>
      (await admin.list(`/api/v1/namespaces/prod/pods?labelSelector=${label}`)).items.length;
    const app = { matchLabels: { rolled: 'out' } };
    const podsTemplate = { metadata: { labels: app.matchLabels }, spec: template.spec };
    await admin.post(deployments, {
      metadata: { name: 'rolled' },
      spec: { replicas: 2, selector: app, template: podsTemplate },
    });
    await admin.post('/apis/batch/v1/namespaces/prod/jobs', { metadata: { name: 'once' }, spec: { template: once } });
    await eventually('two Pods', async () => (await podsOf('rolled')) === 2);
    await eventually('the Pod of the Job', async () => (await podsOf('job-name%3Donce')) === 1);
    await admin.patch(`${deployments}/rolled`, { spec: { template: { metadata: { labels: { of: 'new' } } } } });
    await eventually('a Pod of the new template', async () => (await podsOf('of%3Dnew')) > 0);
    await admin.delete(`${deployments}/rolled`, { propagationPolicy: 'Background' });
    await eventually('the Pods to be collected', async () => (await podsOf('rolled')) === 0);
    await admin.post('/api/v1/namespaces', { metadata: { name: 'ending', labels: { environment: 'production' } } });
    await admin.post('/api/v1/namespaces/ending/secrets', { metadata: { name: 'inside' } });
    await admin.delete('/api/v1/namespaces/ending');
    await eventually(
      'the namespace to go',
      async () => (await admin.send('GET', '/api/v1/namespaces/ending')).code === 404,
    );
  });

  test('stepup itself keeps its Lease, its statuses and its gates', async () => {
    const { admin } = stepup.cluster;
    const own = as(`system:serviceaccount:${systemNamespace}:stepup`);
    const lease = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/stepup`;
    const gate = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/stepup-everybody';
    const policy = '/apis/stepup.dev/v1alpha1/stepuppolicies/everybody';
    const approval = handWritten({ name: 'by-stepup' }, { name: 'x' });
    const said = [
      await own('PUT', lease, await admin.get(lease)),
      await own('PUT', gate, await admin.get(gate)),
      await own('PUT', `${policy}/status`, await admin.get(policy)),
      await own('POST', '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals', approval),
    ];
    expect(said.map(({ code }) => code)).toEqual([200, 200, 200, 201]);
  });

  test('an admin upgrades the release, and it works again', async () => {
    await stepup.upgrade();
    const { stderr } = await stepup.kubectl('deployer', [
      '-n',
      'prod',
      'create',
      'deployment',
      'asked',
      '--image=nginx:1',
    ]);
    expect(stderr).toContain('requires approval');
  });
});

interface Issued extends KubeObject {
  readonly status: { readonly certificate?: string };
}

/** Of a cluster that kubeadm made, as far as kubelets are concerned. */
const nodeRights = [
  ['system:nodes', 'system:node'],
  ['system:nodes', 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient'],
  ['system:bootstrappers', 'system:node-bootstrapper'],
].map(([group, role], index) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: `nodes-${index}` },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [{ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: group }],
}));

async function scaleToNothing(): Promise<void> {
  const scaled = await stepup.kubectl('admin', [
    '-n',
    systemNamespace,
    'scale',
    'deployment',
    'stepup',
    '--replicas=0',
  ]);
  expect(scaled.code, scaled.stderr).toBe(0);
  await eventually('the replicas to end', () => stepup.node?.pods().length === 0);
}
