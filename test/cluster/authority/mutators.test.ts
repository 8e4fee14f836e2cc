// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Somebody who may write mutating policies turns a Deny into an Approve before any webhook sees it: then nothing is
// sealed, by nobody's vote, until it is taken away or trusted.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type Actors, decisionsIn, tried } from '../../support/installation/actors.ts';
import { apply, type Installation } from '../../support/installation/installation.ts';
import { deniedApproval, installGoverningConfigMaps, updateOf } from './config-map-changes.ts';

let stepup: Installation;
let actors: Actors;
beforeAll(async () => {
  ({ stepup, actors } = await installGoverningConfigMaps());
}, 300_000);
afterAll(() => stepup?.stop());

const group = '/apis/admissionregistration.k8s.io/v1';
const action = updateOf('wanted');

const swap = (mutation: string) => [
  {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingAdmissionPolicy',
    metadata: { name: 'swap' },
    spec: {
      failurePolicy: 'Ignore',
      reinvocationPolicy: 'Never',
      matchConstraints: {
        resourceRules: [
          { apiGroups: ['stepup.dev'], apiVersions: ['*'], operations: ['CREATE'], resources: ['stepupdecisions'] },
        ],
      },
      mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: mutation } }],
    },
  },
  {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingAdmissionPolicyBinding',
    metadata: { name: 'swap' },
    spec: { policyName: 'swap' },
  },
];

test('a Deny that is turned into an Approve on its way is not sealed', async () => {
  const approval = await deniedApproval(actors, action);
  const key = { namespace: approval.metadata.namespace, name: approval.metadata.name };
  const deny = (dryRun = '') =>
    actors.send('ada', 'POST', `${decisionsIn('prod')}${dryRun}`, {
      ...JSON.parse(approval.status?.approveWith ?? ''),
      spec: { ...JSON.parse(approval.status?.approveWith ?? '').spec, verdict: 'Deny' },
    });
  await apply(stepup.cluster, swap('Object{spec: Object.spec{verdict: "Approve"}}'));
  const refused = await eventually('the policy to be known', async () => {
    const said = await deny('?dryRun=All');
    if (said.isDone) throw new Error('it is stamped');
    return said;
  });
  expect(refused).toMatchObject({ code: 403 });
  expect(refused.message).toContain('MutatingAdmissionPolicy swap can change this object before stepup sees it');
  expect((await actors.approve(key, 'grace')).isDone, 'nor is anybody else’s word').toBe(false);
  expect((await tried(actors, action)).isDone).toBe(false);

  for (const kind of ['mutatingadmissionpolicybindings', 'mutatingadmissionpolicies']) {
    await actors.do('admin', 'DELETE', `${group}/${kind}/swap`);
  }
  await eventually('its votes to be taken again', async () => (await deny('?dryRun=All')).isDone);
  expect(await actors.approve(key, 'grace')).toMatchObject({ isDone: true });
  expect(await tried(actors, action)).toMatchObject({ isDone: true });
});

test('a webhook that calls somebody else is foreign as well, however narrow its selectors are', async () => {
  const approval = await deniedApproval(actors, action);
  const key = { namespace: approval.metadata.namespace, name: approval.metadata.name };
  await actors.do('admin', 'POST', `${group}/mutatingwebhookconfigurations`, {
    metadata: { name: 'swapper' },
    webhooks: [
      {
        name: 'swapper.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Ignore',
        timeoutSeconds: 1,
        clientConfig: { url: 'https://127.0.0.1:1/swap' },
        rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['CREATE'], resources: ['*'] }],
        // Narrow today: it is not looked at.
        objectSelector: { matchLabels: { never: 'there' } },
      },
    ],
  });
  const said = await actors.approve(key);
  expect(said).toMatchObject({ isDone: false, code: 403 });
  expect(said.message).toContain('MutatingWebhookConfiguration swapper');
  await actors.do('admin', 'DELETE', `${group}/mutatingwebhookconfigurations/swapper`);
  expect(await actors.approve(key)).toMatchObject({ isDone: true });
});
