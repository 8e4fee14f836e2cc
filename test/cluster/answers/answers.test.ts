// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What real clients and the API server's audit log get from the installed product, and how observing and identity bind.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpPolicy } from '../../../src/api/kinds.ts';
import { problemsOf } from '../../support/answers/contract.ts';
import { commandsUnder, runDocumented } from '../../support/answers/shown-commands.ts';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn, approve, approveDenied, phaseOf } from '../../support/installation/approvals.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import {
  type Actor,
  apply,
  fileIn,
  type Installation,
  installStepup,
} from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
}, 240_000);
afterAll(() => stepup?.stop());

const run = (actor: Actor, line: string, stdin = '') => stepup.kubectl(actor, line.split(' '), { stdin });
const deployment = (name: string, image: string, annotations: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'prod', annotations },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image }] } },
  },
});
const deployments = [{ operations: ['CREATE', 'UPDATE'], apiGroups: ['apps'], resources: ['deployments'] }];
const configMaps = [{ operations: ['CREATE'], apiGroups: [''], resources: ['configmaps'] }];
const inDev = { namespaceSelector: { matchLabels: { kind: 'dev' } }, namespaceShapes: null };

/** As the deployer, by impersonation, to see the answer itself. */
function send(path: string, body: object) {
  const headers = {
    'impersonate-user': 'system:serviceaccount:ci:deployer',
    'impersonate-group': 'system:serviceaccounts',
  };
  return stepup.cluster.admin.send('POST', path, { body, headers });
}

/** What the entries of a policy left in the audit log since the mark, newest last, without the entries' own names. */
async function audited(policy: string, mark: string): Promise<readonly Record<string, string>[]> {
  await new Promise((resolve) => setTimeout(resolve, 300));
  return readFileSync(join(stepup.cluster.dir, 'audit.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes(mark) && line.includes(`.${policy}.gate.stepup.dev/`))
    .map((line) => {
      const { annotations } = JSON.parse(line) as { annotations: Record<string, string> };
      const ours = Object.entries(annotations).flatMap(([key, value]) => {
        const [, name] = key.split(`.${policy}.gate.stepup.dev/`);
        return name === undefined ? [] : [[name, value]];
      });
      return Object.fromEntries(ours) as Record<string, string>;
    });
}

describe('the answer on the wire', () => {
  const path = '/apis/apps/v1/namespaces/prod/deployments';

  test('is the documented Status, with details that keep the contract', async () => {
    const { code, body } = await send(path, deployment('wire', 'nginx:1'));
    const { details, message, ...status } = body as { details: { name: string }; message: string };
    expect([code, status]).toEqual([
      403,
      { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'StepUpRequired', code: 403 },
    ]);
    expect(problemsOf(details)).toEqual([]);
    expect(message).toContain(`Approval prod/${details.name}.`);
  });

  test('asks to come again by header and details under Retry, and not in a dry run', async () => {
    await addPolicy(stepup, 'patient', configMaps, { request: { whenPending: 'Retry', retryAfterSeconds: 3 } });
    const object = { metadata: { name: 'patient' } };
    const { code, headers, body } = await send('/api/v1/namespaces/prod/configmaps', object);
    expect([code, headers['retry-after']]).toEqual([429, '3']);
    const { details } = body as { details: object };
    expect(problemsOf(details)).toEqual([]);
    expect(details).toMatchObject({ retryAfterSeconds: 3 });
    expect((await send('/api/v1/namespaces/prod/configmaps?dryRun=All', object)).code).toBe(201);
  });

  test('without an approval to wait for names the policy', async () => {
    const approval = { require: [{ name: 'a', approvers: { groups: ['approvers'] } }], reasonRequired: true };
    const spec = { ...inDev, approval: { ...approval, ticketRequired: true } };
    await apply(stepup.cluster, [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'dev', labels: { kind: 'dev' } } },
    ]);
    await addPolicy(stepup, 'stated', deployments, spec);
    const dev = '/apis/apps/v1/namespaces/dev/deployments';
    const asked = (annotations: object) => {
      const object = deployment('stated', 'nginx:1', annotations);
      return send(dev, { ...object, metadata: { ...object.metadata, namespace: 'dev' } });
    };
    const why = { 'stepup.dev/reason': 'fix the leak' };
    for (const [given, reason] of [
      [{}, 'ReasonRequired'],
      [why, 'TicketRequired'],
    ] as const) {
      const { code, body } = await asked(given);
      const { details, reason: said } = body as { details: object; reason: string };
      expect([code, said]).toEqual([403, reason]);
      expect(problemsOf(details)).toEqual([]);
    }
    const { body } = await asked({ ...why, 'stepup.dev/ticket': 'OPS-7' });
    const { name } = (body as { details: { name: string } }).details;
    const approval2 = await phaseOf(stepup, { namespace: 'dev', name }, 'Pending');
    expect(approval2.spec).toMatchObject({ reason: 'fix the leak', ticket: 'OPS-7' });
    expect(await approve(stepup, { namespace: 'dev', name })).toMatchObject({ code: 0 });
    expect((await asked({ ...why, 'stepup.dev/ticket': 'OPS-7' })).code).toBe(201);
    await run('admin', 'delete stepuppolicy stated');
  });
});

describe('the audit log', () => {
  test('tells of every governed answer', async () => {
    const create = '-n prod create deployment audited --image=nginx:1';
    await run('deployer', `${create} --dry-run=server`);
    const key = approvalNamedIn((await run('deployer', create)).stderr);
    await phaseOf(stepup, key, 'Pending');
    expect(await approve(stepup, key)).toMatchObject({ code: 0 });
    expect(await run('deployer', create)).toMatchObject({ code: 0 });
    const policy = 'production-deploys';
    const approval = `prod/${key.name}`;
    const events = (await audited(policy, '/deployments')).filter(
      ({ approval: named }) => named === undefined || named === approval,
    );
    expect(events.slice(-3)).toEqual([
      { policy, outcome: 'Allowed', reason: 'DryRun' },
      { policy, outcome: 'Denied', reason: 'ApprovalRequired', approval },
      { policy, outcome: 'Allowed', reason: 'Reserved', approval },
    ]);
  });
});

describe('a dry run', () => {
  test('and kubectl diff pass with a warning, and file nothing', async () => {
    const manifest = fileIn(stepup.cluster, 'diffed.json', JSON.stringify(deployment('diffed', 'nginx:1')));
    const before = (await run('admin', '-n prod get sua -o name')).stdout;
    const diff = await run('deployer', `diff -f ${manifest}`);
    expect(diff.code).toBe(1);
    expect(diff.stdout).toContain('+      - image: nginx:1');
    expect(diff.stderr).toContain('Warning: stepup: production-deploys requires approval for the real request');
    const apply = await run('deployer', `apply -f ${manifest} --dry-run=server`);
    expect(apply).toMatchObject({ code: 0 });
    expect(apply.stderr).toMatch(/Warning: stepup: change\.digest sha256:[0-9a-f]{64}\n/);
    expect((await run('admin', '-n prod get sua -o name')).stdout).toBe(before);
  });
});

describe('content that an approver claims', () => {
  const approvalOf = (digest: string) =>
    handWritten(
      { name: 'ahead' },
      { operation: 'CREATE', group: 'apps', resource: 'deployments', name: 'ahead' },
      {
        policy: { name: 'production-deploys' },
        change: { digest, preview: { diff: '# nothing to see here\n', truncated: false } },
        reason: 'agreed on Monday',
      },
    );

  test('is not verified until a request has shown it, and then is shown by the documented command', async () => {
    const manifest = fileIn(stepup.cluster, 'ahead.json', JSON.stringify(deployment('ahead', 'nginx:1')));
    const dryRun = () => run('deployer', `create -f ${manifest} --dry-run=server`);
    const [, digest = ''] = /change\.digest (\S+)/.exec((await dryRun()).stderr) ?? [];
    const made = await run('approver', 'create -f -', JSON.stringify(approvalOf(digest)));
    expect(made).toMatchObject({ code: 0 });
    const key = { namespace: 'prod', name: 'ahead' };
    const condition = async () => {
      const { status } = (await phaseOf(stepup, key, 'Approved')) as unknown as StepUpApproval;
      return status?.conditions?.find(({ type }) => type === 'ContentVerified');
    };
    expect(await condition()).toMatchObject({
      status: 'False',
      reason: 'NotSeen',
      message:
        'content not verified: stepup has not seen a request with this digest yet; have the requester send the change as a dry run',
    });
    const show = () =>
      runDocumented(stepup, 'approver', commandsUnder('docs/approvals.md', 'approvals show'), { NAME: 'ahead' });
    expect((await show()).stdout).toBe('');
    // The cache of a replica may not have it at once.
    await eventually('the content to be seen', async () => {
      await dryRun();
      return (await condition())?.status === 'True';
    });
    expect((await show()).stdout).toMatch(
      /^# production-deploys: CREATE deployments prod\/ahead\n# requester: system:serviceaccount:ci:deployer[^\n]*\n# history: first time on record\n# reason: agreed on Monday\n# risk: [^\n]+\n# image by tag: nginx:1\n--- before\n\+\+\+ after\n/,
    );
    const list = await runDocumented(stepup, 'approver', commandsUnder('docs/approvals.md', 'approvals list'));
    expect(list.code, list.stderr).toBe(0);
    const [narrow = ''] = list.stdout.split('\n');
    expect(narrow.trim().split(/\s{2,}/)).toEqual(['NAME', 'PHASE', 'VOTES', 'REQUESTER', 'ACTION', 'AGE']);
    expect(list.stdout).toContain('VERIFIED');
    expect(await run('deployer', `create -f ${manifest}`)).toMatchObject({ code: 0 });
    const { status } = (await phaseOf(stepup, key, 'Consumed')) as unknown as StepUpApproval;
    expect(status?.preview?.verifiedAt).toBeDefined();
  });
});

describe('a policy that observes', () => {
  const observed = async () =>
    (
      await stepup.cluster.admin.get<StepUpPolicy & { metadata: { name: string } }>(
        '/apis/stepup.dev/v1alpha1/stepuppolicies/observed-deploys',
      )
    ).status?.observed;

  test('blocks nobody, says so, and counts on all replicas without losing any', async () => {
    const spec = { ...inDev, mode: 'Observe', risk: { level: 'Low', why: 'trying it out' } };
    await addPolicy(stepup, 'observed-deploys', deployments, spec);
    const create = await run('deployer', '-n dev create deployment observed --image=nginx:1');
    expect(create).toMatchObject({ code: 0 });
    expect(create.stderr).toContain(
      'Warning: stepup: observed-deploys observes; it would have required approval to CREATE deployments dev/observed: 1 of 1 approval by group approvers',
    );
    // Each another object: a write that the API server tries again after a conflict is asked about again.
    const dev = '/apis/apps/v1/namespaces/dev/deployments';
    const writes = Array.from({ length: 40 }, (_, at) => {
      const object = deployment(`observed-${at}`, 'nginx:1');
      return send(dev, { ...object, metadata: { ...object.metadata, namespace: 'dev' } });
    });
    expect((await Promise.all(writes)).map(({ code }) => code)).toEqual(writes.map(() => 201));
    const events = await audited('observed-deploys', '/deployments');
    const wouldDeny = { policy: 'observed-deploys', outcome: 'WouldDeny', reason: 'ApprovalRequired' };
    expect(events).toEqual(Array.from({ length: 41 }, () => wouldDeny));
    const counts = await eventually('the counts', async () => {
      const seen = await observed();
      return seen?.wouldHaveBlocked === 41 ? seen : undefined;
    });
    expect(counts.requests).toBe(41);
    expect(counts.recent).toHaveLength(10);
    expect(counts.recent?.[0]).toMatchObject({
      requester: 'ci/deployer',
      action: expect.stringMatching(/^CREATE deployments dev\/observed-\d+$/),
    });
    const shown = await runDocumented(stepup, 'approver', commandsUnder('docs/answers.md', 'answers'));
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/NAME +MODE +RISK +READY +REASON +WOULD BLOCK +AGE\n/);
    expect(shown.stdout).toMatch(/observed-deploys +Observe +Low +True +InPlace +41 /);
    expect(shown.stdout).toContain('Would Have Blocked:');
    expect((await run('admin', '-n dev get sua -o name')).stdout).not.toContain('observed-deploys');
  });

  test('lets pass while stepup is away, and is enforced when its mode says so', async () => {
    const away = '-n stepup-system scale deployment stepup --replicas';
    expect(await run('admin', `${away}=0`)).toMatchObject({ code: 0 });
    const pods = '-n stepup-system get pods -l app.kubernetes.io/name=stepup -o name';
    await eventually('its pods to be gone', async () => (await run('admin', pods)).stdout === '');
    const passed = await run('deployer', '-n dev create deployment unseen --image=nginx:1');
    expect(passed).toMatchObject({ code: 0 });
    const stopped = await run('deployer', '-n prod create deployment unseen --image=nginx:1');
    expect(stopped.code).not.toBe(0);
    expect(await run('admin', `${away}=2`)).toMatchObject({ code: 0 });
    expect(await run('admin', '-n stepup-system rollout status deployment stepup')).toMatchObject({ code: 0 });

    await addPolicy(stepup, 'observed-deploys', deployments, { ...inDev, mode: 'Enforce' });
    const denied = await run('deployer', '-n dev create deployment enforced --image=nginx:1');
    expect(denied.stderr).toContain('observed-deploys requires approval to CREATE deployments dev/enforced');
    await eventually('the counts to be over', async () => (await observed()) === undefined);
    await run('admin', 'delete stepuppolicy observed-deploys');
  });
});

describe('an approval binds to', () => {
  const token = async (file: string, pod?: string) => {
    if (pod === undefined) return stepup.cluster.serviceAccountKubeconfig('ci/deployer', { file });
    const made = await stepup.kubectl('admin', ['create', '-f', '-', '-o', 'json'], {
      stdin: JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: pod, namespace: 'ci' },
        spec: { serviceAccountName: 'deployer', containers: [{ name: 'c', image: 'runner:1' }] },
      }),
    });
    const { name, uid } = (JSON.parse(made.stdout) as { metadata: { name: string; uid: string } }).metadata;
    return stepup.cluster.serviceAccountKubeconfig('ci/deployer', { file, boundPod: { name, uid } });
  };

  test.each([
    ['Pod', 'services', 'create service clusterip bound --tcp=80:80', true],
    ['Credential', 'secrets', 'create secret generic bound', false],
  ] as const)(
    'the %s that asked: another one of the same account cannot spend it',
    async (bindIdentity, resource, what, isPod) => {
      const actions = [{ operations: ['CREATE'], apiGroups: [''], resources: [resource] }];
      await addPolicy(stepup, `bound-${resource}`, actions, { ...inDev, grant: { bindIdentity } });
      const mine = await token(`mine-${resource}`, isPod ? 'mine' : undefined);
      const other = await token(`other-${resource}`, isPod ? 'other' : undefined);
      const ask = (kubeconfig: string) => stepup.cluster.kubectl(['-n', 'dev', ...what.split(' ')], { kubeconfig });
      const denied = await ask(mine);
      const key = await approveDenied(stepup, denied);
      const { spec } = (await phaseOf(stepup, key, 'Approved')) as unknown as StepUpApproval;
      expect(spec.requester).toMatchObject(
        isPod ? { pod: { name: 'mine' } } : { credential: expect.stringMatching(/^JTI=/) },
      );
      const stranger = await ask(other);
      expect(stranger.code).not.toBe(0);
      expect(approvalNamedIn(stranger.stderr)).toBeDefined();
      expect((await phaseOf(stepup, key, 'Approved')).status?.uses ?? []).toEqual([]);
      expect(await ask(mine)).toMatchObject({ code: 0 });
      await run('admin', `delete stepuppolicy bound-${resource}`);
    },
  );

  test('the account otherwise: another token of it spends it', async () => {
    await addPolicy(stepup, 'account', configMaps, inDev);
    const ask = (kubeconfig: string) =>
      stepup.cluster.kubectl('-n dev create configmap account'.split(' '), { kubeconfig });
    await approveDenied(stepup, await ask(await token('first')));
    expect(await ask(await token('second'))).toMatchObject({ code: 0 });
  });
});
