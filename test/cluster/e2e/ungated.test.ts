// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Ungated traffic never reaches the webhook: counted by the webhook itself.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type Actor, type Installation, installStepup } from '../../support/installation/installation.ts';
import { counted } from '../../support/installation/metrics.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
});
afterAll(() => stepup?.stop());

/** Without the watchdog's own. */
async function reviews(): Promise<number> {
  const name = 'stepup_reviews_total';
  return (await counted(stepup, name)) - (await counted(stepup, name, { path: 'watchdog' }));
}

async function all(actor: Actor, commands: readonly string[]): Promise<void> {
  for (const command of commands) {
    const result = await stepup.kubectl(actor, command.split(' '));
    expect(result, command).toMatchObject({ code: 0 });
  }
}

test("people, Kubernetes' controllers, other namespaces, other kinds and unchanged re-applies cost no call", async () => {
  const before = await reviews();
  // People, also in production, with all that the controllers do for them: ReplicaSets, Pods, garbage collection.
  await all('admin', [
    '-n prod create deployment by-hand --image=nginx:1 --replicas=2',
    '-n prod set image deployment/by-hand nginx=nginx:2',
    '-n prod scale deployment by-hand --replicas=1',
    '-n prod create secret generic by-hand',
    '-n prod delete secret by-hand',
    '-n prod delete deployment by-hand',
    'create namespace passing-by',
    'label namespace passing-by environment=production',
    'delete namespace passing-by',
  ]);
  await eventually('the ReplicaSets to be collected', async () => {
    const left = await stepup.kubectl('admin', ['-n', 'prod', 'get', 'replicasets,pods', '-o', 'name']);
    return left.stdout === '';
  });
  // Gated accounts where, or with what, no policy governs.
  await all('deployer', [
    '-n dev create deployment free --image=nginx:1',
    '-n dev create secret generic free',
    '-n dev delete secret free',
    '-n prod create configmap free',
    '-n prod label configmap free a=b',
    '-n prod delete configmap free',
    'label namespace dev team=a',
  ]);
  expect(await reviews()).toBe(before);
});

test('a governed action costs calls, so the counter counts', async () => {
  const before = await reviews();
  const denied = await stepup.kubectl('deployer', '-n prod create deployment gated --image=nginx:1'.split(' '));
  expect(denied.code).not.toBe(0);
  expect(await reviews()).toBeGreaterThan(before);
});

test('a label of a governed Deployment changes without a call', async () => {
  await all('admin', ['-n prod create deployment labelled --image=nginx:1']);
  const before = await reviews();
  await all('deployer', ['-n prod label deployment labelled a=b']);
  expect(await reviews()).toBe(before);
});
