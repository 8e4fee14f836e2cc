// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Facts B16 to B20 (docs/facts.md): who acts after an approved change, and as whom.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AdminClient } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { apply } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { targetOf } from '../../support/side-webhook.ts';
import { deployment, deployments, imagePatch } from '../../support/traffic.ts';
import { configMap, core, deploymentAtRest, deploymentPath, hasImage, patch, pod } from './actions.ts';
import {
  approvalInDenial,
  approvalOf,
  approvalsOn,
  codeAndMessage,
  deniedThenApproved,
  deployerName,
  type Lab,
  observedOnce,
  startLab,
  waitForEnd,
  waitForPhase,
} from './facts-lab.ts';
import { type Histories, startHistories, timesDeleted, timesPersisted } from './history.ts';

let lab: Lab;
let rootBot: AdminClient;
let histories: Histories;

beforeAll(async () => {
  lab = await startLab();
  rootBot = await lab.client('ci/root-bot');
  const creation = (resource: string) => [{ operations: ['CREATE'], apiGroups: [''], resources: [resource] }];
  await addPolicy(lab.stepup, 'by-pod', creation('services'), { grant: { bindIdentity: 'Pod' } });
  await addPolicy(lab.stepup, 'by-credential', creation('configmaps'), { grant: { bindIdentity: 'Credential' } });
  histories = await startHistories(lab.admin);
});
afterAll(async () => {
  histories?.close();
  await lab?.stop();
});

const controller = (name: string) => `system:serviceaccount:kube-system:${name}`;
/** Who did what to the objects whose names begin like this. */
const doneTo = (prefix: string, namespace = 'prod') =>
  lab.side
    .reviews((review) => targetOf(review).startsWith(prefix) && review.namespace === namespace)
    .map(({ operation, resource, userInfo }) => `${userInfo.username} ${operation} ${resource.resource}`);

test('B16 what controllers do after an approved change needs no approval of its own', async () => {
  const body = { ...deployment('prod', 'b16'), spec: { ...deployment('prod', 'b16').spec, replicas: 2 } };
  const attempt = () => lab.deployer.send('POST', deployments('prod'), { body });
  const key = await deniedThenApproved(lab, attempt);
  expect((await attempt()).code).toBe(201);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  const pods = () => doneTo('b16-').filter((done) => done === `${controller('replicaset-controller')} CREATE pods`);
  await eventually('both pods to be made', () => pods().length === 2);
  expect(doneTo('b16-')).toContain(`${controller('deployment-controller')} CREATE replicasets`);
  expect((await approvalsOn(lab, 'b16')).length).toBe(1);
  const { items } = await lab.admin.list('/apis/stepup.dev/v1alpha1/stepupapprovals');
  expect(items.length, 'nothing else was asked for').toBe(1);
  // The requester gets no pod in the same way.
  const own = await lab.deployer.send('POST', core('pods'), { body: pod('b16-own') });
  expect(codeAndMessage(own)).toContain('production-deploys requires approval to CREATE pods prod/b16-own');
});

test('B17 a namespace is approved as a whole, and the namespace controller then deletes what is in it unasked', async () => {
  const metadata = { name: 'b17', labels: { environment: 'production' } };
  await apply(lab.cluster, [{ apiVersion: 'v1', kind: 'Namespace', metadata }]);
  await lab.admin.post(core('pods', '', 'b17'), pod('inside', 'b17'));
  await lab.admin.post(core('secrets', '', 'b17'), { metadata: { name: 'inside' } });
  const attempt = () => lab.deployer.send('DELETE', '/api/v1/namespaces/b17');
  const one = approvalInDenial(await rootBot.send('DELETE', core('secrets', 'inside', 'b17')));
  expect(one.namespace, 'its contents need approvals of their own').toBe('b17');
  const key = await deniedThenApproved(lab, attempt, ['ada', 'grace']);
  expect((await attempt()).code).toBe(200);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  await eventually('the namespace to be gone', async () => {
    return (await lab.admin.send('GET', '/api/v1/namespaces/b17')).code === 404;
  });
  expect(new Set(doneTo('inside', 'b17').filter((done) => done.includes('kube-system')))).toEqual(
    new Set([
      `${controller('namespace-controller')} DELETE pods`,
      `${controller('namespace-controller')} DELETE secrets`,
    ]),
  );
  expect(timesDeleted(await histories.pods.of('inside', 'b17'))).toBe(1);
});

test('B18 an owner that does not exist has the garbage collector delete a pod, so giving it one is asked about as a deletion', async () => {
  await lab.admin.post(core('pods'), pod('b18'));
  const ownerReferences = [
    { apiVersion: 'v1', kind: 'ConfigMap', name: 'never-was', uid: '00000000-0000-0000-0000-000000000000' },
  ];
  const attempt = () => patch(lab, core('pods', 'b18'), { metadata: { ownerReferences } });
  const key = await deniedThenApproved(lab, attempt);
  expect((await approvalOf(lab, key)).spec.action.operation).toBe('DELETE');
  expect(timesDeleted(await histories.pods.of('b18'))).toBe(0);
  expect((await attempt()).code).toBe(200);
  await eventually('the pod to be collected', async () => timesDeleted(await histories.pods.of('b18')) === 1);
  expect(doneTo('b18')).toContain(`${controller('generic-garbage-collector')} DELETE pods`);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
  expect((await approvalsOn(lab, 'b18')).length).toBe(1);
  // An annotation is no owner.
  await lab.admin.post(core('pods'), pod('b18-free'));
  expect((await patch(lab, core('pods', 'b18-free'), { metadata: { annotations: { any: 'thing' } } })).code).toBe(200);
});

test('B19 whoever impersonates is judged as the impersonated: as a person he is not gated, as an account he is', async () => {
  await deploymentAtRest(lab, 'b19');
  const as = (headers: Record<string, string>, image: string) =>
    rootBot.send('PATCH', deploymentPath('b19'), {
      body: imagePatch(image),
      contentType: 'application/merge-patch+json',
      headers,
    });
  expect(approvalInDenial(await as({}, 'nginx:1')).namespace, 'as itself').toBe('prod');
  const asDeployer = approvalInDenial(await as({ 'impersonate-user': deployerName }, 'nginx:2'));
  const { spec } = await waitForPhase(lab, asDeployer, 'Pending');
  expect(spec.requester.username).toBe(deployerName);
  // What docs/guarantees.md says: whoever may impersonate people is not held back by this.
  const admin = { 'impersonate-user': 'carol', 'impersonate-group': 'system:masters' };
  expect((await as(admin, 'nginx:3')).code).toBe(200);
  expect(timesPersisted(await histories.deployments.of('b19'), hasImage('nginx:3'))).toBe(1);
  expect(timesPersisted(await histories.deployments.of('b19'), hasImage('nginx:2'))).toBe(0);
  // The role that is made for gated accounts does not let them.
  const refused = await lab.deployer.send('GET', deploymentPath('b19'), { headers: { 'impersonate-user': 'carol' } });
  expect(codeAndMessage(refused)).toMatch(/^403 .*cannot impersonate/);
});

/** A pod of the deployer's account, and a client with its token. */
async function runner(name: string): Promise<AdminClient> {
  const made = await lab.admin.post(core('pods', '', 'ci'), {
    ...pod(name, 'ci'),
    spec: { ...pod(name, 'ci').spec, serviceAccountName: 'deployer' },
  });
  return lab.client('ci/deployer', { name, uid: made.metadata.uid ?? '' });
}

test('B20 an approval that is bound to a pod is not spent by the same account anywhere else', async () => {
  const [here, elsewhere] = [await runner('b20-here'), await runner('b20-elsewhere')];
  const body = { metadata: { name: 'b20' }, spec: { ports: [{ port: 80 }] } };
  const attempt = (client: AdminClient) => client.send('POST', core('services'), { body });
  const key = await deniedThenApproved(lab, () => attempt(here));
  expect((await approvalOf(lab, key)).spec.requester.pod?.name).toBe('b20-here');
  expect(approvalInDenial(await attempt(elsewhere)).name, 'the token of another pod').not.toBe(key.name);
  const unbound = await attempt(lab.deployer);
  expect(unbound.code, 'a token of no pod').toBe(403);
  expect((await attempt(here)).code).toBe(201);
  expect(await waitForEnd(lab, key)).toEqual(observedOnce);
});

test('B20 an approval that is bound to a credential is not spent by another token of the same account', async () => {
  const another = await lab.client('ci/deployer');
  const attempt = (client: AdminClient) => client.send('POST', core('configmaps'), { body: configMap('b20') });
  const key = await deniedThenApproved(lab, () => attempt(lab.deployer));
  expect(approvalInDenial(await attempt(another)).name, 'another token').not.toBe(key.name);
  expect((await attempt(lab.deployer)).code).toBe(201);
  expect((await attempt(another)).code, 'and what is spent is spent').toBe(403);
  expect((await lab.admin.get(core('configmaps', 'b20'))).metadata.name).toBe('b20');
});
