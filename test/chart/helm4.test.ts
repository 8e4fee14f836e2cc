// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Helm 4 installs, upgrades and uninstalls stepup itself, as rendered, on the stand-in node. It applies on the server, so that
// fields which others wrote meanwhile are conflicts, and it waits for what each object says of itself.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureBinary } from '../controlplane/binaries.ts';
import { commandEnv } from '../controlplane/command-env.ts';
import { type ControlPlane, startControlPlane } from '../controlplane/controlplane.ts';
import { eventually } from '../controlplane/eventually.ts';
import { type CommandResult, runCommand } from '../controlplane/run-command.ts';
import { type StandinNode, startStandinNode } from '../controlplane/standin/node.ts';
import { policiesReady } from '../e2e/installation.ts';
import { imageEntrypoint } from '../tools/image-entrypoint.ts';
import { chart, root, systemNamespace } from './chart.ts';

let cluster: ControlPlane;
let node: StandinNode;
let helm4: string;

beforeAll(async () => {
  helm4 = await ensureBinary('helm4');
  cluster = await startControlPlane();
  node = await startStandinNode(cluster, { image: /stepup/, entrypoint: imageEntrypoint(join(root, 'dist')) });
});

afterAll(async () => {
  await node.stop();
  await cluster.stop();
});

test('one command installs it, and waits until it serves', async () => {
  const installed = await helm('install', 'stepup', chart, '--create-namespace', '--wait');
  expect(installed).toMatchObject({ code: 0 });
  expect(node.pods().map(({ isReady }) => isReady)).toEqual([true, true]);
  await policiesReady(cluster, 3);
});

test('an upgrade changes what it is told, and leaves what stepup wrote: configurations, authority, keys', async () => {
  const before = await written();
  expect(before.filter((line) => line.includes('caBundle'))).not.toEqual([]);
  const upgraded = await helm('upgrade', 'stepup', chart, '--wait', '--set=replicas=3,commonLabels.team=platform');
  expect(upgraded).toMatchObject({ code: 0 });
  expect(node.pods().filter(({ isReady }) => isReady)).toHaveLength(3);
  await policiesReady(cluster, 3);
  expect(await written()).toEqual(before);
});

test('replicas that a person scaled are in conflict, by name, until told to be taken', async () => {
  const scaled = ['scale', 'deployment', 'stepup', '--replicas=0', `--namespace=${systemNamespace}`];
  expect(await cluster.kubectl(scaled)).toMatchObject({ code: 0 });
  const upgrade = ['upgrade', 'stepup', chart, '--reuse-values', '--wait'];
  const refused = await helm(...upgrade);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/conflict.*\.spec\.replicas/s) });
  expect(await helm(...upgrade, '--force-conflicts')).toMatchObject({ code: 0 });
  expect(node.pods().filter(({ isReady }) => isReady)).toHaveLength(3);
});

test('uninstall leaves the kinds, which are kept, the Lease, and nothing else', async () => {
  expect(await helm('uninstall', 'stepup', '--wait')).toMatchObject({ code: 0 });
  await eventually('all pods to end', () => node.pods().length === 0);
  const left = await names('--all-namespaces', inNamespaces);
  expect(left.filter((name) => /stepup/.test(name))).toEqual(['lease.coordination.k8s.io/stepup']);
  expect((await names('', outside)).filter((name) => /stepup/.test(name))).toEqual([
    'customresourcedefinition.apiextensions.k8s.io/stepupapprovals.stepup.dev',
    'customresourcedefinition.apiextensions.k8s.io/stepupdecisions.stepup.dev',
    'customresourcedefinition.apiextensions.k8s.io/stepuppolicies.stepup.dev',
    'namespace/stepup-system',
  ]);
  expect(await names('', 'stepuppolicies')).toEqual([]);
});

const inNamespaces =
  'deployments,replicasets,pods,jobs,services,endpointslices,serviceaccounts,configmaps,secrets,leases,roles,rolebindings,poddisruptionbudgets,networkpolicies';
const outside =
  'namespaces,clusterroles,clusterrolebindings,customresourcedefinitions,validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings';

/** What the operator wrote, one line each: the identity of each object, and every authority in it. */
async function written(): Promise<readonly string[]> {
  const template =
    '{range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{range .webhooks[*]} caBundle {.clientConfig.caBundle}{end} {.data}{"\\n"}{end}';
  const get = (kinds: string, ...args: readonly string[]) =>
    cluster.kubectl(['get', kinds, `--output=jsonpath=${template}`, ...args]);
  const configurations = await get('validatingwebhookconfigurations,mutatingwebhookconfigurations');
  const secrets = await get('secrets', `--namespace=${systemNamespace}`, '--field-selector=type!=helm.sh/release.v1');
  return `${configurations.stdout}${secrets.stdout}`.trim().split('\n').sort();
}

async function names(scope: string, kinds: string): Promise<readonly string[]> {
  const { stdout } = await cluster.kubectl(['get', kinds, '--output=name', ...(scope === '' ? [] : [scope])]);
  return stdout.split('\n').filter(Boolean).sort();
}

function helm(...args: readonly string[]): Promise<CommandResult> {
  const env = commandEnv(join(cluster.dir, 'home'), cluster.adminKubeconfig);
  const given = [...args, `--namespace=${systemNamespace}`, '--timeout=90s'];
  return runCommand(helm4, given, { env, cwd: root, timeoutMs: 120_000 });
}
