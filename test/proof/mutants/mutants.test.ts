// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One approval, one effect, where the API server and two replicas with old caches make it hardest. Each test fails on one
// of the mutations of make mutants; all pass on the product.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { approveDenied, getApproval } from '../../support/installation/approvals.ts';
import { type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import type { CommandResult } from '../../support/run-command.ts';
import { matchesObject, type SideReview, type SideWebhook, startSideWebhook } from '../../support/side-webhook.ts';

const deployments = {
  operations: ['UPDATE'],
  apiGroups: ['apps'],
  apiVersions: ['v1'],
  resources: ['deployments'],
};
let stepup: Installation;
let side: SideWebhook;

beforeAll(async () => {
  stepup = await installStepup({ replicas: 2, values: ['extraArgs[0]=--cache-delay-ms=1000'] });
  // The operator may not look at Secrets, so their uses stay unsettled.
  await addPolicy(stepup, 'secret-changes', [
    { operations: ['CREATE', 'UPDATE'], apiGroups: [''], resources: ['secrets'] },
  ]);
  side = await startSideWebhook(stepup.cluster.admin, 'side', { rules: [deployments] });
});
afterAll(async () => {
  await side?.close();
  await stepup?.stop();
});

test('a change that was undone does not pass again while its use is unsettled', async () => {
  await asAdmin(['create', 'secret', 'generic', 'undone', '--from-literal=value=old']);
  const change = () => asDeployer(['patch', 'secret', 'undone', '-p', '{"stringData":{"value":"new"}}']);
  await approveDenied(stepup, await change());
  expect(await change()).toMatchObject({ code: 0 });
  await asAdmin(['patch', 'secret', 'undone', '-p', '{"stringData":{"value":"old"}}']);
  expectNoSecondEffect([await change()]);
});

test('no replica admits again what another one has admitted, however old its cache', async () => {
  await asAdmin(['create', 'secret', 'generic', 'shared', '--from-literal=value=old']);
  const change = () => asDeployer(['patch', 'secret', 'shared', '-p', '{"stringData":{"value":"new"}}']);
  await approveDenied(stepup, await change());
  expect(await change()).toMatchObject({ code: 0 });
  await asAdmin(['patch', 'secret', 'shared', '-p', '{"stringData":{"value":"old"}}']);
  // At once, so that the calls need connections of their own and meet both replicas.
  expectNoSecondEffect(await Promise.all(Array.from({ length: 8 }, change)));
});

test('a creation does not pass again after its object was deleted', async () => {
  const create = () => asDeployer(['create', 'secret', 'generic', 'made', '--from-literal=value=new']);
  await approveDenied(stepup, await create());
  expect(await create()).toMatchObject({ code: 0 });
  await asAdmin(['delete', 'secret', 'made']);
  expectNoSecondEffect([await create()]);
});

test('a write that lands long after its answer has used its approval', async () => {
  const { key, change, isOurs } = await approvedChange('long-after');
  const hold = side.hold(isOurs);
  const admitted = change();
  await hold.arrived();
  await isReservedFor(key, 10_000);
  hold.release();
  expect(await admitted).toMatchObject({ code: 0 });
  await asAdmin(['set', 'image', 'deployment/long-after', 'web=web:1']);
  expectNoSecondEffect([await change()]);
});

test('a reservation is not given back while the write it admitted is under way', async () => {
  const { key, change, isOurs } = await approvedChange('under-way');
  const firstTry = side.hold(isOurs);
  const admitted = change();
  await firstTry.arrived();
  // A label leaves the generation: the write loses to it, and its next try is admitted again at the same base.
  await asAdmin(['label', 'deployment', 'under-way', 'touched=true']);
  const nextTry = side.hold(isOurs);
  firstTry.release();
  await nextTry.arrived();
  await isReservedFor(key, 4_000);
  nextTry.release();
  expect(await admitted).toMatchObject({ code: 0 });
  await asAdmin(['set', 'image', 'deployment/under-way', 'web=web:1']);
  expectNoSecondEffect([await change()]);
});

/** A Deployment whose new image is approved and not yet sent again. */
async function approvedChange(name: string) {
  await asAdmin(['create', 'deployment', name, '--image=web:1']);
  const change = () => asDeployer(['set', 'image', `deployment/${name}`, 'web=web:2']);
  const key = await approveDenied(stepup, await change());
  const isAbout = matchesObject(name);
  // The deployment controller writes to it too.
  const isOurs = (review: SideReview) => isAbout(review) && review.userInfo.username.endsWith(':deployer');
  return { key, change, isOurs };
}

/** Waits for the reservation, then for something else to become of it; nothing should in this time. */
async function isReservedFor(key: { readonly namespace: string; readonly name: string }, ms: number): Promise<void> {
  const phase = async () => (await getApproval(stepup, key)).status?.phase;
  await eventually(`${key.name} to be reserved`, async () => (await phase()) === 'Reserved');
  const leaves = eventually(`${key.name} to leave`, async () => (await phase()) !== 'Reserved', { timeoutMs: ms });
  await leaves.catch(() => undefined);
}

/** The words by which make mutants knows that a test failed for the right reason. */
function expectNoSecondEffect(answers: readonly CommandResult[]): void {
  const admitted = answers.filter(({ code }) => code === 0);
  expect(admitted, 'one approval has had a second effect').toEqual([]);
  for (const { stderr } of answers) expect(stderr).toContain('denied the request: stepup');
}

async function asAdmin(args: readonly string[]): Promise<void> {
  const result = await stepup.kubectl('admin', ['-n', 'prod', ...args]);
  if (result.code !== 0) throw new Error(`${args.join(' ')}: ${result.stderr}`);
}

function asDeployer(args: readonly string[]): Promise<CommandResult> {
  return stepup.kubectl('deployer', ['-n', 'prod', ...args]);
}
