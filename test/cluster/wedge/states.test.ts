// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whatever state an installation is in: upgrading, going back or uninstalling leads out of it, and leaves nothing behind.
//
// Not every state is tried with every way out, since each takes seconds. Not run: uninstalling from what only some certificate,
// keyring or kind is missing (it is run from all of that lost at once, and needs none of it), nor from no replicas
// (most states have none), nor from a failed or a killed upgrade (its Job has the image that cannot start); going back from no replicas, no kinds,
// expired certificates, foreign edits or a dead leader's Lease (for Helm it is an upgrade to an older manifest); upgrading
// from a failed upgrade, a missing kind, or a missing keyring (see going back). The dead leader's Lease is waited for after
// the restart of the cluster, and emergency.test.ts frees Helm of an upgrade that was killed.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { commandsUnder, runDocumented } from '../../support/answers/shown-commands.ts';
import { eventually } from '../../support/eventually.ts';
import { systemNamespace } from '../../support/installation/installation.ts';
import { added, inventory } from './inventory.ts';
import { states } from './states.ts';
import { type Lab, startLab } from './wedge-lab.ts';

vi.setConfig({ testTimeout: 90_000 });
let lab: Lab;
let before: ReadonlySet<string>;

beforeAll(async () => {
  lab = await startLab();
  before = await inventory(lab.cluster.admin);
  await lab.upgrade();
  await lab.works('new');
}, 180_000);
afterAll(() => lab?.stop());

/** What `crds.keep` keeps: the kinds, and what was made of them but ready-made policies. */
const kept =
  /^(apiextensions\.k8s\.io\/customresourcedefinitions stepup\w+\.stepup\.dev|apiregistration\.k8s\.io\/apiservices v1alpha1\.stepup\.dev|stepup\.dev\/stepup(approvals|decisions) prod\/.+)$/;
/** A Pod's name is another one each time. */
const ofOthers = /^(pods|\S+\/replicasets) prod\/(other|worked)-|^\S+\/replicasets dev\/free-/;

async function leavesNothing(): Promise<void> {
  await eventually('everything to be gone', async () => {
    const left = added(before, await inventory(lab.cluster.admin)).filter((one) => !ofOthers.test(one));
    expect(left.filter((one) => !kept.test(one))).toEqual([]);
    return true;
  });
}

async function helm(...args: string[]): Promise<void> {
  const { code, stderr } = await lab.helm(...args);
  expect(code, stderr).toBe(0);
}

async function documented(mark: string): Promise<void> {
  const { cluster } = lab;
  const commands = commandsUnder('docs/emergency.md', mark);
  const reader = { cluster, kubeconfigs: { admin: cluster.adminKubeconfig } };
  const { code, stdout, stderr } = await runDocumented(reader, 'admin', commands);
  expect(code, stdout + stderr).toBe(0);
}

const waysOut = {
  upgrade: () => lab.upgrade(),
  'rollback to the last revision that worked': async () => {
    await helm('rollback', 'stepup', String(goodRevision), '--wait', '--timeout', '60s');
  },
  'uninstall and install': async () => {
    await helm('uninstall', 'stepup', '--wait', '--timeout', '60s');
    await lab.isOpen();
    await leavesNothing();
    await lab.upgrade();
  },
  'uninstall by hand and install': async () => {
    await documented('emergency uninstall');
    await lab.isOpen();
    await leavesNothing();
    await lab.upgrade();
  },
  'the commands for a stuck Helm': () => documented('emergency helm'),
} as const;

let goodRevision = 1;
async function rememberRevision(): Promise<void> {
  const { stdout } = await lab.helm('status', 'stepup', '-o', 'json');
  goodRevision = (JSON.parse(stdout) as { version: number }).version;
}

const rows: readonly (readonly [keyof typeof states, keyof typeof waysOut])[] = [
  ['an image that cannot start', 'upgrade'],
  ['an image that cannot start', 'rollback to the last revision that worked'],
  ['an image that cannot start', 'uninstall by hand and install'],
  ['no replicas', 'upgrade'],
  ['expired certificates', 'upgrade'],
  ['no certificates', 'rollback to the last revision that worked'],
  ['certificates that are garbage', 'upgrade'],
  ['no keyring', 'rollback to the last revision that worked'],
  ['no kinds', 'upgrade'],
  ['one kind gone', 'rollback to the last revision that worked'],
  ['everything lost at once', 'uninstall and install'],
  ["a dead leader's Lease", 'uninstall and install'],
  ['foreign edits', 'upgrade'],
  ['foreign edits', 'uninstall and install'],
  ['an upgrade that failed', 'rollback to the last revision that worked'],
  ['an upgrade that was killed', 'rollback to the last revision that worked'],
  ['an installation that was killed', 'uninstall and install'],
  ['an installation that was killed', 'the commands for a stuck Helm'],
];

describe('out of', () => {
  test.each(rows)('%s by: %s', async (state, wayOut) => {
    await rememberRevision();
    await states[state](lab);
    await waysOut[wayOut]();
    const isNew = wayOut.includes('install') || state === 'an installation that was killed';
    await lab.works(isNew ? 'new' : undefined);
  });
});

test('a whole cluster that starts again, with the gates in place and nobody behind them', async () => {
  const { admin } = lab.cluster;
  const podsOf = async (namespace: string) => (await admin.list(`/api/v1/namespaces/${namespace}/pods`)).items;
  await lab.restart();
  const [other] = await podsOf('prod');
  await lab.cluster.kubectl(['delete', 'pods', '--all', '--force', '--grace-period=0', '-n', systemNamespace]);
  await lab.cluster.kubectl(['delete', 'pods', '--all', '--force', '--grace-period=0', '-n', 'prod']);
  await lab.refuses();
  for (const namespace of ['prod', systemNamespace]) {
    await eventually(`a Pod in ${namespace}`, async () => (await podsOf(namespace)).length > 0);
  }
  expect((await podsOf('prod')).map(({ metadata }) => metadata.uid)).not.toContain(other?.metadata.uid);
  await lab.startNode();
  await lab.works();
});

test('a namespace that stays Terminating: the gate is taken away by hand, and stepup is installed once it is gone', async () => {
  const { admin } = lab.cluster;
  const path = `/api/v1/namespaces/${systemNamespace}/configmaps`;
  await admin.post(path, { metadata: { name: 'stuck', finalizers: ['example.test/stuck'] } });
  await lab.down();
  await lab.cluster.kubectl(['delete', 'namespace', systemNamespace, '--wait=false']);
  await lab.refuses();
  await eventually('Helm to be refused', async () => {
    const upgraded = lab.upgrade([], []);
    return (await upgraded.catch(String))?.includes('because it is being terminated') || 'it was not';
  });
  await documented('emergency namespace');
  await lab.isOpen();
  await admin.patch(`${path}/stuck`, { metadata: { finalizers: null } });
  await eventually('the namespace to go', async () => {
    return (await admin.send('GET', `/api/v1/namespaces/${systemNamespace}`)).code === 404;
  });
  await documented('emergency install');
  await lab.works('new');
});

test('uninstalling with crds.keep=false leaves nothing at all', async () => {
  await lab.upgrade(['crds.keep=false']);
  await helm('uninstall', 'stepup', '--wait', '--timeout', '60s');
  await eventually('everything to be gone', async () => {
    const left = added(before, await inventory(lab.cluster.admin)).filter((one) => !ofOthers.test(one));
    expect(left).toEqual([]);
    return true;
  });
});
