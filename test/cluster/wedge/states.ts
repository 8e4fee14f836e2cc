// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The states that an installation gets into, each brought about the way it comes about.
import { issueLeaf, makeAuthority, serviceNames } from '../../../src/operator/keys/issue.ts';
import { eventually } from '../../support/eventually.ts';
import { systemNamespace, thisChart } from '../../support/installation/installation.ts';
import { brokenTag, type Lab } from './wedge-lab.ts';

/** Brings an installation that works into the state, and proves that it is in it. */
export type State = (lab: Lab) => Promise<void>;

const inNamespace = (group: string, rest: string) => `${group}/namespaces/${systemNamespace}/${rest}`;
const secret = (name: string) => inNamespace('/api/v1', `secrets/${name}`);
const deploymentPath = inNamespace('/apis/apps/v1', 'deployments/stepup');
const admission = '/apis/admissionregistration.k8s.io/v1';
const kinds = ['stepuppolicies', 'stepupapprovals', 'stepupdecisions'].map((plural) => `${plural}.stepup.dev`);

const withoutReplica =
  (further: State): State =>
  async (lab) => {
    await lab.down();
    await further(lab);
    await lab.refuses();
  };

const replaceSecret = async ({ cluster }: Lab, name: string, data: Readonly<Record<string, string>>) => {
  const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  const stored = await cluster.admin.get(secret(name));
  await cluster.admin.put(secret(name), { ...stored, data: Object.fromEntries(encoded) });
};

const deleteKinds = async ({ cluster }: Lab, names: readonly string[]) => {
  const { code, stderr } = await cluster.kubectl(['delete', 'crd', ...names]);
  if (code !== 0) throw new Error(stderr);
};

const dayMs = 24 * 3_600_000;

/** A pair that ended years ago, also in what the API server is told to trust. */
const expire: State = async (lab) => {
  const { admin } = lab.cluster;
  const then = new Date('2020-01-01T00:00:00Z');
  const authority = await makeAuthority(then, dayMs);
  const leaf = await issueLeaf(authority, serviceNames('stepup', systemNamespace), then, dayMs);
  const files = { 'ca.crt': authority.cert, 'ca.key': authority.key, 'tls.crt': leaf.cert, 'tls.key': leaf.key };
  await replaceSecret(lab, 'stepup-tls', files);
  for (const plural of ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations']) {
    const { items } = await admin.list<Configuration>(`${admission}/${plural}?labelSelector=stepup.dev/managed%3Dtrue`);
    for (const item of items) {
      const caBundle = Buffer.from(authority.cert).toString('base64');
      const webhooks = item.webhooks.map((one) => ({ ...one, clientConfig: { ...one.clientConfig, caBundle } }));
      await admin.put(`${admission}/${plural}/${item.metadata.name}`, { ...item, webhooks });
    }
  }
};

interface Configuration {
  readonly metadata: { readonly name: string };
  readonly webhooks: readonly { readonly clientConfig: object }[];
  [field: string]: unknown;
}

/** What people do to what they do not know: labels off, rights away, arguments changed, parts deleted. */
const edit: State = async ({ cluster }) => {
  const gate = 'validatingwebhookconfiguration/stepup-secret-deletion';
  const container = { name: 'stepup', args: ['serve', '--no-such-flag'] };
  const spec = { template: { spec: { containers: [container] } } };
  const commands = [
    ['label', gate, 'stepup.dev/managed-'],
    ['label', 'mutatingwebhookconfiguration/stepup-stamp', 'stepup.dev/managed-'],
    ['delete', 'clusterrolebinding', 'stepup'],
    [
      '-n',
      systemNamespace,
      'delete',
      'rolebinding,service,configmap,serviceaccount',
      '-l',
      'app.kubernetes.io/name=stepup',
    ],
    ['-n', systemNamespace, 'patch', 'deployment', 'stepup', '-p', JSON.stringify({ spec })],
  ];
  for (const command of commands) {
    const { code, stderr } = await cluster.kubectl(command);
    if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
  }
};

const exists = async ({ cluster }: Lab, path: string) => (await cluster.admin.send('GET', path)).code === 200;

export const states = {
  'an image that cannot start': withoutReplica((lab) => lab.upgrade([`image.tag=${brokenTag}`], [])),
  'no replicas': withoutReplica(async () => {}),
  'expired certificates': withoutReplica(expire),
  'no certificates': withoutReplica((lab) => lab.cluster.admin.delete(secret('stepup-tls')).then(() => {})),
  'certificates that are garbage': withoutReplica((lab) =>
    replaceSecret(lab, 'stepup-tls', { 'ca.crt': 'x', 'ca.key': 'x', 'tls.crt': 'x', 'tls.key': 'x' }),
  ),
  'no keyring': withoutReplica((lab) => lab.cluster.admin.delete(secret('stepup-keys')).then(() => {})),
  'no kinds': withoutReplica((lab) => deleteKinds(lab, kinds)),
  'one kind gone': withoutReplica((lab) => deleteKinds(lab, kinds.slice(1, 2))),
  'everything lost at once': withoutReplica(async (lab) => {
    await deleteKinds(lab, kinds);
    await lab.cluster.admin.delete(secret('stepup-tls'));
    await lab.cluster.admin.delete(secret('stepup-keys'));
  }),
  "a dead leader's Lease": async (lab) => {
    await lab.cluster.admin.patch(deploymentPath, { spec: { replicas: 0 } });
    await lab.cluster.kubectl(['delete', 'pods', '-n', systemNamespace, '--all', '--force', '--grace-period=0']);
    await eventually('the replicas to end', () => lab.node().pods().length === 0);
    await lab.refuses();
  },
  'foreign edits': withoutReplica(edit),
  'an upgrade that failed': async (lab) => {
    const failing = lab.upgrade([`image.tag=${brokenTag}`], ['--wait', '--timeout', '4s']);
    const message = await failing.then(() => '', String);
    if (!message.includes('context deadline exceeded')) throw new Error(`the upgrade did not fail: ${message}`);
    // The old replica serves on.
    await lab.works();
  },
  'an upgrade that was killed': async (lab) => {
    const before = (await lab.cluster.admin.get(deploymentPath)).metadata.generation ?? 0;
    const isUnderWay = async () => ((await lab.cluster.admin.get(deploymentPath)).metadata.generation ?? 0) > before;
    await lab.killHelm(['upgrade', 'stepup', thisChart, '--wait', '--set', `image.tag=${brokenTag}`], isUnderWay);
    await lab.works();
  },
  'an installation that was killed': async (lab) => {
    // The uninstallation is not what is to be seen, and without a leader it is quick.
    await lab.down();
    const { code, stderr } = await lab.helm('uninstall', 'stepup', '--wait');
    if (code !== 0) throw new Error(stderr);
    await lab.killHelm(['install', 'stepup', thisChart, '--wait'], () => exists(lab, deploymentPath));
  },
} as const satisfies Record<string, State>;
