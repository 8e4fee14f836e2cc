// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every phase of an approval on the installed product: how it is reached, by whom, when, and that no end is left.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import { commandsUnder, runDocumented } from '../../support/answers/shown-commands.ts';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn } from '../../support/installation/approvals.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import { type Actor, apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import type { CommandResult } from '../../support/run-command.ts';

interface Key {
  readonly namespace: string;
  readonly name: string;
}

const retentionSeconds = 120;
let stepup: Installation;
const ended: { key: Key; phase: string; endedAt: number }[] = [];

beforeAll(async () => {
  stepup = await installStepup({ values: [`retentionSeconds=${retentionSeconds}`] });
  const namespace = (name: string, labels: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  await apply(stepup.cluster, [
    namespace('hasty', { times: 'hasty' }),
    namespace('brief', { times: 'brief' }),
    namespace('crowded', { times: 'crowded' }),
  ]);
  const deployments = [{ operations: ['CREATE'], apiGroups: ['apps'], resources: ['deployments'] }];
  const times = (which: string) => ({ namespaceSelector: { matchLabels: { times: which } }, namespaceShapes: null });
  await addPolicy(stepup, 'hasty', deployments, {
    ...times('hasty'),
    request: { pendingTTLSeconds: 2 },
  });
  await addPolicy(stepup, 'crowded', deployments, { ...times('crowded'), request: { maxPendingPerRequester: 2 } });
  await addPolicy(stepup, 'brief', deployments, { ...times('brief'), grant: { ttlSeconds: 2 } });
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'deployer', namespace: 'crowded' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'stepup-gated-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'deployer' }],
  };
  await apply(stepup.cluster, [binding]);
  const tokens = [{ operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'] }];
  await addPolicy(stepup, 'tokens', tokens);
}, 240_000);
afterAll(() => stepup?.stop());

const run = (actor: Actor, line: string, stdin = '') => stepup.kubectl(actor, line.split(' '), { stdin });
const path = ({ namespace, name }: Key) => `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals/${name}`;
const read = (key: Key) => stepup.cluster.admin.get<StepUpApproval & { metadata: { name: string } }>(path(key));

async function refused(actor: Actor, line: string): Promise<Key> {
  const result = await run(actor, line);
  expect(result.code, result.stdout).not.toBe(0);
  const key = approvalNamedIn(result.stderr);
  await reached(key, 'Pending');
  return key;
}

/** Waits for the phase; ends are remembered, to see later that they stay and go. */
async function reached(key: Key, phase: string, timeoutMs = 20_000): Promise<NonNullable<StepUpApproval['status']>> {
  const { status } = await eventually(
    `${key.name} to be ${phase}`,
    async () => {
      const approval = await read(key);
      if (approval.status?.phase !== phase) throw new Error(`it is ${approval.status?.phase}`);
      return approval;
    },
    { timeoutMs },
  );
  if (status?.endedAt !== undefined) ended.push({ key, phase, endedAt: Date.parse(status.endedAt) });
  return status ?? {};
}

/** Runs the command that docs/approvals.md shows. */
async function say(verdict: string, actor: Actor, key: Key): Promise<CommandResult> {
  const command = commandsUnder('docs/approvals.md', `approvals ${verdict}`).replaceAll(
    '-n prod',
    `-n ${key.namespace}`,
  );
  return runDocumented(stepup, actor, command, { NAME: key.name });
}

async function approved(key: Key): Promise<Key> {
  expect(await say('approve', 'approver', key)).toMatchObject({ code: 0 });
  await reached(key, 'Approved');
  return key;
}

/** Instants of creation are whole seconds: of two within one nobody can say which is newer. */
const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1_100));
const messageOf = ({ conditions = [] }: NonNullable<StepUpApproval['status']>) =>
  conditions.find(({ type }) => type === 'Ready')?.message;
const create = (name: string, image = 'nginx:1', namespace = 'prod') =>
  `-n ${namespace} create deployment ${name} --image=${image}`;
const seconds = (from: string | undefined, to: string | undefined) =>
  (Date.parse(to ?? '') - Date.parse(from ?? '')) / 1000;

describe('an approval that nobody has decided', () => {
  test('is TimedOut at pendingUntil, and no vote helps any more', async () => {
    const key = await refused('root-bot', create('late', 'nginx:1', 'hasty'));
    const { metadata } = await read(key);
    const status = await reached(key, 'TimedOut');
    expect(seconds(metadata.creationTimestamp, status.pendingUntil)).toBe(2);
    expect(seconds(status.pendingUntil, status.endedAt)).toBeGreaterThanOrEqual(0);
    expect(seconds(status.pendingUntil, status.endedAt)).toBeLessThan(5);
    expect(messageOf(status)).toBe('not decided in time: 1 of 1 approval by group approvers missing');
    expect(status.usableUntil).toBeUndefined();
    expect((await say('approve', 'approver', key)).stderr).toContain('its phase is TimedOut');
    expect((await refused('root-bot', create('late', 'nginx:1', 'hasty'))).name).not.toBe(key.name);
  });

  test('is Superseded by newer content, an approved one is not', async () => {
    const first = await refused('root-bot', create('newer', 'nginx:1'));
    await nextSecond();
    const second = await refused('root-bot', create('newer', 'nginx:2'));
    expect(messageOf(await reached(first, 'Superseded'))).toBe(`replaced by ${second.name}`);
    await approved(second);
    const third = await refused('root-bot', create('newer', 'nginx:3'));
    await nextSecond();
    const fourth = await refused('root-bot', create('newer', 'nginx:4'));
    await reached(third, 'Superseded');
    expect((await read(second)).status?.phase).toBe('Approved');
    expect(await run('root-bot', create('newer', 'nginx:2'))).toMatchObject({ code: 0 });
    expect((await read(fourth)).status?.phase).toBe('Pending');
  });

  test('is Withdrawn by its requester, and by nobody else', async () => {
    const key = await refused('root-bot', create('taken-back'));
    for (const stranger of ['outsider', 'approver'] as const) {
      const result = await say('withdraw', stranger, key);
      expect(result.stderr).toContain('only the requester or the creator can withdraw an approval');
    }
    expect((await say('withdraw', 'deployer', key)).stderr).toContain('cannot create resource "stepupdecisions"');
    expect((await read(key)).status?.phase).toBe('Pending');
    expect(await say('withdraw', 'root-bot', key)).toMatchObject({ code: 0 });
    expect(messageOf(await reached(key, 'Withdrawn'))).toBe('withdrawn by system:serviceaccount:ci:root-bot');
  });

  test('is Denied by an approver, with the reason', async () => {
    const key = await refused('deployer', create('unwanted'));
    expect(await say('deny', 'approver', key)).toMatchObject({ code: 0 });
    const status = await reached(key, 'Denied');
    expect(messageOf(status)).toBe('denied by ada');
    expect(status.decisions).toMatchObject([
      { verdict: 'Deny', decidedBy: 'ada', reason: 'not on a Friday', counted: true },
    ]);
  });

  test('leaves room for so many others only', async () => {
    const line = (name: string) => create(name, 'nginx:1', 'crowded');
    const first = await refused('root-bot', line('one'));
    await refused('root-bot', line('two'));
    const tooMany = 'stepup: crowded: the requester has too many approvals pending. No approval was filed';
    await eventually('no more to be filed', async () =>
      (await run('root-bot', line('three'))).stderr.includes(tooMany),
    );
    // Another requester has room of its own.
    await refused('deployer', line('three'));
    expect(await say('withdraw', 'root-bot', first)).toMatchObject({ code: 0 });
    await reached(first, 'Withdrawn');
    await eventually('room for another', async () =>
      (await run('root-bot', line('three'))).stderr.includes('crowded requires approval'),
    );
  });
});

describe('an approval that was given', () => {
  test('is Expired at usableUntil, and opens nothing then', async () => {
    const key = await approved(await refused('root-bot', create('unused', 'nginx:1', 'brief')));
    const status = await reached(key, 'Expired');
    expect(seconds(status.approvedAt, status.usableUntil)).toBe(2);
    expect(seconds(status.usableUntil, status.endedAt)).toBeGreaterThanOrEqual(0);
    expect(messageOf(status)).toBe('approved but not used in time');
    expect((await refused('root-bot', create('unused', 'nginx:1', 'brief'))).name).not.toBe(key.name);
  });

  test.each([
    ['deny', 'Denied', 'denied by grace'],
    ['revoke', 'Revoked', 'revoked by grace'],
  ])('is taken away by %s', async (verdict, phase, message) => {
    const line = create(`given-${verdict}`);
    const key = await approved(await refused('deployer', line));
    expect((await say(verdict, 'outsider', key)).stderr).toContain('mallory is not an approver');
    expect((await read(key)).status?.phase).toBe('Approved');
    expect(await say(verdict, 'approver2', key)).toMatchObject({ code: 0 });
    expect(messageOf(await reached(key, phase))).toBe(message);
    expect((await refused('deployer', line)).name).not.toBe(key.name);
  });

  test('by hand is taken back by who gave it, and by nobody else', async () => {
    const made = await stepup.kubectl('approver', ['create', '-f', '-', '-o', 'name'], {
      stdin: JSON.stringify(handWritten({ name: 'by-hand' }, { name: 'mine' }, { reason: 'agreed' })),
    });
    expect(made).toMatchObject({ code: 0 });
    const key = { namespace: 'prod', name: 'by-hand' };
    await reached(key, 'Approved');
    expect((await say('withdraw', 'approver2', key)).stderr).toContain(
      'only the requester or the creator can withdraw an approval',
    );
    expect(await say('withdraw', 'approver', key)).toMatchObject({ code: 0 });
    await reached(key, 'Withdrawn');
  });

  test('is not found without its label, and serves when it is back', async () => {
    const line = create('unlabelled');
    const key = await approved(await refused('deployer', line));
    const { metadata } = await read(key);
    const label = metadata.labels?.['stepup.dev/target'] ?? '';
    const unlabel = `-n prod label sua ${key.name} stepup.dev/target-`;
    expect((await run('root-bot', unlabel)).stderr).toContain('stepup guards stepupapprovals');
    expect(await run('admin', unlabel)).toMatchObject({ code: 0 });
    expect((await run('deployer', line)).stderr).toContain('production-deploys requires approval');
    expect(await run('admin', `-n prod label sua ${key.name} stepup.dev/target=${label}`)).toMatchObject({ code: 0 });
    expect(await run('deployer', line)).toMatchObject({ code: 0 });
    await reached(key, 'Consumed');
  });
});

describe('an approval that is used', () => {
  test('is Consumed, Observed when the change is seen', async () => {
    const line = create('seen');
    const key = await approved(await refused('deployer', line));
    expect(await run('deployer', line)).toMatchObject({ code: 0 });
    const status = await reached(key, 'Consumed');
    expect([status.evidence, messageOf(status)]).toEqual(['Observed', 'stepup saw the approved change happen']);
  });

  test('is Consumed, Admitted at once when it leaves nothing to see', async () => {
    expect(await run('admin', '-n prod create serviceaccount minted')).toMatchObject({ code: 0 });
    const line = '-n prod create token minted';
    const key = await approved(await refused('root-bot', line));
    expect((await run('root-bot', line)).stdout).toMatch(/^eyJ/);
    const status = await reached(key, 'Consumed');
    expect([status.evidence, messageOf(status)]).toEqual(['Admitted', 'the approved request was admitted']);
    expect((await run('root-bot', line)).code).not.toBe(0);
  });

  describe('by a request that another webhook stops', () => {
    const blocker = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'blocker' },
      webhooks: [
        {
          name: 'blocker.example.com',
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
          // The discard port: nobody listens.
          clientConfig: { url: 'https://127.0.0.1:9/' },
          namespaceSelector: { matchLabels: { environment: 'production' } },
          matchConditions: [{ name: 'bot', expression: "request.userInfo.username.endsWith(':deployer')" }],
          rules: [{ apiGroups: ['apps'], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['deployments'] }],
        },
      ],
    };
    const blocked = async (isBlocked: boolean) => {
      if (isBlocked) await apply(stepup.cluster, [blocker]);
      else await run('admin', 'delete validatingwebhookconfiguration blocker --ignore-not-found');
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    };
    afterAll(() => blocked(false));

    /** An approved update of a deployment of that name, admitted but never written. */
    async function reserved(name: string): Promise<{ key: Key; line: string }> {
      await blocked(false);
      expect(await run('admin', create(name))).toMatchObject({ code: 0 });
      const line = `-n prod set image deployment/${name} nginx=nginx:2`;
      const key = await approved(await refused('deployer', line));
      await blocked(true);
      expect((await run('deployer', line)).stderr).toContain('blocker.example.com');
      await reached(key, 'Reserved');
      return { key, line };
    }

    test('is readmitted for the same request, and Observed in the end', async () => {
      const { key, line } = await reserved('again');
      await blocked(false);
      expect(await run('deployer', line)).toMatchObject({ code: 0 });
      const status = await reached(key, 'Consumed');
      expect([status.evidence, status.uses?.length]).toEqual(['Observed', 1]);
    });

    test.each([
      ['revoke', 'Revoked'],
      ['deny', 'Denied'],
    ])('stays Reserved under %s, is not readmitted, and ends %s once its write has lost', async (verdict, phase) => {
      const { key, line } = await reserved(`stopped-${verdict}`);
      expect(await say(verdict, 'approver2', key)).toMatchObject({ code: 0 });
      await blocked(false);
      const again = await run('deployer', line);
      expect(again.stderr).toContain('production-deploys requires approval to UPDATE');
      expect(approvalNamedIn(again.stderr).name).not.toBe(key.name);
      expect((await read(key)).status?.phase).toBe('Reserved');
      // Somebody else's change takes the generation that the admitted one would have had.
      expect(await run('admin', `-n prod scale deployment stopped-${verdict} --replicas=3`)).toMatchObject({ code: 0 });
      const status = await reached(key, phase);
      expect(status.releases).toHaveLength(1);
    });

    test('is Consumed, Unconfirmed when the target goes before it can be told', async () => {
      const { key } = await reserved('gone');
      expect(await run('admin', '-n prod delete deployment gone')).toMatchObject({ code: 0 });
      const status = await reached(key, 'Consumed');
      expect(status.evidence).toBe('Unconfirmed');
    });
  });

  test('or denied at the same instant has one end', async () => {
    const outcomes: string[] = [];
    for (let round = 0; round < 8; round++) {
      const line = create(`race-${round}`);
      const key = await approved(await refused('deployer', line));
      const no = ((await read(key)).status?.approveWith ?? '').replace('"Approve"', '"Deny"');
      const [used] = await Promise.all([
        new Promise((resolve) => setTimeout(resolve, round * 25)).then(() => run('deployer', line)),
        run('approver2', 'create -f -', no),
      ]);
      const phase = await eventually('an end', async () => {
        const { status } = await read(key);
        return status?.endedAt === undefined ? undefined : status.phase;
      });
      const exists = (await run('admin', `-n prod get deployment race-${round}`)).code === 0;
      expect({ round, used: used.code === 0, exists, phase }).toEqual({
        round,
        used: exists,
        exists,
        phase: exists ? 'Consumed' : 'Denied',
      });
      outcomes.push(phase);
    }
    process.stdout.write(`races ended ${outcomes.join(', ')}\n`);
  });
});

describe('a backup of a spent approval', () => {
  test('revives it for nobody', async () => {
    const line = create('restored');
    const key = await approved(await refused('deployer', line));
    expect(await run('deployer', line)).toMatchObject({ code: 0 });
    await reached(key, 'Consumed');
    const backup = (await run('admin', `-n prod get sua ${key.name} -o json`)).stdout;
    expect(await run('admin', '-n prod delete deployment restored --cascade=orphan')).toMatchObject({ code: 0 });

    // Over the stored one: its spec is the same, and its status is not for clients to write.
    await run('admin', 'apply -f -', backup);
    expect((await run('deployer', line)).code).not.toBe(0);

    expect(await run('admin', `-n prod delete sua ${key.name}`)).toMatchObject({ code: 0 });
    ended.splice(
      ended.findIndex((one) => one.key.name === key.name),
      1,
    );
    const { status: _, ...bare } = JSON.parse(backup) as Record<string, unknown> & { spec: Record<string, unknown> };
    const { createdBy: __, origin: ___, ...spec } = bare.spec;
    const copies = { whole: backup, bare: JSON.stringify(bare), unsigned: JSON.stringify({ ...bare, spec }) };
    const answers: Record<string, string> = {};
    for (const [what, copy] of Object.entries(copies)) {
      for (const actor of ['admin', 'root-bot', 'deployer'] as const) {
        for (const verb of ['create', 'apply']) {
          const { code, stderr } = await run(actor, `${verb} -f -`, copy);
          const said = /stepup: (.*)/.exec(stderr)?.[1] ?? (/forbidden/.test(stderr) ? 'forbidden' : stderr);
          answers[`${what} ${actor} ${verb}`] = code === 0 ? 'stored' : said;
        }
      }
    }
    const copied = 'this is a copy of another approval; leave status, createdBy and origin out';
    for (const [who, said] of Object.entries(answers)) {
      if (who.startsWith('unsigned deployer')) continue;
      expect(said, who).toBe(
        who.startsWith('unsigned root-bot')
          ? 'system:serviceaccount:ci:root-bot is itself gated by a policy and not named as a delegate'
          : who.startsWith('unsigned admin')
            ? 'stepup-admin is not an approver of policy production-deploys'
            : copied,
      );
    }
    // The requester may ask for the same again; that is a request, and as good as none.
    expect((await run('deployer', line)).stderr).toContain('1 of 1 approval by group approvers missing');
  });
});

describe('an end', () => {
  test('is left by nobody, whatever is written to its status', async () => {
    const phases = new Map(ended.map(({ phase, key }) => [phase, key]));
    expect([...phases.keys()].sort()).toEqual([
      'Consumed',
      'Denied',
      'Expired',
      'Revoked',
      'Superseded',
      'TimedOut',
      'Withdrawn',
    ]);
    for (const [phase, { namespace, name }] of phases) {
      for (const status of [{ phase: 'Approved' }, { phase: 'Pending', uses: null, releases: null }, null]) {
        const patch = JSON.stringify({ status });
        const args = ['-n', namespace, 'patch', 'sua', name, '--subresource=status', '--type=merge', '-p', patch];
        const { stderr } = await stepup.kubectl('admin', args);
        expect(stderr, `${phase} ${patch}`).toMatch(/an ended approval stays ended|append-only/);
      }
      expect((await read({ namespace, name })).status?.phase).toBe(phase);
    }
  });

  test('is kept for as long as it should be, and then goes with its decisions', async () => {
    const [first] = [...ended].sort((a, b) => a.endedAt - b.endedAt);
    if (first === undefined) throw new Error('nothing has ended');
    await eventually(
      'the oldest to be removed',
      async () => (await stepup.cluster.admin.send('GET', path(first.key))).code === 404,
      { timeoutMs: retentionSeconds * 1000 },
    );
    expect(Date.now() - first.endedAt).toBeGreaterThanOrEqual(retentionSeconds * 1000 - 1_000);
  }, 200_000);
});
