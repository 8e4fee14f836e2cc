// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every other door to a governed effect meets the same policy; what has no effect passes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn, approve, approveDenied, phaseOf } from '../../support/installation/approvals.ts';
import { fileIn, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
  await kubectl('admin', '-n prod create deployment app --image=nginx:1');
});
afterAll(() => stepup?.stop());

const kubectl = (actor: 'admin' | 'deployer', command: string, stdin?: string) =>
  stepup.kubectl(actor, command.split(' '), stdin === undefined ? {} : { stdin });

async function refused(command: string, policy: string): Promise<void> {
  const result = await kubectl('deployer', command);
  expect(result.stderr, command).toContain(`stepup: ${policy} requires approval to`);
  expect(result.code, command).not.toBe(0);
}

describe('the namespace', () => {
  test('keeps its label until two have approved, once', async () => {
    const denied = await kubectl('deployer', 'label ns prod environment-');
    expect(denied.stderr).toContain(
      'stepup: namespace-deletion requires approval to UPDATE namespaces prod: 2 of 2 approvals by group approvers missing',
    );
    const key = approvalNamedIn(denied.stderr);
    expect(key.namespace).toBe('stepup-system');
    await approve(stepup, key, 'approver');
    const half = await kubectl('deployer', 'label ns prod environment-');
    expect(half.stderr).toContain('1 of 2 approvals by group approvers missing');
    expect(approvalNamedIn(half.stderr)).toEqual(key);
    expect((await approve(stepup, key, 'approver')).code).toBe(0);
    expect((await kubectl('deployer', 'label ns prod environment-')).stderr, 'one person counts once').toContain(
      '1 of 2 approvals',
    );
    await approve(stepup, key, 'approver2');
    expect(await kubectl('deployer', 'label ns prod environment-')).toMatchObject({ code: 0 });
    await kubectl('admin', 'label ns prod environment=production');
    await refused('label ns prod environment-', 'namespace-deletion');
  });

  test('may get any other label', async () => {
    expect(await kubectl('deployer', 'label ns prod team=a')).toMatchObject({ code: 0 });
  });

  test('is not deleted without two approvals', async () => {
    await refused('delete ns prod', 'namespace-deletion');
  });
});

describe('a Deployment', () => {
  test.each([
    ['is not scaled', '-n prod scale deployment app --replicas=5'],
    ['gets no other image', '-n prod set image deployment/app nginx=nginx:9'],
    ['is not restarted', '-n prod rollout restart deployment/app'],
    ['is not deleted', '-n prod delete deployment app'],
    [
      'gets no owner that is not there',
      '-n prod patch deployment app --type=merge -p {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"0bd8a3a8-1f3c-4a8e-9f0e-111111111111"}]}}',
    ],
  ])('%s', async (_, command) => {
    await refused(command, 'production-deploys');
  });

  test('passes a dry run and a diff with a warning', async () => {
    const manifest = (image: string) =>
      JSON.stringify({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'dry', namespace: 'prod' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image }] } },
        },
      });
    const file = fileIn(stepup.cluster, 'dry.json', manifest('nginx:1'));
    const dry = await kubectl('deployer', `apply --dry-run=server -f ${file}`);
    expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining('created (server dry run)') });
    expect(dry.stderr).toContain('Warning: stepup: production-deploys');
    const diff = await kubectl('deployer', `diff -f ${file}`);
    expect(diff.code, diff.stderr).toBe(1);
    expect(diff.stdout).toContain('nginx:1');
    const real = await kubectl('deployer', `apply -f ${file}`);
    expect(real.code).not.toBe(0);
  });

  test('is changed once by one approval, though storage leaves an empty list out', async () => {
    const spec = {
      volumes: [{ name: 'v', projected: { sources: [] } }],
      containers: [{ name: 'nginx', image: 'nginx:7' }],
    };
    const change = () =>
      kubectl('deployer', `-n prod patch deployment app -p ${JSON.stringify({ spec: { template: { spec } } })}`);
    const key = await approveDenied(stepup, await change());
    expect(await change()).toMatchObject({ code: 0 });
    expect((await phaseOf(stepup, key, 'Consumed')).status).toMatchObject({ evidence: 'Observed' });
    await kubectl('admin', '-n prod set image deployment/app nginx=nginx:1');
    expect((await change()).stderr).toContain(
      'stepup: production-deploys requires approval to UPDATE deployments prod/app',
    );
  });

  test('passes an unchanged apply, and nothing is asked', async () => {
    const manifest = await kubectl('admin', '-n prod get deployment app -o json');
    expect(
      await kubectl('deployer', 'apply --server-side --force-conflicts -f -', withoutServerFields(manifest.stdout)),
    ).toMatchObject({ code: 0 });
  });
});

function withoutServerFields(json: string): string {
  const { metadata, spec, apiVersion, kind } = JSON.parse(json) as Record<string, Record<string, unknown>>;
  return JSON.stringify({ apiVersion, kind, metadata: { name: metadata?.name, namespace: metadata?.namespace }, spec });
}

describe('a token', () => {
  test('is not handed out by a dry run either', async () => {
    await addPolicy(stepup, 'tokens', [
      { operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'] },
    ]);
    await kubectl('admin', '-n prod create serviceaccount robot');
    const body = JSON.stringify({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: ['x'], expirationSeconds: 600 },
    });
    const path = '/api/v1/namespaces/prod/serviceaccounts/robot/token';
    for (const query of ['', '?dryRun=All']) {
      const answer = await kubectl('deployer', `create --raw ${path}${query} -f -`, body);
      expect(answer.stderr, query).toContain(
        'stepup: tokens requires approval to CREATE serviceaccounts/token prod/robot',
      );
      expect(answer.code).not.toBe(0);
    }
    await approveDenied(stepup, await kubectl('deployer', `create --raw ${path} -f -`, body));
    expect(await kubectl('deployer', `create --raw ${path} -f -`, body)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"token"'),
    });
    expect((await kubectl('deployer', `create --raw ${path} -f -`, body)).code, 'once').not.toBe(0);
  });
});

describe('whoever sends no credentials', () => {
  test('is gated like the account that granted it its rights, and may do what is not governed', async () => {
    const grant = '-n prod create rolebinding open --clusterrole=stepup-gated-admin --user=system:anonymous';
    expect(await kubectl('deployer', grant)).toMatchObject({ code: 0 });
    const anonymously = (command: string) =>
      kubectl('admin', `--as=system:anonymous --as-group=system:unauthenticated -n prod ${command}`);
    const denied = await anonymously('set image deployment/app nginx=nginx:9');
    expect(denied.stderr).toContain('stepup: production-deploys requires approval to UPDATE deployments prod/app');
    expect(denied.code).not.toBe(0);
    expect(await anonymously('label deployment app team=a')).toMatchObject({ code: 0 });
  });
});

describe('a Pod', () => {
  test('is not evicted without approval, and then is', async () => {
    await kubectl('admin', '-n prod run victim --image=nginx:1');
    const eviction = JSON.stringify({
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: 'victim', namespace: 'prod' },
    });
    const evict = () => kubectl('deployer', 'create --raw /api/v1/namespaces/prod/pods/victim/eviction -f -', eviction);
    const denied = await evict();
    expect(denied.stderr).toContain('requires approval to DELETE pods prod/victim');
    await approveDenied(stepup, denied);
    expect(await evict()).toMatchObject({ code: 0 });
    await eventually('the pod to go', async () =>
      (await kubectl('admin', '-n prod get pod victim')).stderr.includes('NotFound'),
    );
  });

  test('gets no ephemeral container', async () => {
    await kubectl('admin', '-n prod run debugged --image=nginx:1');
    await refused('-n prod debug debugged --image=busybox:1 --attach=false', 'production-deploys');
  });
});
