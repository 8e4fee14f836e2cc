// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The guard on a real API server: what it refuses to service accounts, and to nobody else; what puts it back; and what is said of it.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpPolicy } from '../../../src/api/kinds.ts';
import { stepUpPolicies } from '../../../src/api/own-resources.ts';
import { loadCredentials } from '../../../src/kube/http/credentials.ts';
import { RestClient } from '../../../src/kube/http/rest.ts';
import { ResourceClient } from '../../../src/kube/objects/resource-client.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { foreignCrds } from '../../support/control-plane/foreign-crds.ts';
import { eventually } from '../../support/eventually.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import { type RunningOperator, startOperator } from '../../support/running-operator.ts';

const robot = 'system:serviceaccount:ci:root-bot';
const exempt = 'system:serviceaccount:argocd:controller';
const own = 'system:serviceaccount:stepup-system:stepup';
const collector = 'system:serviceaccount:kube-system:generic-garbage-collector';

let plane: ControlPlane;
let rest: RestClient;
let operator: RunningOperator;

/** As somebody with all of cluster-admin's rights; nothing is stored. */
async function tries(user: string, method: string, path: string, body?: object) {
  const answer = await plane.admin.send(method, `${path}${path.includes('?') ? '&' : '?'}dryRun=All`, {
    headers: { 'impersonate-user': user, 'impersonate-group': 'system:masters' },
    body,
    ...(method === 'PATCH' && { contentType: patchTypeFor(path) }),
  });
  const { message = '', reason = '' } = answer.body as { message?: string; reason?: string };
  return { code: answer.code, message, reason };
}

/** Lists of containers are merged by name where that exists. */
function patchTypeFor(path: string): string {
  return path.startsWith('/api/v1/') ? 'application/strategic-merge-patch+json' : 'application/merge-patch+json';
}

beforeAll(async () => {
  plane = await startControlPlane({ controllerManager: false });
  rest = new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths: [plane.adminKubeconfig] }) });
  for (const name of ['stepup-system', 'prod', 'dev', 'argocd'])
    await plane.admin.post('/api/v1/namespaces', { metadata: { name } });
  expect(await plane.kubectl(['apply', '-f', join(import.meta.dirname, '../../../crds')])).toMatchObject({ code: 0 });
  const others = (await foreignCrds()).filter((path) => path.includes('cert-manager.io'));
  expect(await plane.kubectl(['apply', '--server-side', ...others.flatMap((path) => ['-f', path])])).toMatchObject({
    code: 0,
  });
  operator = startOperator(rest, { guard: { isOn: true, exempt: [exempt] } });
  await makeObjects();
  await eventually('the guard to be in force', async () => (await tries(robot, 'DELETE', gate)).code === 403, {
    timeoutMs: 20_000,
  });
}, 600_000);

afterAll(async () => {
  await operator?.stop();
  rest?.close();
  await plane?.stop();
}, 30_000);

const admission = '/apis/admissionregistration.k8s.io/v1';
const gate = `${admission}/validatingwebhookconfigurations/stepup-kept`;
const stamp = `${admission}/mutatingwebhookconfigurations/stepup-stamp`;
const crd = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/stepupapprovals.stepup.dev';
const apiService = '/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.stepup.dev';
const policy = '/apis/stepup.dev/v1alpha1/stepuppolicies/kept';
const approvals = '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals';
const inOurs = '/api/v1/namespaces/stepup-system';
const inSystem = '/api/v1/namespaces/kube-system';
const inDev = '/api/v1/namespaces/dev';
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const label = { metadata: { labels: { changed: 'yes' } } };

const mutating = (group: string, name = 'foreign') => ({
  metadata: { name },
  webhooks: [
    {
      name: 'a.example.test',
      admissionReviewVersions: ['v1'],
      clientConfig: { url: 'https://127.0.0.1:1/' },
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      rules: [{ apiGroups: [group], apiVersions: ['*'], operations: ['CREATE'], resources: ['*'] }],
    },
  ],
});
const slice = (service: string) => ({
  metadata: { name: 'intruder', labels: { 'kubernetes.io/service-name': service } },
  addressType: 'IPv4',
  endpoints: [{ addresses: ['192.0.2.1'] }],
  ports: [{ name: 'https', port: 443 }],
});
const ofCertManager = '/apis/cert-manager.io/v1/namespaces/stepup-system';
const certificate = (name: string, secretName: string, issuer = 'mine') => ({
  apiVersion: 'cert-manager.io/v1',
  kind: 'Certificate',
  metadata: { name },
  spec: { secretName, dnsNames: ['a.test'], issuerRef: { name: issuer } },
});
const issuer = (name: string) => ({
  apiVersion: 'cert-manager.io/v1',
  kind: 'Issuer',
  metadata: { name },
  spec: { selfSigned: {} },
});
const opening = { metadata: { name: 'opens' }, spec: { podSelector: {}, ingress: [{}] } };
const pod = { metadata: { name: 'intruder' }, spec: { containers: [{ name: 'main', image: 'example.test/a:1' }] } };
const podAs = (serviceAccountName: string) => ({ ...pod, spec: { ...pod.spec, serviceAccountName } });
const cronJob = (serviceAccountName: string) => ({
  metadata: { name: 'intruder' },
  spec: {
    schedule: '* * * * *',
    jobTemplate: { spec: { template: { spec: { ...pod.spec, restartPolicy: 'Never', serviceAccountName } } } },
  },
});
const deployment = (name: string, serviceAccountName?: string) => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { ...pod.spec, serviceAccountName } },
  },
});
const token = { spec: { expirationSeconds: 600 } };
const role = (name: string) => ({ metadata: { name }, rules: [] });
const secret = (name: string, type = 'Opaque', account = 'stepup') => ({
  metadata: { name, annotations: { 'kubernetes.io/service-account.name': account } },
  type,
});

async function makeObjects(): Promise<void> {
  const { admin } = plane;
  await eventually('the kinds', () => admin.list('/apis/stepup.dev/v1alpha1/stepuppolicies'));
  await admin.post('/apis/stepup.dev/v1alpha1/stepuppolicies', {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpPolicy',
    metadata: { name: 'kept' },
    spec: {
      actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['configmaps'] }],
      approval: { require: [{ name: 'one', approvers: { groups: ['approvers'] } }] },
    },
  });
  await eventually('the kinds of cert-manager', () => admin.list(`${ofCertManager}/certificates`));
  await admin.post(`${ofCertManager}/certificates`, certificate('stepup-tls', 'stepup-tls'));
  // Made before the stamp is in place, which has no webhook behind it here.
  await eventually('the gate', () => admin.get(gate));
  await eventually('the keys', () => admin.get(`${inOurs}/secrets/stepup-keys`));
  const configurations = `${admission}/validatingwebhookconfigurations`;
  await admin.post(configurations, { ...mutating('example.test', 'foreign') });
  await admin.post(`${admission}/mutatingwebhookconfigurations`, mutating('*', 'reaching'));
  for (const namespace of ['stepup-system', 'dev']) {
    const core = `/api/v1/namespaces/${namespace}`;
    await admin.post(`${core}/serviceaccounts`, { metadata: { name: 'stepup' } });
    await admin.post(`${core}/serviceaccounts`, { metadata: { name: 'default' } });
    await admin.post(`${core}/configmaps`, { metadata: { name: 'stepup-packs' } });
    await admin.post(`${core}/configmaps`, { metadata: { name: 'kube-root-ca.crt' } });
    await admin.post(`${core}/secrets`, { metadata: { name: 'pull' } });
    await admin.post(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`, { metadata: { name: 'stepup' } });
    await admin.post(`/apis/apps/v1/namespaces/${namespace}/deployments`, deployment('stepup'));
    await admin.post(`${core}/pods`, { ...pod, metadata: { name: 'stepup-1' } });
  }
  for (const name of ['job-controller', 'other']) {
    await admin.post(`${inSystem}/serviceaccounts`, { metadata: { name } });
    await admin.post(`${inDev}/serviceaccounts`, { metadata: { name } });
  }
  await admin.post('/api/v1/namespaces/argocd/serviceaccounts', { metadata: { name: 'controller' } });
  await admin.post(`${rbac}/clusterroles`, role('stepup'));
  await admin.post(`${rbac}/clusterroles`, role('other'));
}

type Case = [what: string, method: string, path: string, body?: object];

const guarded: readonly Case[] = [
  ['a gate is deleted', 'DELETE', gate],
  ['a gate is edited', 'PATCH', gate, { webhooks: [] }],
  ['gates are deleted as a collection', 'DELETE', `${admission}/validatingwebhookconfigurations`],
  ['a gate is made up', 'POST', `${admission}/validatingwebhookconfigurations`, mutating('a.test', 'stepup-false')],
  ['the stamp is deleted', 'DELETE', stamp],
  ['the stamp is edited', 'PATCH', stamp, { webhooks: [] }],
  [
    'a webhook is made that changes votes',
    'POST',
    `${admission}/mutatingwebhookconfigurations`,
    mutating('stepup.dev'),
  ],
  ['a webhook is made that changes all', 'POST', `${admission}/mutatingwebhookconfigurations`, mutating('*')],
  ['a kind is deleted', 'DELETE', crd],
  ['a kind is edited', 'PATCH', crd, label],
  ['the status of a kind is edited', 'PATCH', `${crd}/status`, { status: { storedVersions: ['v1alpha1'] } }],
  ['our group is pointed elsewhere', 'PATCH', apiService, { spec: { service: { name: 'a', namespace: 'dev' } } }],
  ['our group is unregistered', 'DELETE', apiService],
  ['a policy is deleted', 'DELETE', policy],
  ['a policy is edited', 'PATCH', policy, { spec: { mode: 'Observe' } }],
  ['the status of a policy is edited', 'PATCH', `${policy}/status`, { status: { conditions: [] } }],
  ['stepup loses its rights', 'PATCH', `${rbac}/clusterroles/stepup`, label],
  [
    'the replicas are taken away',
    'PATCH',
    '/apis/apps/v1/namespaces/stepup-system/deployments/stepup/scale',
    { spec: { replicas: 0 } },
  ],
  [
    'the Deployment is edited',
    'PATCH',
    '/apis/apps/v1/namespaces/stepup-system/deployments/stepup',
    { spec: { replicas: 0 } },
  ],
  ['another Deployment is made', 'POST', '/apis/apps/v1/namespaces/stepup-system/deployments', deployment('intruder')],
  ['the Lease is taken', 'PATCH', '/apis/coordination.k8s.io/v1/namespaces/stepup-system/leases/stepup', label],
  ['the packs are edited', 'PATCH', `${inOurs}/configmaps/stepup-packs`, label],
  ['the keys are deleted', 'DELETE', `${inOurs}/secrets/stepup-keys`],
  ['a token is had from a Secret', 'POST', `${inOurs}/secrets`, secret('t', 'kubernetes.io/service-account-token')],
  ['a token is made', 'POST', `${inOurs}/serviceaccounts/stepup/token`, token],
  ['the account is deleted', 'DELETE', `${inOurs}/serviceaccounts/stepup`],
  ['a pod is started', 'POST', `${inOurs}/pods`, podAs('stepup')],
  [
    'the image of a pod is changed',
    'PATCH',
    `${inOurs}/pods/stepup-1`,
    { spec: { containers: [{ name: 'main', image: 'example.test/evil:1' }] } },
  ],
  ['rights are given in our namespace', 'POST', `${rbac}/namespaces/stepup-system/roles`, role('reader')],
  [
    'the Service is led elsewhere',
    'POST',
    '/apis/discovery.k8s.io/v1/namespaces/stepup-system/endpointslices',
    slice('stepup'),
  ],
  ['the Service is led elsewhere the old way', 'POST', `${inOurs}/endpoints`, { metadata: { name: 'stepup' } }],
  [
    'the webhook is opened to others',
    'POST',
    '/apis/networking.k8s.io/v1/namespaces/stepup-system/networkpolicies',
    opening,
  ],
  ['a certificate is put into our Secret', 'POST', `${ofCertManager}/certificates`, certificate('a', 'stepup-tls')],
  ['a certificate is had by our issuer', 'POST', `${ofCertManager}/certificates`, certificate('a', 'b', 'stepup-ca')],
  [
    'our certificate is edited',
    'PATCH',
    `${ofCertManager}/certificates/stepup-tls`,
    { spec: { dnsNames: ['b.test'] } },
  ],
  ['our issuer is made anew', 'POST', `${ofCertManager}/issuers`, issuer('stepup-authority')],
  ['our namespace is deleted', 'DELETE', inOurs],
  [
    'a token is made of an account that nobody gates',
    'POST',
    `${inSystem}/serviceaccounts/job-controller/token`,
    token,
  ],
  [
    'a token is had of one from a Secret',
    'POST',
    `${inSystem}/secrets`,
    secret('t', 'kubernetes.io/service-account-token', 'job-controller'),
  ],
  ['a pod is started as one', 'POST', `${inSystem}/pods`, podAs('job-controller')],
  [
    'a Deployment is made that runs as one',
    'POST',
    '/apis/apps/v1/namespaces/kube-system/deployments',
    deployment('a', 'job-controller'),
  ],
  [
    'a CronJob is made that runs as one',
    'POST',
    '/apis/batch/v1/namespaces/kube-system/cronjobs',
    cronJob('job-controller'),
  ],
  ['a pod is started as one that is exempt', 'POST', '/api/v1/namespaces/argocd/pods', podAs('controller')],
];

/** Each differs in one thing from one of the above. */
const unguarded: readonly Case[] = [
  ['another webhook configuration is deleted', 'DELETE', `${admission}/validatingwebhookconfigurations/foreign`],
  [
    'a webhook is made that changes other kinds',
    'POST',
    `${admission}/mutatingwebhookconfigurations`,
    mutating('a.test'),
  ],
  [
    'one that sees our group already gets another bundle',
    'PATCH',
    `${admission}/mutatingwebhookconfigurations/reaching`,
    label,
  ],
  ['another role is edited', 'PATCH', `${rbac}/clusterroles/other`, label],
  [
    'replicas elsewhere are taken away',
    'PATCH',
    '/apis/apps/v1/namespaces/dev/deployments/stepup/scale',
    { spec: { replicas: 0 } },
  ],
  [
    'a Lease of that name elsewhere is taken',
    'PATCH',
    '/apis/coordination.k8s.io/v1/namespaces/dev/leases/stepup',
    label,
  ],
  ['a token is made elsewhere', 'POST', `${inDev}/serviceaccounts/stepup/token`, token],
  ['a ConfigMap is edited that is not ours', 'PATCH', `${inOurs}/configmaps/kube-root-ca.crt`, label],
  ['a pull secret is edited', 'PATCH', `${inOurs}/secrets/pull`, label],
  [
    'another Service is led elsewhere',
    'POST',
    '/apis/discovery.k8s.io/v1/namespaces/stepup-system/endpointslices',
    slice('other'),
  ],
  [
    'a Service of that name in another namespace is',
    'POST',
    '/apis/discovery.k8s.io/v1/namespaces/dev/endpointslices',
    slice('stepup'),
  ],
  ['pods elsewhere are opened to others', 'POST', '/apis/networking.k8s.io/v1/namespaces/dev/networkpolicies', opening],
  ['a certificate of its own is asked for', 'POST', `${ofCertManager}/certificates`, certificate('a', 'b')],
  ['another issuer is made', 'POST', `${ofCertManager}/issuers`, issuer('mine')],
  ['a pod is marked', 'PATCH', `${inOurs}/pods/stepup-1`, label],
  ['a pod is started elsewhere', 'POST', `${inDev}/pods`, pod],
  ['roles are made elsewhere', 'POST', `${rbac}/namespaces/dev/roles`, role('reader')],
  ['another namespace is deleted', 'DELETE', inDev],
  ['a token is made of another account there', 'POST', `${inSystem}/serviceaccounts/other/token`, token],
  ['a pod is started as another account there', 'POST', `${inSystem}/pods`, podAs('other')],
  [
    'a Deployment is made that runs as another',
    'POST',
    '/apis/apps/v1/namespaces/kube-system/deployments',
    deployment('a', 'other'),
  ],
  ['a Secret is made there that is no token', 'POST', `${inSystem}/secrets`, secret('t', 'Opaque', 'job-controller')],
  ['a pod is started as a namesake elsewhere', 'POST', `${inDev}/pods`, podAs('job-controller')],
];

describe('the guard', () => {
  test.each(guarded)('refuses a service account when %s', async (_, method, path, body) => {
    const answer = await tries(robot, method, path, body);
    expect(answer).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(answer.message).toMatch(
      /stepup guards .*: service accounts may not [^;]*; have a person with cluster-admin do it, or name .* in the chart value guard\.exempt|stepup guards approvals and votes: .*; leave the group stepup\.dev/,
    );
  });

  // Dry runs of tokens and of the collection are real ones.
  const harmless = guarded.filter(([what]) => !/^a token is made|collection/.test(what));
  test.each(harmless)('lets a person pass when %s', async (_, method, path, body) => {
    const { code, message } = await tries('root', method, path, body);
    expect(message).not.toContain('stepup guards');
    expect(code, message).toBeLessThan(300);
  });

  test.each(unguarded)('lets a service account pass when %s', async (_, method, path, body) => {
    const { code, message } = await tries(robot, method, path, body);
    expect(code, message).toBeLessThan(300);
  });

  test.each([
    ['stepup itself', own, true],
    ["Kubernetes' own controllers", collector, true],
    ['who is named as exempt', exempt, true],
    ['another account of our namespace', 'system:serviceaccount:stepup-system:default', false],
    ['another account of kube-system', 'system:serviceaccount:kube-system:default', false],
    ['who sends no credentials', 'system:anonymous', false],
  ])('knows %s', async (_, user, mayPass) => {
    expect((await tries(user, 'DELETE', policy)).code).toBe(mayPass ? 200 : 403);
  });

  test('lets who made an approval take it back, and nobody else', async () => {
    const made = handWritten(
      { name: 'by-robot' },
      { resource: 'configmaps', name: 'a' },
      { policy: { name: 'kept' }, requester: { username: robot }, createdBy: { username: robot } },
    );
    // As our own account, which is not sent to the stamp: nothing answers there.
    const { code, body } = await plane.admin.send('POST', approvals, {
      headers: { 'impersonate-user': own, 'impersonate-group': 'system:masters' },
      body: made,
    });
    expect(code, JSON.stringify(body)).toBe(201);
    const path = `${approvals}/by-robot`;
    const status = { status: { phase: 'Approved' } };
    expect({
      itsMaker: (await tries(robot, 'DELETE', path)).code,
      anotherAccount: (await tries('system:serviceaccount:ci:other', 'DELETE', path)).code,
      aPerson: (await tries('root', 'DELETE', path)).code,
      statusByItsMaker: (await tries(robot, 'PATCH', `${path}/status`, status)).code,
      statusByUs: (await tries(own, 'PATCH', `${path}/status`, status)).code,
    }).toEqual({ itsMaker: 200, anotherAccount: 403, aPerson: 200, statusByItsMaker: 403, statusByUs: 200 });
  });
});

describe('what is tampered with', () => {
  const policies = () => new ResourceClient<StepUpPolicy>(rest, stepUpPolicies);
  const tampered = async () =>
    (await policies().get({ name: 'kept' })).status?.conditions?.find(({ type }) => type === 'Tampered');
  const clear = () =>
    plane.kubectl([
      'annotate',
      'stepuppolicies',
      '--all',
      '--overwrite',
      `stepup.dev/tampered-cleared=${new Date().toISOString()}`,
    ]);
  const eventOf = (kind: string, name: string) =>
    eventually('the event', async () => {
      const { items } = await plane.admin.list('/apis/events.k8s.io/v1/namespaces/default/events');
      return items.find(({ regarding, note }) => {
        const { kind: k, name: n } = regarding as { kind: string; name: string };
        return (k === kind && n === name) || String(note).startsWith(`${kind} ${name} `);
      });
    });

  test.each<{ kind: string; name: string; what: string; patch?: object }>([
    { kind: 'ValidatingAdmissionPolicy', name: 'stepup-guard', what: 'deleted' },
    { kind: 'ValidatingAdmissionPolicyBinding', name: 'stepup-guard', what: 'deleted' },
    {
      kind: 'ValidatingAdmissionPolicyBinding',
      name: 'stepup-guard-namespace',
      what: 'edited',
      patch: { spec: { validationActions: ['Warn'] } },
    },
    {
      kind: 'ValidatingAdmissionPolicy',
      name: 'stepup-guard-namespace',
      what: 'edited',
      patch: { spec: { failurePolicy: 'Ignore' } },
    },
  ])(
    '$kind $name, $what: comes back, and everybody is told until a person says that it was looked at',
    async ({ kind, name, what, patch }) => {
      const plural =
        kind === 'ValidatingAdmissionPolicy' ? 'validatingadmissionpolicies' : 'validatingadmissionpolicybindings';
      const path = `${admission}/${plural}/${name}`;
      const before = await plane.admin.get<{ metadata: { name: string }; spec: object }>(path);
      const began = performance.now();
      await (patch === undefined ? plane.admin.delete(path) : plane.admin.patch(path, patch));
      await eventually('it to be back', async () => {
        expect((await plane.admin.get<{ metadata: { name: string }; spec: object }>(path)).spec).toEqual(before.spec);
        return true;
      });
      process.stdout.write(`${kind} ${name} ${what}, back after ${Math.round(performance.now() - began)} ms\n`);
      const condition = await eventually('the condition', async () => {
        const found = await tampered();
        return found?.status === 'True' && found.message.startsWith(`${kind} ${name} was ${what}`) ? found : undefined;
      });
      expect(condition.message).toContain(
        'kubectl annotate stepuppolicies --all --overwrite stepup.dev/tampered-cleared=',
      );
      expect(await eventOf(kind, name)).toMatchObject({ type: 'Warning', reason: 'Restored' });
      expect(await operator.registry.metrics()).toMatch(new RegExp(`stepup_restores_total\\{kind="${kind}"\\} [1-9]`));
      expect(await clear()).toMatchObject({ code: 0 });
      await eventually('it to be cleared', async () => (await tampered())?.status === 'False');
    },
  );

  test('another API server that answers for our group is taken away at once', async () => {
    const labelled = { metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': null } } };
    const spec = { service: { name: 'hijack', namespace: 'dev', port: 443 }, insecureSkipTLSVerify: true };
    const began = performance.now();
    await plane.admin.patch(apiService, { ...labelled, spec });
    await eventually('ours to be back', async () => {
      const found = await plane.admin.get<{ metadata: { name: string }; spec: { service?: object } }>(apiService);
      return found.spec.service === undefined;
    });
    await eventually('ours to answer', () => plane.admin.get(policy));
    process.stdout.write(`APIService taken back after ${Math.round(performance.now() - began)} ms\n`);
    await eventually('the condition', async () =>
      (await tampered())?.message.includes('pointed at Service dev/hijack'),
    );
    expect(await eventOf('APIService', 'v1alpha1.stepup.dev')).toMatchObject({ reason: 'Restored' });
    await clear();
  });
});
