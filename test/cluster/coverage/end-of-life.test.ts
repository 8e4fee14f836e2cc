// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Equivalent requests at the ends of an object's life: made directly instead of by a Deployment, ended by its finalizers or by an
// owner, changed while it is going. Each is refused, approved, and passes on its second try; its neighbour passes at once.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { approveDenied } from '../../support/installation/approvals.ts';
import { type Actor, apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
  const rbac = { apiGroups: ['rbac.authorization.k8s.io'], resources: ['clusterroles'] };
  // Cluster-scoped kinds are in no namespace that a selector could select.
  const everywhere = { namespaceSelector: undefined, namespaceShapes: undefined };
  await addPolicy(stepup, 'roles', [{ operations: ['UPDATE'], ...rbac }], everywhere);
}, 300_000);
afterAll(() => stepup?.stop());

const kubectl = (actor: Actor, args: readonly string[], stdin?: string) =>
  stepup.kubectl(actor, args, stdin === undefined ? {} : { stdin });

async function passesOnSecondTry(
  args: readonly string[],
  words: string,
  given: { stdin?: string; actor?: Actor } = {},
) {
  const { stdin, actor = 'deployer' } = given;
  const denied = await kubectl(actor, args, stdin);
  expect(denied.code).not.toBe(0);
  expect(denied.stderr).toContain(words);
  await approveDenied(stepup, denied);
  expect(await kubectl(actor, args, stdin), args.join(' ')).toMatchObject({ code: 0 });
}

async function passes(args: readonly string[], actor: Actor = 'deployer') {
  expect(await kubectl(actor, args), args.join(' ')).toMatchObject({ code: 0 });
}

const patch = (kind: string, name: string, change: object, namespace = 'prod') => [
  ...(namespace === '' ? [] : ['-n', namespace]),
  ...['patch', kind, name, '--type=merge', '-p', JSON.stringify(change)],
];

describe('code that is started directly', () => {
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } };
  const once = { ...template, spec: { ...template.spec, restartPolicy: 'Never' } };
  const selector = { matchLabels: { a: 'b' } };
  test.each([
    ['v1', 'Pod', 'pods', template.spec],
    ['batch/v1', 'Job', 'jobs', { template: once }],
    ['batch/v1', 'CronJob', 'cronjobs', { schedule: '@yearly', jobTemplate: { spec: { template: once } } }],
    ['apps/v1', 'ReplicaSet', 'replicasets', { replicas: 0, selector, template }],
    ['apps/v1', 'StatefulSet', 'statefulsets', { replicas: 0, serviceName: 'x', selector, template }],
    ['apps/v1', 'DaemonSet', 'daemonsets', { selector, template }],
    ['v1', 'ReplicationController', 'replicationcontrollers', { replicas: 0, selector: { a: 'b' }, template }],
  ])('%s %s is asked about in production and nowhere else', async (apiVersion, kind, resource, spec) => {
    const manifest = (namespace: string) =>
      JSON.stringify({ apiVersion, kind, metadata: { name: 'direct', namespace }, spec });
    const words = `production-deploys requires approval to CREATE ${resource} prod/direct`;
    await passesOnSecondTry(['create', '-f', '-'], words, { stdin: manifest('prod') });
    expect(await kubectl('deployer', ['create', '-f', '-'], manifest('dev'))).toMatchObject({ code: 0 });
  });
});

describe('a Secret that may not be deleted', () => {
  const secret = (name: string, metadata: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'prod', ...metadata },
  });
  const isGone = (name: string) =>
    eventually(`${name} to go`, async () =>
      (await kubectl('admin', ['-n', 'prod', 'get', 'secret', name])).stderr.includes('NotFound'),
    );

  test('is not let go by its last finalizer, though its finalizers may change while it lives', async () => {
    await apply(stepup.cluster, [secret('held', { finalizers: ['example.com/hold'] })]);
    const finalizers = (...list: readonly string[]) => patch('secret', 'held', { metadata: { finalizers: list } });
    await passes(finalizers('example.com/hold', 'example.com/other'));
    await passes(finalizers('example.com/hold'));
    await kubectl('admin', ['-n', 'prod', 'delete', 'secret', 'held', '--wait=false']);
    await passesOnSecondTry(finalizers(), 'secret-deletion requires approval to DELETE secrets prod/held');
    await isGone('held');
  });

  test('gets no owner whose end would be its own, and any other change', async () => {
    await apply(stepup.cluster, [secret('owned')]);
    await passes(patch('secret', 'owned', { metadata: { labels: { a: 'b' } } }));
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'gone', uid: '0bd8a3a8-1f3c-4a8e-9f0e-111111111111' };
    const adopt = patch('secret', 'owned', { metadata: { ownerReferences: [owner] } });
    await passesOnSecondTry(adopt, 'secret-deletion requires approval to DELETE secrets prod/owned');
    // The garbage collector finds no such owner, and deletes as one of Kubernetes' controllers.
    await isGone('owned');
  });
});

describe('a ClusterRole that is being deleted', () => {
  test('still grants, so its rules ask like those of a living one; its finalizers do not', async () => {
    const metadata = { name: 'dying', finalizers: ['example.com/hold'] };
    await apply(stepup.cluster, [
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata, rules: [] },
    ]);
    await kubectl('admin', ['delete', 'clusterrole', 'dying', '--wait=false']);
    const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }];
    const words = 'roles requires approval to UPDATE clusterroles dying';
    await passesOnSecondTry(patch('clusterrole', 'dying', { rules }, ''), words, { actor: 'root-bot' });
    const other = patch('clusterrole', 'dying', { rules: [], metadata: { finalizers: null } }, '');
    expect((await kubectl('root-bot', other)).stderr, 'both at once').toContain(words);
    await passes(patch('clusterrole', 'dying', { metadata: { finalizers: null } }, ''), 'root-bot');
  });
});
