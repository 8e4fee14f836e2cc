// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The main job, and the commands of the README, on an installed stepup.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { approvalNamedIn, approve, approveDenied, getApproval, phaseOf } from '../../support/installation/approvals.ts';
import { type Installation, installStepup } from '../../support/installation/installation.ts';
import { textOf } from '../../support/repository-files.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
});
afterAll(() => stepup?.stop());

const deployer = (args: string) => stepup.kubectl('deployer', args.split(' '));

describe('a production deploy by a service account', () => {
  test('is denied, approved with the printed command, passes once, and is asked about anew', async () => {
    const create = '-n prod create deployment web --image=nginx:1';
    const denied = await deployer(create);
    expect(denied.code).not.toBe(0);
    const { namespace, name } = approvalNamedIn(denied.stderr);
    expect(denied.stderr.trim()).toBe(
      'error: failed to create deployment: admission webhook "action.production-deploys.gate.stepup.dev" denied the request: ' +
        'stepup: production-deploys requires approval to CREATE deployments prod/web: 1 of 1 approval by group approvers missing. ' +
        `Approval ${namespace}/${name}. Approve: kubectl -n prod get sua ${name} -o jsonpath={.status.approveWith} | kubectl create -f -`,
    );
    const listed = await phaseOf(stepup, { namespace, name }, 'Pending', 2_000);
    expect(listed.spec.change?.preview?.diff).toContain('image: nginx:1');

    const vote = await approve(stepup, { namespace, name });
    expect(vote).toMatchObject({ code: 0 });
    expect(await deployer(create)).toMatchObject({ code: 0, stdout: 'deployment.apps/web created\n' });
    expect((await phaseOf(stepup, { namespace, name }, 'Consumed')).status?.evidence).toBe('Observed');

    const deletion = await deployer('-n prod delete deployment web');
    expect(deletion.stderr).toContain('production-deploys requires approval to DELETE deployments prod/web');
    await approveDenied(stepup, deletion);
    expect(await deployer('-n prod delete deployment web')).toMatchObject({ code: 0 });

    const again = await deployer(create);
    expect(again.code).not.toBe(0);
    expect(approvalNamedIn(again.stderr).name).not.toBe(name);
  });

  test('stays denied when it was denied, and says so under a new approval', async () => {
    const create = '-n prod create deployment unwanted --image=nginx:1';
    const key = approvalNamedIn((await deployer(create)).stderr);
    const { status } = await phaseOf(stepup, key, 'Pending');
    const no = (status?.approveWith ?? '').replace('"Approve"', '"Deny"');
    expect(await stepup.kubectl('approver', ['create', '-f', '-'], { stdin: no })).toMatchObject({ code: 0 });
    await phaseOf(stepup, key, 'Denied');
    expect((await approve(stepup, key)).stderr).toContain('Denied');
    const again = await deployer(create);
    expect(approvalNamedIn(again.stderr).name).not.toBe(key.name);
  });

  test('with another image is not covered, and does not spend the approval', async () => {
    const denied = await deployer('-n prod create deployment two --image=nginx:1');
    const key = await approveDenied(stepup, denied);
    expect((await deployer('-n prod create deployment two --image=nginx:2')).code).not.toBe(0);
    expect((await getApproval(stepup, key)).status?.uses ?? []).toEqual([]);
    expect(await deployer('-n prod create deployment two --image=nginx:1')).toMatchObject({ code: 0 });
  });

  test('by another service account is not covered', async () => {
    const denied = await deployer('-n prod create deployment mine --image=nginx:1');
    await approveDenied(stepup, denied);
    const other = await stepup.kubectl('agent', '-n prod create deployment mine --image=nginx:1'.split(' '));
    expect(other.code).not.toBe(0);
    expect(await deployer('-n prod create deployment mine --image=nginx:1')).toMatchObject({ code: 0 });
  });
});

describe('the README', () => {
  test('prints commands that do what it says', async () => {
    const [block = ''] =
      /<!-- run: e2e readme -->\n\x60\x60\x60sh\n([\s\S]*?)\x60\x60\x60/.exec(textOf('README.md'))?.slice(1) ?? [];
    const commands = block
      .trim()
      .split('\n')
      .map((line) => /^kubectl --kubeconfig \.run\/(\w+)\.kubeconfig (.*)$/.exec(line));
    const [create, list] = commands;
    await stepup.kubectl('admin', ['-n', 'prod', 'delete', 'deployment', 'web', '--ignore-not-found']);
    const denied = await stepup.kubectl('deployer', (create?.[2] ?? '').split(' '));
    expect(denied.stderr).toContain('production-deploys requires approval to CREATE deployments prod/web');
    const { name } = approvalNamedIn(denied.stderr);
    await phaseOf(stepup, { namespace: 'prod', name }, 'Pending');
    expect((await stepup.kubectl('approver', (list?.[2] ?? '').split(' '))).stdout).toContain(name);
  });
});
