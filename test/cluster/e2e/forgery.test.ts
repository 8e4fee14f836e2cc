// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Forged and malformed input: a clear error, no allow, no crash.
import { request } from 'node:https';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { approvalNamedIn, approve, getApproval, phaseOf } from '../../support/installation/approvals.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import { type Actor, type Installation, installStepup } from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';

let stepup: Installation;
let pids: readonly (number | undefined)[];
beforeAll(async () => {
  stepup = await installStepup();
  pids = stepup.node?.pods().map((pod) => pod.pid) ?? [];
});
afterAll(() => stepup?.stop());

afterEach(() => {
  expect(
    stepup.node?.pods().map((pod) => pod.pid),
    'no replica has been restarted',
  ).toEqual(pids);
});

const create = (actor: Actor, object: object): Promise<CommandResult> =>
  stepup.kubectl(actor, ['create', '-f', '-'], { stdin: JSON.stringify(object) });

const approval = (spec: object = {}) => handWritten({ generateName: 'forged-' }, { name: 'forged' }, spec);

const decision = (
  key: { readonly name: string; readonly uid: string; readonly digest?: string },
  spec: object = {},
) => ({
  apiVersion: 'stepup.dev/v1alpha1',
  kind: 'StepUpDecision',
  metadata: { generateName: 'forged-', namespace: 'prod' },
  spec: { approval: key, verdict: 'Approve', ...spec },
});

describe('an approval by hand', () => {
  test.each<[string, Actor, object, string]>([
    ['that names another creator', 'approver', approval({ createdBy: { username: 'grace' } }), 'createdBy'],
    ['that says who made it be', 'approver', approval({ origin: 'Denied' }), 'origin'],
    [
      'for oneself is only asked for, so it needs no right to approve but gives nothing',
      'outsider',
      approval(),
      'mallory is not an approver of policy secret-deletion',
    ],
    ['for a policy that is not there', 'approver', approval({ policy: { name: 'nowhere' } }), 'nowhere'],
    [
      'without digest where content binds',
      'approver',
      approval({
        policy: { name: 'production-deploys' },
        action: {
          operation: 'CREATE',
          group: 'apps',
          version: 'v1',
          resource: 'deployments',
          namespace: 'prod',
          name: 'x',
        },
      }),
      'digest',
    ],
    [
      "in a namespace that is not the target's",
      'approver',
      { ...approval(), metadata: { generateName: 'forged-', namespace: 'dev' } },
      'prod',
    ],
    ['with a field nobody knows', 'approver', approval({ surprise: true }), 'unknown field "spec.surprise"'],
  ])('%s is refused', async (_, actor, object, says) => {
    const result = await create(actor, object);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain(says);
  });

  test('that is a copy of a spent one is refused', async () => {
    const copy = { ...approval(), status: { phase: 'Approved', uses: [] } };
    expect((await create('approver', copy)).code).not.toBe(0);
  });

  test('by an approver is accepted and stamped', async () => {
    const made = await stepup.kubectl('approver', ['create', '-f', '-', '-o', 'json'], {
      stdin: JSON.stringify(approval()),
    });
    expect(made.code, made.stderr).toBe(0);
    const { spec } = JSON.parse(made.stdout) as { spec: { origin: string; createdBy: object } };
    expect(spec).toMatchObject({ origin: 'Applied', createdBy: { username: 'ada', groups: ['approvers'] } });
  });
});

describe('a decision', () => {
  test('counts for nobody but an approver who was shown the same content', async () => {
    const denied = await stepup.kubectl('deployer', '-n prod create deployment forged --image=nginx:1'.split(' '));
    const key = approvalNamedIn(denied.stderr);
    const { metadata, spec } = await phaseOf(stepup, key, 'Pending');
    const shown = { name: metadata.name, uid: metadata.uid, digest: spec.change?.digest ?? '' };
    const otherDigest = `sha256:${'0'.repeat(64)}`;

    const refused: readonly (readonly [Actor, object, string])[] = [
      ['deployer', decision(shown), 'forbidden'],
      ['root-bot', decision(shown), 'is itself gated by a policy'],
      ['outsider', decision(shown), 'mallory is not an approver of policy production-deploys'],
      ['approver', decision({ ...shown, digest: otherDigest }), 'digest'],
      ['approver', decision({ ...shown, uid: 'another' }), 'uid'],
      ['approver', decision({ ...shown, name: 'nothing' }), 'nothing'],
      ['approver', decision(shown, { decidedBy: { username: 'grace' } }), 'decidedBy'],
      ['approver', decision(shown, { bypass: true, reason: 'x' }), 'does not allow break-glass'],
      ['approver', decision(shown, { verdict: 'Maybe' }), 'Maybe'],
      ['approver', decision(shown, { surprise: 1 }), 'unknown field "spec.surprise"'],
    ];
    for (const [actor, object, says] of refused) {
      const result = await create(actor, object);
      expect(result.stderr, JSON.stringify(object)).toContain(says);
      expect(result.code).not.toBe(0);
    }
    expect((await getApproval(stepup, key)).status?.votes).toBe('0/1');
    expect((await approve(stepup, key)).code).toBe(0);
    await phaseOf(stepup, key, 'Approved');
  });
});

describe('status', () => {
  test("is not the gated account's to write", async () => {
    const denied = await stepup.kubectl('deployer', '-n prod create deployment unwritten --image=nginx:1'.split(' '));
    const key = approvalNamedIn(denied.stderr);
    await phaseOf(stepup, key, 'Pending');
    const approved = '{"status":{"phase":"Approved"}}';
    const patch = ['-n', 'prod', 'patch', 'sua', key.name, '--subresource=status', '--type=merge', '-p', approved];
    const result = await stepup.kubectl('deployer', patch);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain('forbidden');
  });

  test('that says approved opens nothing, whoever wrote it', async () => {
    const create = '-n prod create deployment written --image=nginx:1'.split(' ');
    const key = approvalNamedIn((await stepup.kubectl('deployer', create)).stderr);
    await phaseOf(stepup, key, 'Pending');
    const status = {
      phase: 'Approved',
      votes: '1/1',
      approvedAt: new Date().toISOString(),
      usableUntil: '2099-01-01T00:00:00Z',
    };
    const patch = [
      '-n',
      'prod',
      'patch',
      'sua',
      key.name,
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status }),
    ];
    expect((await stepup.kubectl('root-bot', patch)).stderr).toContain('stepup guards stepupapprovals/status');
    expect(await stepup.kubectl('admin', patch)).toMatchObject({ code: 0 });
    expect((await stepup.kubectl('deployer', create)).stderr).toContain('1 of 1 approval by group approvers missing');
    await phaseOf(stepup, key, 'Pending');
  });
});

// Straight to a replica's own address, which only our own node knows.
describe.runIf(process.env.USE_EXISTING_CLUSTER !== 'true')('a review that is none', () => {
  const review = (over: object) =>
    JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', ...over });
  test.each<[string, string, string, number]>([
    ['is not JSON', '/gate/production-deploys', '{"kind":', 400],
    ['is empty', '/gate/production-deploys', '', 400],
    ['is cut short', '/gate/production-deploys', review({ request: { uid: 'u' } }).slice(0, -5), 400],
    ['asks nothing', '/gate/production-deploys', review({}), 400],
    ['comes to no known path', '/elsewhere', review({}), 404],
    ['is too large', '/gate/production-deploys', `"${'x'.repeat(9 * 1024 * 1024)}"`, 413],
  ])('that %s gets an error', async (_, path, body, status) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain('"allowed":true');
    expect(answer.text).not.toBe('');
  });

  test.each([
    ['of an older version', { apiVersion: 'admission.k8s.io/v1beta1', request: { uid: 'u' } }],
    ['about a policy that is not there', { request: { uid: 'u', operation: 'DELETE' } }],
    ['without what it is about', { request: { uid: 'u' } }],
  ])('%s is denied', async (_, over) => {
    const answer = await post('/gate/nowhere', review(over));
    expect(answer.text).not.toContain('"allowed":true');
    expect([200, 400]).toContain(answer.status);
  });
});

function post(path: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
  const [pod] = stepup.node?.pods().filter((one) => one.isReady) ?? [];
  return new Promise((resolve, reject) => {
    const options = {
      host: pod?.ip,
      port: 8443,
      path,
      method: 'POST',
      rejectUnauthorized: false,
      headers: { 'content-type': 'application/json' },
    };
    const outgoing = request(options, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    // A server that refuses a body early closes the connection while we still send.
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EPIPE' || error.code === 'ECONNRESET' ? undefined : reject(error),
    );
    outgoing.end(body);
  });
}
