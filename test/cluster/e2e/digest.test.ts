// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The same change has the same digest on its next try, with all that the API server makes different in between.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { approvalNamedIn, approveDenied, getApproval, phaseOf } from '../../support/installation/approvals.ts';
import { fileIn, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { withoutOperator } from '../../support/installation/without-operator.ts';
import type { CommandResult } from '../../support/run-command.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
  await addPolicy(stepup, 'services', [{ operations: ['CREATE'], apiGroups: [''], resources: ['services'] }]);
});
afterAll(() => stepup?.stop());

const kubectl = (actor: 'admin' | 'deployer', command: string) => stepup.kubectl(actor, command.split(' '));

/** Denied, approved, and then passing with the very same command. */
async function passesOnSecondTry(command: string): Promise<CommandResult> {
  const denied = await kubectl('deployer', command);
  expect(denied.stderr, command).toContain('requires approval');
  await approveDenied(stepup, denied);
  const second = await kubectl('deployer', command);
  expect(second, command).toMatchObject({ code: 0 });
  return denied;
}

function fileOf(name: string, manifest: object): string {
  return fileIn(stepup.cluster, `${name}.json`, JSON.stringify(manifest));
}

const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'nginx:1' }] } };

describe('creation', () => {
  test.each([
    [
      'a Pod, whose token volume is named anew',
      'pod',
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'prod' }, ...template },
    ],
    [
      'a Job, whose selector is generated',
      'job',
      { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'j', namespace: 'prod' }, spec: { template } },
    ],
    [
      'a Job with a generated name',
      'gjob',
      { apiVersion: 'batch/v1', kind: 'Job', metadata: { generateName: 'g-', namespace: 'prod' }, spec: { template } },
    ],
    [
      'a Pod with a generated name',
      'gpod',
      { apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'g-', namespace: 'prod' }, ...template },
    ],
    [
      'a Service, whose address is allocated',
      'svc',
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 's', namespace: 'prod' },
        spec: { type: 'NodePort', ports: [{ port: 80 }], selector: { a: 'b' } },
      },
    ],
    [
      'a CronJob',
      'cron',
      {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata: { name: 'c', namespace: 'prod' },
        spec: { schedule: '0 0 * * *', jobTemplate: { spec: { template } } },
      },
    ],
  ])('%s, passes on the second try', async (_, name, manifest) => {
    await passesOnSecondTry(`create -f ${fileOf(name, manifest)}`);
  });

  test('of a Pod with another image is another change', async () => {
    const pod = (image: string) =>
      fileOf('other', {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'other', namespace: 'prod' },
        spec: { containers: [{ name: 'c', image }] },
      });
    const one = await kubectl('deployer', `create -f ${pod('nginx:1')}`);
    const two = await kubectl('deployer', `create -f ${pod('nginx:2')}`);
    expect(approvalNamedIn(one.stderr)).not.toEqual(approvalNamedIn(two.stderr));
  });
});

describe('a change', () => {
  test('of the image passes on the second try, and survives an autoscaler and the operator', async () => {
    await kubectl('admin', '-n prod create deployment app --image=nginx:1');
    const denied = await kubectl('deployer', '-n prod set image deployment/app nginx=nginx:2');
    await approveDenied(stepup, denied);
    await kubectl('admin', '-n prod scale deployment app --replicas=3');
    expect(await kubectl('deployer', '-n prod set image deployment/app nginx=nginx:2')).toMatchObject({ code: 0 });
    await phaseOf(stepup, approvalNamedIn(denied.stderr), 'Consumed');
  });

  test('of replicas passes on the second try', async () => {
    await kubectl('admin', '-n prod create deployment scaled --image=nginx:1');
    await passesOnSecondTry('-n prod scale deployment scaled --replicas=4');
    const other = await kubectl('deployer', '-n prod scale deployment scaled --replicas=5');
    expect(other.code).not.toBe(0);
  });

  test('that only restarts passes on the second try, and covers nothing but a restart', async () => {
    await kubectl('admin', '-n prod create deployment restarted --image=nginx:1');
    const first = await passesOnSecondTry('-n prod rollout restart deployment/restarted');
    await phaseOf(stepup, approvalNamedIn(first.stderr), 'Consumed');
    await aSecondLater();
    const second = await kubectl('deployer', '-n prod rollout restart deployment/restarted');
    expect(approvalNamedIn(second.stderr)).not.toEqual(approvalNamedIn(first.stderr));
    await approveDenied(stepup, second);
    const image = await kubectl('deployer', '-n prod set image deployment/restarted nginx=nginx:7');
    expect(image.stderr).toContain('production-deploys requires approval to UPDATE');
    expect(await kubectl('deployer', '-n prod rollout restart deployment/restarted')).toMatchObject({ code: 0 });
  });

  test('that restarts once more asks once more, also while no operator runs', async () => {
    await kubectl('admin', '-n prod create deployment unwatched --image=nginx:1');
    const denied = await kubectl('deployer', '-n prod rollout restart deployment/unwatched');
    const key = await approveDenied(stepup, denied);
    await withoutOperator(stepup, async () => {
      expect(await kubectl('deployer', '-n prod rollout restart deployment/unwatched')).toMatchObject({ code: 0 });
      expect((await getApproval(stepup, key)).status?.phase).toBe('Reserved');
      await aSecondLater();
      const again = await kubectl('deployer', '-n prod rollout restart deployment/unwatched');
      expect(again.stderr).toContain('the previous approval is reserved or consumed');
      expect(approvalNamedIn(again.stderr)).not.toEqual(key);
    });
    expect((await phaseOf(stepup, key, 'Consumed')).status?.evidence).toBe('Observed');
  });
});

/** kubectl refuses a restart within the second of the last one by itself. */
const aSecondLater = () => new Promise((resolve) => setTimeout(resolve, 1_100));
