// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make up leaves a control plane with stepup running and what one needs to play; make down leaves nothing.
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { runFiles, runFolder } from '../../../demo/run-folder.ts';
import { root } from '../../support/repository-files.ts';
import { runCommand } from '../../support/run-command.ts';

const env = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
);
const node = (...args: string[]) => runCommand(process.execPath, args, { cwd: root, env, timeoutMs: 240_000 });
const shell = (command: string) =>
  runCommand('bash', ['-c', `source .run/env && ${command}`], { cwd: root, env, timeoutMs: 60_000 });

afterAll(() => node('demo/down.ts'));

// Somebody may be playing with theirs: it is neither used nor ended.
const isFree = !existsSync(runFiles.pid);

test.runIf(isFree)('up, play, down', { timeout: 300_000 }, async () => {
  const up = await node('demo/up.ts', '--replicas', '1');
  expect(up.code, `${up.stdout}${up.stderr}`).toBe(0);
  expect(up.stdout).toContain('stepup is running. Try:');
  const pid = Number(readFileSync(runFiles.pid, 'utf8'));

  const again = await node('demo/up.ts');
  expect(again.stdout).toContain('already running');

  const denied = await shell(
    'kubectl --kubeconfig .run/deployer.kubeconfig -n prod create deployment web --image=nginx:1',
  );
  expect(denied.stderr).toContain('stepup: production-deploys requires approval to CREATE deployments prod/web');
  // The printed command itself, as the approver would paste it.
  const [, command = ''] = /Approve: (.*)$/m.exec(denied.stderr) ?? [];
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const approved = await shell(`export KUBECONFIG=.run/approver.kubeconfig && ${command}`);
  expect(approved.stdout, approved.stderr).toContain('created');
  const created = await shell(
    'kubectl --kubeconfig .run/deployer.kubeconfig -n prod create deployment web --image=nginx:1',
  );
  expect(created.stdout, created.stderr).toBe('deployment.apps/web created\n');
  const roles = await shell('kubectl --kubeconfig .run/root-bot.kubeconfig auth can-i "*" "*"');
  expect(roles.stdout.trim()).toBe('yes');
  const edit = await shell('kubectl --kubeconfig .run/agent.kubeconfig -n prod auth can-i create deployments');
  expect(edit.stdout.trim()).toBe('yes');

  const down = await node('demo/down.ts');
  expect(down.stdout).toBe('stopped\n');
  expect(existsSync(runFolder)).toBe(false);
  expect(() => process.kill(pid, 0)).toThrow();
});

test('up refuses a number of replicas that is none', async () => {
  const up = await node('demo/up.ts', '--replicas', 'many');
  expect(up.code).not.toBe(0);
  expect(up.stderr).toContain('REPLICAS must be a number from 1 to 9, not many');
});
