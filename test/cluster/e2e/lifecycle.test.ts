// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The chart comes and goes: uninstalling takes the gate away first and leaves only what it says it keeps.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { approveDenied } from '../../support/installation/approvals.ts';
import {
  type Installation,
  installStepup,
  policiesReady,
  systemNamespace,
} from '../../support/installation/installation.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
});
afterAll(() => stepup?.stop());

const names = async (...kinds: string[]) => {
  const result = await stepup.kubectl('admin', ['get', kinds.join(','), '-A', '-o', 'name']);
  return result.stdout.split('\n').filter((line) => line.includes('stepup'));
};
const nameIn = (line: string) => line.slice(line.indexOf('/') + 1);
const create = (name: string) =>
  stepup.kubectl('deployer', ['-n', 'prod', 'create', 'deployment', name, '--image=nginx:1']);

test('a webhook configuration that is deleted or edited comes back', async () => {
  await stepup.kubectl('admin', ['delete', 'validatingwebhookconfiguration', 'stepup-production-deploys']);
  const entries = ['stepup-stamp', 'stepup-pin-production-deploys'];
  await stepup.kubectl('admin', ['delete', 'mutatingwebhookconfiguration', ...entries]);
  const patch = '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]';
  const target = 'stepup-secret-deletion';
  await stepup.kubectl('admin', ['patch', 'validatingwebhookconfiguration', target, '--type=json', '-p', patch]);
  const all = async () => (await names('validatingwebhookconfigurations', 'mutatingwebhookconfigurations')).map(nameIn);
  const gates = ['stepup-namespace-deletion', 'stepup-production-deploys', 'stepup-secret-deletion'];
  await expect.poll(async () => (await all()).sort(), { timeout: 10_000 }).toEqual([...gates, ...entries].sort());
  // The watchdog's entry is the only one that may be ignored.
  const asked = '{.webhooks[?(@.sideEffects=="NoneOnDryRun")].failurePolicy}';
  const policies = ['get', 'validatingwebhookconfiguration', target, '-o', `jsonpath=${asked}`];
  await expect
    .poll(async () => (await stepup.kubectl('admin', policies)).stdout, { timeout: 10_000 })
    .not.toContain('Ignore');
});

test('a policy that is switched off by chart value goes, and comes back', async () => {
  await stepup.upgrade(['packs.secret-deletion.enabled=false']);
  await expect.poll(() => names('stepuppolicies'), { timeout: 10_000 }).toHaveLength(2);
  await expect.poll(() => names('validatingwebhookconfigurations'), { timeout: 10_000 }).toHaveLength(2);
  await stepup.upgrade(['packs.secret-deletion.enabled=true']);
  await policiesReady(stepup.cluster, 3);
});

test('the kind of policies comes back when it is deleted, and nothing passes that they governed', async () => {
  const definition = 'stepuppolicies.stepup.dev';
  const metadataOf = async () => {
    const { stdout } = await stepup.kubectl('admin', ['get', 'crd', definition, '-o', 'json']);
    return (JSON.parse(stdout) as { metadata: { uid: string; labels: object; annotations: object } }).metadata;
  };
  const before = await metadataOf();
  let isDeleted = false;
  const deleting = stepup.kubectl('admin', ['delete', 'crd', definition]).finally(() => {
    isDeleted = true;
  });
  for (let tries = 0; !isDeleted || tries < 5; tries++) {
    const { code, stderr } = await create('passed');
    expect(code, stderr).not.toBe(0);
  }
  expect(await deleting).toMatchObject({ code: 0 });
  await policiesReady(stepup.cluster, 3);
  expect((await create('passed')).stderr).toContain('production-deploys requires approval');
  const after = await metadataOf();
  expect(after.uid).not.toBe(before.uid);
  expect(after).toMatchObject({ labels: before.labels, annotations: before.annotations });
  // Helm goes on as if nothing had been.
  await stepup.upgrade();
  expect((await metadataOf()).uid).toBe(after.uid);
  await stepup.kubectl('admin', ['-n', 'prod', 'delete', 'stepupapprovals', '--all']);
});

test('uninstalling leaves the kinds with their objects and nothing that gates; installing again takes over', async () => {
  await approveDenied(stepup, await create('kept'));
  const gone = await stepup.cluster.helm(['uninstall', 'stepup', '-n', systemNamespace, '--wait'], {
    timeoutMs: 120_000,
  });
  expect(gone.code, gone.stderr).toBe(0);
  expect(await names('validatingwebhookconfigurations', 'mutatingwebhookconfigurations', 'stepuppolicies')).toEqual([]);
  expect(await names('validatingadmissionpolicies', 'validatingadmissionpolicybindings')).toEqual([]);
  expect(await names('clusterroles', 'clusterrolebindings', 'deployments', 'services', 'jobs')).toEqual([]);
  expect(await names('customresourcedefinitions')).toHaveLength(3);
  expect((await names('stepupapprovals')).length).toBe(1);
  // The deployer's role went with the chart.
  const ungated = '-n prod create deployment ungated --image=nginx:1';
  expect(await stepup.kubectl('root-bot', ungated.split(' '))).toMatchObject({ code: 0 });

  await stepup.upgrade();
  await policiesReady(stepup.cluster, 3);
  // The approval is still there, its vote is not: the keys that sealed it went with the release.
  const kept = await create('kept');
  expect(kept.stderr).toContain('production-deploys requires approval');
  await approveDenied(stepup, kept);
  expect((await create('kept')).code).toBe(0);
  expect((await create('gated')).stderr).toContain('production-deploys requires approval');
});

test('uninstalling with crds.keep=false takes the kinds along, and nobody makes them again', async () => {
  await stepup.upgrade(['crds.keep=false']);
  const gone = await stepup.cluster.helm(['uninstall', 'stepup', '-n', systemNamespace, '--wait'], {
    timeoutMs: 120_000,
  });
  expect(gone.code, gone.stderr).toBe(0);
  expect(await names('customresourcedefinitions')).toEqual([]);
  await sleep(3_000);
  expect(await names('customresourcedefinitions', 'validatingwebhookconfigurations')).toEqual([]);
});
