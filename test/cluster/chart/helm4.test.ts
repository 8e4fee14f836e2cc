// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Helm 4 installs, upgrades and uninstalls stepup itself, as rendered, on the stand-in node. It applies on the server, so that
// fields which others wrote meanwhile are conflicts, and it waits for what each object says of itself.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { imageEntrypoint } from '../../../scripts/image-entrypoint.ts';
import { chart, fixtureValues, render, root, systemNamespace } from '../../support/chart/chart.ts';
import { ensureBinary } from '../../support/control-plane/binaries.ts';
import { commandEnv } from '../../support/control-plane/command-env.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { eventually } from '../../support/eventually.ts';
import { policiesReady } from '../../support/installation/installation.ts';
import { type CommandResult, runCommand } from '../../support/run-command.ts';
import { type StandinNode, startStandinNode } from '../../support/stand-in-node/node.ts';

const definition = 'stepuppolicies.stepup.dev';

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

test.each(['all-on', 'all-off'] as const)('%s is rendered as by Helm 3', async (name) => {
  const fixture = join(root, `test/support/chart/fixtures/${name}.yaml`);
  const { code, stdout } = await helm('template', '1234', chart, '--set=fullnameOverride=gate', `--values=${fixture}`);
  expect(code).toBe(0);
  const byHelm3 = await render({ ...fixtureValues(name), fullnameOverride: 'gate' }, '1234');
  expect(sorted(loadAll(stdout))).toEqual(sorted(byHelm3));
});

test('wrong values are refused as by Helm 3', async () => {
  const refused = await helm('template', 'stepup', chart, '--set=replicaCount=3');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("'replicaCount' not allowed") });
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

test('an upgrade brings back what a person scaled to zero', async () => {
  const scaled = ['scale', 'deployment', 'stepup', '--replicas=0', `--namespace=${systemNamespace}`];
  expect(await cluster.kubectl(scaled)).toMatchObject({ code: 0 });
  await eventually('all pods to end', () => node.pods().length === 0);
  expect(await helm('upgrade', 'stepup', chart, '--reuse-values', '--wait')).toMatchObject({ code: 0 });
  expect(node.pods().filter(({ isReady }) => isReady)).toHaveLength(3);
});

test.each([
  [
    'edited',
    'newer',
    [
      'patch',
      'crd',
      definition,
      '--type=json',
      '--patch=[{"op":"replace","path":"/spec/names/shortNames","value":["edited"]}]',
    ],
  ],
  ['deleted', 'newest', ['delete', 'crd', definition]],
])('an upgrade may change a definition that was %s, and that stepup has put back', async (_, shortName, change) => {
  expect(await cluster.kubectl(change)).toMatchObject({ code: 0 });
  await eventually(
    'the definition to be put back',
    async () => (await definitionNow()).spec?.names.shortNames[0] === 'sup',
  );
  await eventually('stepup to own nothing of it', async () => {
    const { metadata } = await definitionNow();
    return metadata !== undefined && !JSON.stringify(metadata.managedFields).includes('stepup');
  });
  const upgraded = await helm('upgrade', 'stepup', chartWith(`- ${shortName}`), '--reuse-values');
  expect(upgraded).toMatchObject({ code: 0, stderr: '' });
  expect((await definitionNow()).spec?.names.shortNames).toEqual([shortName]);
  // Back to the release whose pods run.
  expect(await helm('rollback', 'stepup')).toMatchObject({ code: 0, stderr: '' });
});

test('uninstall leaves the kinds, which are kept, and nothing else', async () => {
  expect(await helm('uninstall', 'stepup', '--wait')).toMatchObject({ code: 0 });
  await eventually('all pods to end', () => node.pods().length === 0);
  // The Lease goes with the RoleBinding that owns it, as soon as the garbage collector sees to it.
  await eventually('nothing to be left in any namespace', async () => {
    const left = (await names('--all-namespaces', inNamespaces)).filter((name) => /stepup/.test(name));
    if (left.length > 0) throw new Error(left.join(', '));
    return true;
  });
  expect((await names('', outside)).filter((name) => /stepup/.test(name))).toEqual([
    'customresourcedefinition.apiextensions.k8s.io/stepupapprovals.stepup.dev',
    'customresourcedefinition.apiextensions.k8s.io/stepupdecisions.stepup.dev',
    'customresourcedefinition.apiextensions.k8s.io/stepuppolicies.stepup.dev',
    'namespace/stepup-system',
  ]);
  expect(await names('', 'stepuppolicies')).toEqual([]);
});

interface Definition {
  readonly metadata?: { readonly managedFields?: readonly object[] };
  readonly spec?: { readonly names: { readonly shortNames: readonly string[] } };
}

/** As it is; empty while it is gone. */
async function definitionNow(): Promise<Definition> {
  const { stdout } = await cluster.kubectl(['get', 'crd', definition, '--output=json', '--show-managed-fields']);
  return JSON.parse(stdout || '{}') as Definition;
}

/** A copy of the chart, of a later release that defines policies otherwise. */
function chartWith(shortName: string): string {
  const later = join(cluster.dir, 'later');
  cpSync(chart, later, { recursive: true });
  const file = join(later, 'files/crds/stepuppolicies.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('- sup\n', `${shortName}\n`));
  return later;
}

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

function sorted(objects: readonly unknown[]): readonly string[] {
  return objects
    .filter(Boolean)
    .map((object) => JSON.stringify(object))
    .sort();
}

function helm(...args: readonly string[]): Promise<CommandResult> {
  const env = commandEnv(join(cluster.dir, 'home'), cluster.adminKubeconfig);
  const given = [...args, `--namespace=${systemNamespace}`, ...(args[0] === 'template' ? [] : ['--timeout=90s'])];
  return runCommand(helm4, given, { env, cwd: root, timeoutMs: 120_000 });
}
