// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every command of docs/emergency.md, run as it stands there, where it is needed; and what it is said to do.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandsUnder, runDocumented } from '../../support/answers/shown-commands.ts';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn, approveDenied, getApproval, phaseOf } from '../../support/installation/approvals.ts';
import {
  type Actor,
  apply,
  type Installation,
  installStepup,
  policiesReady,
  systemNamespace,
} from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { freeLease } from '../../support/installation/without-operator.ts';
import { textOf } from '../../support/repository-files.ts';
import type { CommandResult } from '../../support/run-command.ts';

const page = 'docs/emergency.md';
const packs = 3;
const ran = new Set<string>();
let stepup: Installation;

beforeAll(async () => {
  stepup = await installStepup();
  const secrets = [{ operations: ['DELETE'], apiGroups: [''], resources: ['configmaps'] }];
  await addPolicy(stepup, 'own', secrets, { bypass: { enabled: true } });
  const onCall = { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'approvers' };
  await apply(stepup.cluster, [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'on-call' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'stepup-break-glass' },
      subjects: [onCall],
    },
  ]);
});
afterAll(() => stepup?.stop());

/** Runs a block of the page, which has to succeed, as the admin unless it is for somebody else. */
async function run(mark: string, variables: Record<string, string> = {}, actor: Actor = 'admin'): Promise<string> {
  ran.add(mark);
  const result = await runDocumented(stepup, actor, commandsUnder(page, `emergency ${mark}`), variables);
  expect(result.code, `${mark}: ${result.stdout}${result.stderr}`).toBe(0);
  return result.stdout;
}

/** A governed change by a machine: the same one each time, undone where it passes. */
async function tried(actor: Actor = 'deployer'): Promise<CommandResult> {
  const result = await stepup.kubectl(actor, ['-n', 'prod', 'create', 'deployment', 'w', '--image=nginx:1']);
  if (result.code === 0) await del('-n', 'prod', 'deployment', 'w');
  return result;
}

const gated = () =>
  eventually('the gate to stand', async () => (await tried()).stderr.includes('requires approval'), slow);
const open = (actor?: Actor) => eventually('the gate to be away', async () => (await tried(actor)).code === 0, slow);
const slow = { timeoutMs: 60_000, intervalMs: 300 };
const pods = () => stepup.node?.pods().filter(({ namespace }) => namespace === systemNamespace) ?? [];
const del = (...args: string[]) => stepup.kubectl('admin', ['delete', ...args]);

/** Ends every replica at once and has none come back. */
async function noReplica(): Promise<void> {
  await stepup.kubectl('admin', ['-n', systemNamespace, 'scale', 'deployment', 'stepup', '--replicas=0']);
  await del('-n', systemNamespace, 'pods', '--all', '--force', '--grace-period=0');
  await eventually('the replicas to end', () => pods().length === 0);
  // A leader that is killed keeps its Lease for 15 s: nothing that is to be seen here.
  await freeLease(stepup);
}

test('taking the gate down lets machines work, and putting it back stops them', async () => {
  await gated();
  await run('down');
  await open();
  await run('up');
  await gated();
});

test('the page tells whether it is stepup that refuses', async () => {
  const { stderr } = await tried();
  expect(stderr).toContain('denied the request: stepup: ');
  expect(await run('tell')).toMatch(/error_type="no_error",name="action\.production-deploys\.gate\.stepup\.dev"/);
  await noReplica();
  await eventually('the webhook to be away', async () => (await tried()).stderr.includes('failed calling webhook'));
  expect(await run('tell')).toMatch(/error_type="calling_webhook_error",name="action\.production-deploys\.gate\./);
});

test('one policy is taken out while no replica runs, and comes back with the first one', async () => {
  expect((await tried()).stderr).toContain('failed calling webhook');
  await run('gate-out', { POLICY: 'production-deploys' });
  await open();
  await run('up');
  await gated();
});

test('a ready-made policy is taken out, alone, and put back', async () => {
  await run('pack-out');
  await open();
  const deletion = await stepup.kubectl('deployer', ['-n', 'prod', 'delete', 'configmap', 'kube-root-ca.crt']);
  expect(deletion.stderr).toContain('own requires approval');
  await run('pack-back');
  await gated();
});

test('an own policy is taken out and put back', async () => {
  const deletion = async () => {
    await stepup.kubectl('admin', ['-n', 'prod', 'create', 'configmap', 'mine']);
    return stepup.kubectl('deployer', ['-n', 'prod', 'delete', 'configmap', 'mine']);
  };
  await run('own-out', { POLICY: 'own' });
  await eventually('the deletion to pass', async () => (await deletion()).code === 0);
  await run('own-back', { POLICY: 'own' });
  await eventually('the deletion to be denied', async () =>
    (await deletion()).stderr.includes('own requires approval'),
  );
});

test('one person on call approves alone where nobody can be reached', async () => {
  await stepup.kubectl('admin', ['-n', 'prod', 'create', 'configmap', 'broken']);
  const deletion = () => stepup.kubectl('deployer', ['-n', 'prod', 'delete', 'configmap', 'broken']);
  const { namespace, name } = approvalNamedIn((await deletion()).stderr);
  await phaseOf(stepup, { namespace, name }, 'Pending');
  await run('bypass', { NS: namespace, NAME: name }, 'approver');
  expect(await deletion()).toMatchObject({ code: 0 });
  await eventually('the approval to say so', async () => {
    return (await getApproval(stepup, { namespace, name })).status?.votes?.includes('unreviewed');
  });
});

test('certificates that are gone are made anew', async () => {
  const uid = async () => {
    const args = ['-n', systemNamespace, 'get', 'secret', 'stepup-tls', '-o', 'jsonpath={.metadata.uid}'];
    return (await stepup.kubectl('admin', args)).stdout;
  };
  const before = await uid();
  await run('certificates');
  await gated();
  expect(await uid()).not.toBe(before);
});

test('a keyring that nobody can read is replaced, and votes are given anew', async () => {
  const create = () => stepup.kubectl('deployer', ['-n', 'prod', 'create', 'deployment', 'keys', '--image=nginx:1']);
  const key = await approveDenied(stepup, await create());
  await phaseOf(stepup, key, 'Approved');
  await noReplica();
  const garbage = JSON.stringify([{ op: 'replace', path: '/data', value: { 'keyring.json': 'Z2FyYmFnZQ==' } }]);
  await stepup.kubectl('admin', [
    '-n',
    systemNamespace,
    'patch',
    'secret',
    'stepup-keys',
    '--type=json',
    '-p',
    garbage,
  ]);
  await run('keyring');
  await gated();
  expect((await create()).code).not.toBe(0);
  await approveDenied(stepup, await create());
  await eventually('the change to pass', async () => (await create()).code === 0);
});

test('kinds that were deleted come back with the ready-made policies', async () => {
  await noReplica();
  const kinds = ['stepuppolicies', 'stepupapprovals', 'stepupdecisions'].map((plural) => `${plural}.stepup.dev`);
  await del('crd', ...kinds);
  await run('kinds');
  await policiesReady(stepup.cluster, packs);
  await gated();
});

test('after the namespace was deleted the gate is taken away, and stepup installed again', async () => {
  await noReplica();
  await del('namespace', systemNamespace);
  expect((await tried()).stderr).toContain('failed calling webhook');
  await run('namespace');
  await open();
  await run('install');
  await policiesReady(stepup.cluster, packs);
  await gated();
});

test('a release that Helm says is in use is taken over', async () => {
  const stuck = { metadata: { labels: { status: 'pending-upgrade' } } };
  const { items } = await stepup.cluster.admin.list(
    `/api/v1/namespaces/${systemNamespace}/secrets?labelSelector=owner%3Dhelm`,
  );
  const last = items.at(-1)?.metadata.name ?? '';
  await stepup.cluster.admin.patch(`/api/v1/namespaces/${systemNamespace}/secrets/${last}`, stuck);
  await run('helm');
  await policiesReady(stepup.cluster, packs);
  await gated();
});

test('uninstalling by hand leaves nothing that calls stepup', async () => {
  await run('uninstall');
  // The deployer's role went with the release.
  await open('root-bot');
  expect(await run('leftovers')).toBe('');
  const stray = { metadata: { name: 'stray' }, webhooks: [strayWebhook] };
  await stepup.cluster.admin.post('/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations', stray);
  expect(await run('leftovers')).toBe('ValidatingWebhookConfiguration/stray\n');
});

const strayWebhook = {
  name: 'stray.example.test',
  admissionReviewVersions: ['v1'],
  clientConfig: { service: { namespace: systemNamespace, name: 'stepup' } },
  sideEffects: 'None',
  rules: [{ apiGroups: ['example.test'], apiVersions: ['*'], operations: ['*'], resources: ['things'] }],
};

test('every command of the page was run', () => {
  const marks = [...textOf(page).matchAll(/<!-- run: emergency ([a-z-]+) -->/g)].map(([, mark]) => mark);
  const blocks = textOf(page).match(/^\x60{3}sh$/gm) ?? [];
  expect([...ran].sort()).toEqual(marks.sort());
  expect(marks.length).toBe(blocks.length);
});
