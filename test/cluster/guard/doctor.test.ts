// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup doctor against a real API server with its own bootstrap roles and the roles of the chart.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { render } from '../../support/chart/chart.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { runCommand } from '../../support/run-command.ts';

const binary = fileURLToPath(new URL('../../../src/cmd/stepup.ts', import.meta.url));
const rbac = 'rbac.authorization.k8s.io';

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane({ controllerManager: false });
  for (const name of ['stepup-system', 'prod']) await plane.admin.post('/api/v1/namespaces', { metadata: { name } });
  const roles = (await render()).filter(({ apiVersion }) => apiVersion === `${rbac}/v1`);
  const applied = await plane.kubectl(['apply', '-f', '-'], {
    stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: roles }),
  });
  expect(applied).toMatchObject({ code: 0 });
  await bind('deployer', 'stepup-gated-admin-cluster');
  await bind('deployer', 'stepup-gated-admin', 'prod');
}, 300_000);
afterAll(() => plane?.stop());

async function bind(account: string, role: string, namespace?: string): Promise<void> {
  const where = namespace === undefined ? 'clusterrolebindings' : `namespaces/${namespace}/rolebindings`;
  await plane.admin.post(`/apis/${rbac}/v1/${where}`, {
    metadata: { name: `${account}-${role}` },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: account }],
  });
}

const doctor = (args: readonly string[], kubeconfig = plane.adminKubeconfig) =>
  runCommand(process.execPath, [binary, 'doctor', ...args], { env: { KUBECONFIG: kubeconfig } });

test('finds nothing where gated accounts hold the roles made for them', async () => {
  expect(await doctor([])).toMatchObject({
    code: 0,
    stdout: 'No gated account has permissions that get around stepup.\n',
  });
  expect(JSON.parse((await doctor(['-o', 'json'])).stdout)).toEqual({ findings: [] });
});

test('names who holds more, what it is and by which grant', async () => {
  await bind('deployer', 'stepup-gated-admin', 'stepup-system');
  await bind('root-bot', 'cluster-admin');
  const { code, stdout } = await doctor(['-o', 'json']);
  const { findings } = JSON.parse(stdout) as { findings: { who: string; power: string; by: string }[] };
  expect(code).toBe(1);
  const of = (account: string) => [
    ...new Set(findings.filter(({ who }) => who === `system:serviceaccount:ci:${account}`).map(({ power }) => power)),
  ];
  expect(of('deployer')).toEqual(['EnterPods', 'MintTokens', 'ReadKeys', 'RunAsStepup']);
  expect(of('root-bot')).toHaveLength(11);
  expect(new Set(findings.map(({ who }) => who)).size).toBe(2);
  const text = await doctor([]);
  expect(text.code).toBe(1);
  expect(text.stdout).toContain(
    "system:serviceaccount:ci:root-bot\n  ChangeAPIServices: can have another server serve stepup's API, by ClusterRoleBinding root-bot-cluster-admin to ClusterRole cluster-admin\n",
  );
  expect(text.stdout).toContain('2 gated accounts and groups can get around stepup.');
  // Where stepup runs decides what matters.
  const elsewhere = await doctor(['-o', 'json', '--namespace', 'elsewhere']);
  expect(elsewhere.stdout).not.toContain('ci:deployer');
});

test('says what it could not read', async () => {
  const outsider = await plane.userKubeconfig('outsider', { user: 'mallory' });
  const refused = await doctor([], outsider);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('cannot list resource "clusterroles"');
  expect(await doctor([], '/nowhere')).toMatchObject({ code: 2 });
  expect(await doctor(['-o', 'xml'])).toMatchObject({ code: 2 });
});

test('stepup observed says that there is nothing to look at where stepup is not installed', async () => {
  const env = { KUBECONFIG: plane.adminKubeconfig };
  const { code, stderr, stdout } = await runCommand(process.execPath, [binary, 'observed'], { env });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toBe('stepup observed: this cluster has no stepuppolicies; install stepup first\n');
});
