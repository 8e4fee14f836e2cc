// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The examples for Argo CD and Flux before a real API server that knows their kinds, and approvals that come through Git:
// the calls of both, replayed as the account that the examples bind.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load, loadAll } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandsUnder, runDocumented } from '../../support/answers/shown-commands.ts';
import { packsOf, render, root } from '../../support/chart/chart.ts';
import type { AdminClient } from '../../support/control-plane/admin-client.ts';
import { foreignCrds } from '../../support/control-plane/foreign-crds.ts';
import { eventually } from '../../support/eventually.ts';
import { argoSync, clientOf, fluxSync, type Manifest } from '../../support/gitops.ts';
import { type ApprovalObject, approvalNamedIn, getApproval, phaseOf } from '../../support/installation/approvals.ts';
import { type Installation, installStepup, policiesReady } from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';
import { healthOf } from './lua.ts';

const examples = join(root, 'examples/gitops');
let stepup: Installation;
let sync: AdminClient;
let deployer: AdminClient;

beforeAll(async () => {
  stepup = await installStepup({ replicas: 1 });
  await must(admin('create', ...(await foreignCrds()).flatMap((file) => ['-f', file])));
  for (const namespace of ['argocd', 'flux-system']) await must(admin('create', 'namespace', namespace));
  await must(admin('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'));
  await must(admin('apply', '-f', join(examples, 'approvals/delegate.yaml')));
  await policiesReady(stepup.cluster, 4);
  sync = clientOf(await stepup.cluster.serviceAccountKubeconfig('approvals/approvals-sync'));
  deployer = clientOf(stepup.kubeconfigs.deployer);
});

afterAll(async () => {
  sync?.close();
  deployer?.close();
  await stepup?.stop();
});

const admin = (...args: readonly string[]) => stepup.kubectl('admin', args);

async function must(running: Promise<CommandResult>): Promise<CommandResult> {
  const result = await running;
  if (result.code !== 0) throw new Error(result.stderr);
  return result;
}

describe('the examples', () => {
  test.each(['argocd', 'flux'])('for %s are accepted, word for word', async (engine) => {
    const files = readdirSync(join(examples, engine)).filter((name) => name !== 'health.yaml');
    const args = files.flatMap((name) => ['-f', join(examples, engine, name)]);
    const objects = files.flatMap((name) => loadAll(readFileSync(join(examples, engine, name), 'utf8')));
    const { stdout, stderr } = await must(admin('apply', '--validate=strict', ...args));
    expect({ applied: stdout.trim().split('\n').length, stderr }).toEqual({ applied: objects.length, stderr: '' });
  });

  test('the health checks go into the ConfigMap of Argo CD as their file says', async () => {
    await must(admin('-n', 'argocd', 'create', 'configmap', 'argocd-cm', '--from-literal=admin.enabled=false'));
    const file = join(examples, 'argocd/health.yaml');
    await must(admin('-n', 'argocd', 'patch', 'configmap', 'argocd-cm', '--patch-file', file));
    const { stdout } = await must(admin('-n', 'argocd', 'get', 'configmap', 'argocd-cm', '-o', 'json'));
    expect(Object.keys((JSON.parse(stdout) as { data: object }).data).toSorted()).toEqual([
      'admin.enabled',
      'resource.customizations.health.stepup.dev_StepUpApproval',
      'resource.customizations.health.stepup.dev_StepUpPolicy',
    ]);
  });

  test('tries again as long as people take, and soon enough to use what they approve', async () => {
    const { spec } = (await packsOf(await render()))['production-deploys.yaml'] as unknown as {
      spec: { grant: { ttlSeconds: number } };
    };
    const { retry } = (read('argocd/application.yaml')[0] as ArgoApplication).spec.syncPolicy;
    expect(retry.limit).toBe(-1);
    expect(retry.refresh).toBe(true);
    expect(secondsOf(retry.backoff.maxDuration)).toBeLessThan(spec.grant.ttlSeconds / 2);
    const [kustomization] = read('flux/kustomization.yaml') as [{ spec: { retryInterval: string } }];
    expect(secondsOf(kustomization.spec.retryInterval)).toBeLessThan(spec.grant.ttlSeconds / 2);
  });

  test.each(['argocd/approvals.yaml', 'flux/approvals.yaml'])('%s never prunes', (file) => {
    const texts = read(file).map((object) => JSON.stringify(object));
    expect(texts.filter((text) => text.includes('"prune":false'))).toHaveLength(1);
    expect(texts.filter((text) => text.includes('"prune":true'))).toEqual([]);
  });
});

describe('an approval through Git', () => {
  test('is asked for, committed, synced by Flux, used once, and synced on for ever', async () => {
    const { approval, again } = await refusedDeletion('by-flux');
    expect(await healthOf({ ...approval, kind: 'StepUpApproval' })).toMatchObject({ status: 'Suspended' });
    const files = await committed(approval, 'ada@example.com');

    const first = await fluxSync(sync, files);
    expect(first.calls.map(({ isDryRun, code }) => [isDryRun, code])).toEqual([
      [true, 201],
      [false, 201],
    ]);
    await phaseOf(stepup, approval.metadata, 'Approved');
    expect(await again()).toBe(200);
    const used = await phaseOf(stepup, approval.metadata, 'Consumed');
    expect(used.status).toMatchObject({ decisions: [{ decidedBy: 'ada@example.com' }] });
    expect(await healthOf({ ...used, kind: 'StepUpApproval' })).toEqual({ status: 'Healthy', message: 'used' });
    // Every interval from now on: a dry run that changes nothing, and so nothing is applied.
    const interval = await fluxSync(sync, files);
    expect(interval).toMatchObject({ hasSucceeded: true, calls: [{ isDryRun: true, code: 200 }] });
    expect(await again(), 'the approval is spent').not.toBe(200);
  });

  test('comes by Argo CD as well', async () => {
    const { approval, again } = await refusedDeletion('by-argo');
    const files = await committed(approval, 'grace@example.com');
    expect(await argoSync(sync, files)).toMatchObject({ hasSucceeded: true });
    await phaseOf(stepup, approval.metadata, 'Approved');
    expect(
      (await argoSync(sync, files)).calls.map(({ code, message }) => `${code} ${message}`),
      'applied again',
    ).toEqual(['200 ', '200 ']);
    const annotate = ['-n', 'prod', 'annotate', 'stepupdecision', `${approval.metadata.name}-ada`, 'a=b'];
    const byAnother = await stepup.kubectl('root-bot', annotate);
    expect(byAnother.stderr, 'another account may not touch it').toContain("ValidatingAdmissionPolicy 'stepup-guard'");
    expect(await again()).toBe(200);
  });

  test.each([
    ['create', 'stepupdecisions', 'prod', 'yes'],
    ['create', 'stepupdecisions', 'dev', 'no'],
    ['delete', 'stepupdecisions', 'prod', 'no'],
    ['create', 'stepupapprovals', 'prod', 'no'],
    ['approve', 'stepuppolicies/services-by-git', 'prod', 'yes'],
    ['approve', 'stepuppolicies/production-deploys', 'prod', 'no'],
  ])('comes by an account that may %s %s in %s: %s', async (verb, what, namespace, answer) => {
    const as = '--as=system:serviceaccount:approvals:approvals-sync';
    const asked = await admin('auth', 'can-i', verb, what.replace('/', '.stepup.dev/'), '-n', namespace, as);
    expect(asked.stdout.trim()).toBe(answer);
  });

  test('is no vote when the account that syncs workloads applies it', async () => {
    const { approval, again } = await refusedDeletion('by-itself');
    const files = await committed(approval, 'ada@example.com');
    const { calls, hasSucceeded } = await fluxSync(deployer, files);
    expect({ code: calls[0]?.code, hasSucceeded }).toEqual({ code: 403, hasSucceeded: false });
    expect(await again()).toBe(403);
  });

  test('for an approval that is gone stops both, before they apply any other file', async () => {
    const { approval } = await refusedDeletion('gone');
    const { approval: other } = await refusedDeletion('other');
    const files = [...(await committed(other, 'ada@example.com')), ...(await committed(approval, 'ada@example.com'))];
    await must(admin('-n', 'prod', 'delete', 'stepupapproval', approval.metadata.name));
    for (const engine of [fluxSync, argoSync]) {
      const { calls, hasSucceeded } = await engine(sync, files);
      expect({ codes: calls.map(({ code }) => code), hasSucceeded }).toEqual({
        codes: [201, 403],
        hasSucceeded: false,
      });
      expect(calls[1]?.message).toContain(approval.metadata.name);
    }
    expect(await fluxSync(sync, files.slice(0, 1)), 'without that file').toMatchObject({ hasSucceeded: true });
    await phaseOf(stepup, other.metadata, 'Approved');
  });
});

/** A Service whose deletion was refused, and one more try at it. */
async function refusedDeletion(name: string): Promise<{ approval: ApprovalObject; again: () => Promise<number> }> {
  const services = '/api/v1/namespaces/prod/services';
  await stepup.cluster.admin.post(services, { metadata: { name }, spec: { ports: [{ port: 80 }] } });
  const remove = () => deployer.send('DELETE', `${services}/${name}`);
  const { code, body } = await remove();
  expect(code).toBe(403);
  const key = approvalNamedIn((body as { message: string }).message);
  const approval = await eventually(`${key.name} to say how it is approved`, async () => {
    const found = await getApproval(stepup, key);
    if (found.status?.approveWith === undefined) throw new Error('it does not yet');
    return found;
  });
  return { approval, again: async () => (await remove()).code };
}

/** What an engine renders from a folder like examples/gitops/approvals, with the decision that this person committed. */
async function committed(approval: ApprovalObject, onBehalfOf: string): Promise<readonly Manifest[]> {
  const folder = join(stepup.cluster.dir, `approvals-${approval.metadata.name}`);
  cpSync(join(examples, 'approvals'), folder, { recursive: true });
  const example = load(readFileSync(join(folder, 'decision.yaml'), 'utf8')) as { spec: object };
  const shown = commandsUnder('docs/gitops.md', 'gitops commit').replaceAll('ada@example.com', onBehalfOf);
  const { stdout: text } = await must(runDocumented(stepup, 'approver', shown, { NAME: approval.metadata.name }));
  const decision = JSON.parse(text) as { spec: object };
  expect(Object.keys({ reason: '', ...decision.spec }).toSorted(), 'what the example has').toEqual(
    Object.keys(example.spec).toSorted(),
  );
  writeFileSync(join(folder, 'decision.yaml'), text);
  const { stdout } = await must(admin('kustomize', folder));
  const files = loadAll(stdout) as Manifest[];
  const annotations = {
    'argocd.argoproj.io/sync-options': 'Prune=false',
    'kustomize.toolkit.fluxcd.io/prune': 'disabled',
  };
  expect(files).toMatchObject([{ kind: 'StepUpDecision', metadata: { annotations } }]);
  return files;
}

interface ArgoApplication {
  readonly spec: {
    readonly syncPolicy: {
      readonly retry: {
        readonly limit: number;
        readonly refresh: boolean;
        readonly backoff: { readonly maxDuration: string };
      };
    };
  };
}

function read(file: string): readonly unknown[] {
  return loadAll(readFileSync(join(examples, file), 'utf8'));
}

function secondsOf(duration: string): number {
  const [, count, unit] = /^([0-9]+)([smh])$/.exec(duration) ?? [];
  if (count === undefined || unit === undefined) throw new Error(`read the duration ${duration}`);
  return Number(count) * { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h'];
}
