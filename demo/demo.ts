// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The main job of stepup on a real control plane, told step by step; exits non-zero when a step does not come out.
import { eventually } from '../test/support/eventually.ts';
import { approvalNamedIn, phaseOf } from '../test/support/installation/approvals.ts';
import { type Installation, installStepup } from '../test/support/installation/installation.ts';
import { say, Transcript } from './transcript.ts';

const started = performance.now();
say('stepup: a privileged change by a machine passes once, when someone has approved exactly that change.\n');
const installation = await installStepup({ progress: (line) => say(`… ${line}`) });
try {
  await play(installation);
  say(`\nAll of it happened on a real kube-apiserver, in ${Math.round((performance.now() - started) / 1000)} s.`);
} catch (failure) {
  say(`\nNot as it should be: ${failure instanceof Error ? failure.message : String(failure)}`);
  process.exitCode = 1;
} finally {
  await installation.stop();
}

async function play(stepup: Installation): Promise<void> {
  const story = new Transcript(stepup);
  const deploy = (name: string, image: string) => ['-n', 'prod', 'create', 'deployment', name, `--image=${image}`];

  story.chapter('What is gated');
  story.tell('Three ready-made policies came with the chart. The namespace prod is labelled environment=production.');
  await story.run({
    actor: 'admin',
    args: ['get', 'stepuppolicies'],
    expect: 'passes',
    shows: ['production-deploys', 'True'],
  });

  story.chapter('A machine deploys to production: denied');
  story.tell('The service account ci/deployer may do this by RBAC. Nobody has approved it, though.');
  const denied = await story.run({
    actor: 'deployer',
    args: deploy('web', 'nginx:1'),
    expect: 'is denied',
    shows: ['production-deploys', 'Approve:'],
  });
  const first = approvalNamedIn(denied);

  story.chapter('What an approver sees');
  await phaseOf(stepup, first, 'Pending');
  await story.run({
    actor: 'approver',
    args: ['-n', 'prod', 'get', 'sua'],
    expect: 'passes',
    shows: [first.name, '0/1'],
  });
  await story.run({
    actor: 'approver',
    args: ['-n', 'prod', 'get', 'sua', first.name, '-o', 'jsonpath={.spec.change.preview.diff}'],
    expect: 'passes',
    shows: ['+    spec:', 'image: nginx:1'],
  });

  story.chapter('Approved with plain kubectl');
  story.tell('The denial printed this very command. It needs no plugin.');
  await approveAloud(story, first);

  story.chapter('The very same command passes');
  await story.run({ actor: 'deployer', args: deploy('web', 'nginx:1'), expect: 'passes', shows: ['created'] });
  await phaseOf(stepup, first, 'Consumed');
  await story.run({
    actor: 'approver',
    args: ['-n', 'prod', 'get', 'sua', first.name],
    expect: 'passes',
    shows: ['Consumed', '1/1'],
  });

  story.chapter('Once is once');
  story.tell('An admin deletes the Deployment. The same create again is another effect, and needs another approval.');
  await story.run({ actor: 'admin', args: ['-n', 'prod', 'delete', 'deployment', 'web'], expect: 'passes' });
  const repeated = await story.run({ actor: 'deployer', args: deploy('web', 'nginx:1'), expect: 'is denied' });
  if (approvalNamedIn(repeated).name === first.name) throw new Error('the denial names the spent approval');
  story.check('denied under another name');

  story.chapter('Another content is another change');
  await approveAloud(story, approvalNamedIn(repeated));
  await story.run({ actor: 'deployer', args: deploy('web', 'evil:1'), expect: 'is denied' });
  story.tell('The approved one still stands; the mismatch has not spent it.');
  await story.run({ actor: 'deployer', args: deploy('web', 'nginx:1'), expect: 'passes' });

  story.chapter('Deleting a Secret');
  await story.run({
    actor: 'admin',
    args: ['-n', 'prod', 'create', 'secret', 'generic', 'key', '--from-literal=a=b'],
    expect: 'passes',
  });
  const secret = await story.run({
    actor: 'deployer',
    args: ['-n', 'prod', 'delete', 'secret', 'key'],
    expect: 'is denied',
    shows: ['secret-deletion'],
  });
  await approveAloud(story, approvalNamedIn(secret));
  await story.run({
    actor: 'deployer',
    args: ['-n', 'prod', 'delete', 'secret', 'key'],
    expect: 'passes',
    shows: ['deleted'],
  });

  story.chapter('A client that waits');
  story.tell('With whenPending: Retry a plain kubectl waits by itself until somebody decides.');
  await stepup.upgrade([
    'packs.production-deploys.spec.request.whenPending=Retry',
    'packs.production-deploys.spec.request.retryAfterSeconds=2',
  ]);
  const waiting = story.run({
    actor: 'deployer',
    args: deploy('patient', 'nginx:1'),
    expect: 'passes',
    shows: ['created'],
  });
  const pending = await eventually('the waiting request to be listed', async () => {
    const list = await stepup.kubectl('approver', [
      '-n',
      'prod',
      'get',
      'sua',
      '-o',
      'jsonpath={range .items[?(@.spec.action.name=="patient")]}{.metadata.name}{end}',
    ]);
    return list.stdout;
  });
  story.tell('While it waits, the approver decides:');
  await approveAloud(story, { namespace: 'prod', name: pending });
  await waiting;

  story.chapter('An approval that nobody uses expires');
  await stepup.upgrade(['packs.production-deploys.spec.grant.ttlSeconds=3']);
  const unused = await story.run({ actor: 'deployer', args: deploy('late', 'nginx:1'), expect: 'is denied' });
  await approveAloud(story, approvalNamedIn(unused));
  await phaseOf(stepup, approvalNamedIn(unused), 'Expired');
  await story.run({
    actor: 'approver',
    args: ['-n', 'prod', 'get', 'sua', approvalNamedIn(unused).name],
    expect: 'passes',
    shows: ['Expired'],
  });
  await story.run({ actor: 'deployer', args: deploy('late', 'nginx:1'), expect: 'is denied' });

  async function approveAloud(
    by: Transcript,
    key: { readonly namespace: string; readonly name: string },
  ): Promise<void> {
    await phaseOf(stepup, key, 'Pending');
    const get = ['-n', key.namespace, 'get', 'sua', key.name, '-o', 'jsonpath={.status.approveWith}'];
    const decision = await by.run({ actor: 'approver', args: get, expect: 'passes', shows: ['"verdict":"Approve"'] });
    await by.run({
      actor: 'approver',
      args: ['create', '-f', '-'],
      stdin: decision,
      expect: 'passes',
      shows: ['created'],
    });
  }
}
