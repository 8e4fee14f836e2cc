// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Clients and ways of writing: what each sends, what the gate says, what an approval is good for (docs/clients.md).
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';
import { auditOf } from './audit-log.ts';
import { documented, tableRow } from './clients-document.ts';
import { mayDrain } from './drain.ts';
import { pod } from './manifests.ts';
import { clientGo, pythonClient } from './programs.ts';
import { approvalsNamedIn, approveAll, type Observed, perform, spentApprovals } from './ritual.ts';
import { type Again, nameOfWay, type Programs, type Way, ways } from './ways.ts';

let stepup: Installation;
let programs: Programs;
beforeAll(async () => {
  programs = { clientGo: await clientGo(), ...(await pythonClient()) };
  stepup = await installStepup();
  await mayDrain(stepup);
}, 400_000);
afterAll(() => stepup?.stop());

const rows: string[] = [];

describe('a way of writing', () => {
  test.each(ways.map((way, i) => [`${way.client}: ${way.how}`, way, i] as const))(
    '%s',
    { timeout: 60_000 },
    async (_, way, i) => {
      const place = { stepup, name: nameOfWay(way, i), programs };
      await way.prepare?.(place);
      const observed = await perform(stepup, () => way.run(place), way.pauseMs);
      // The row is kept whatever follows, so that the docs can be held against all of them.
      rows.push(rowOf(way, observed));
      expect(observed.refusals.map(({ sent }) => sent.filter(isRelevant).map(({ what }) => what))).toEqual(way.refused);
      for (const { result, sent } of observed.refusals) {
        expect(sent.filter(({ gate }) => gate === 'ApprovalRequired').map(statusOf)).toEqual(
          sent.filter(({ gate }) => gate === 'ApprovalRequired').map(() => '403 StepUpRequired'),
        );
        expectReadable(result.stderr);
        if (way.client === 'client-go' || way.client === 'Python') expectForMachines(result);
      }
      expect(observed.spent, 'approvals spent').toBe(way.spent);
      expect(againOf(observed), observed.again.result.stderr).toBe(way.again);
      expect(observed.again.spent, 'spent once more').toBe(0);
    },
  );
});

/** Helm writes its own records and the ungoverned objects in between. */
function isRelevant({ what, isDryRun }: { readonly what: string; readonly isDryRun: boolean }): boolean {
  return !isDryRun && !/ (secrets|configmaps)$/.test(what);
}

const statusOf = ({ code, reason }: { readonly code: number; readonly reason: string }) => `${code} ${reason}`;

/** For a person: the sentence, the approval and the command, and nothing of the Status object around it. */
function expectReadable(stderr: string): void {
  expect(stderr).toMatch(/stepup: production-deploys requires approval to [A-Z]+ [a-z/]+ prod\/\S+: 1 of 1 approval/);
  expect(stderr).toMatch(
    /Approve: kubectl -n prod get sua \S+ -o jsonpath=\{\.status\.approveWith\} \| kubectl create -f -/,
  );
  expect(stderr).not.toMatch(/"kind":|"details"|"status":|causes|\[object/);
}

/** For a program: code and reason, and the approval's name without reading the sentence. */
function expectForMachines({ stdout, stderr }: CommandResult): void {
  const [key] = approvalsNamedIn(stderr);
  expect(JSON.parse(stdout)).toMatchObject({ code: 403, reason: 'StepUpRequired', approval: key?.name });
  if (stdout.includes('isForbidden')) expect(JSON.parse(stdout)).toMatchObject({ isForbidden: true });
}

function againOf({ again }: Observed): Again {
  const { result, sent } = again;
  if (result.code === 0) return sent.some(isRelevant) ? 'passes, nothing spent' : 'is done: nothing to send';
  if (result.stderr.includes('requires approval')) return 'asks anew';
  return /not ?found/i.test(result.stderr) ? 'fails: not found' : 'fails by itself';
}

function rowOf(way: Way, observed: Observed): string {
  const sent = [
    ...new Set(observed.refusals.flatMap((refusal) => refusal.sent.filter(isRelevant).map(({ what }) => what))),
  ];
  const answers = observed.refusals.flatMap((refusal) =>
    refusal.sent.filter(({ gate }) => gate === 'ApprovalRequired').map(statusOf),
  );
  const refusal = `${[...new Set(answers)].join(', ')}, exit ${observed.refusals[0]?.result.code}`;
  const rounds = observed.refusals.length === 1 ? '' : `, in ${observed.refusals.length} rounds`;
  const passes = `exit ${observed.passed.code}; ${observed.spent} spent${rounds}`;
  return tableRow([
    way.client,
    `\x60${way.how}\x60`,
    sent.join(', '),
    refusal,
    passes,
    againOf(observed),
    way.note ?? '',
  ]);
}

describe('a connection', () => {
  const connections: readonly (readonly [string, string, string])[] = [
    ['exec web -- ls', 'exec {n} -- ls', 'CONNECT pods/exec'],
    ['attach web', 'attach {n}', 'CONNECT pods/attach'],
    ['cp web:/etc/hosts hosts', 'cp {n}:/etc/hosts hosts', 'CONNECT pods/exec'],
    ['port-forward web 0:80', 'port-forward {n} 0:80', 'CONNECT pods/portforward'],
    ['get --raw …/pods/web/proxy/', 'get --raw /api/v1/namespaces/prod/pods/{n}/proxy/', 'CONNECT pods/proxy'],
  ];

  test.each(connections)('by kubectl %s is governed by no ready-made policy', async (how, command, what) => {
    const name = 'connected';
    await apply(stepup.cluster, [pod(name)]);
    // Nothing runs it; kubectl asks for nothing less before it forwards a port.
    await stepup.kubectl('admin', [
      '-n',
      'prod',
      'patch',
      'pod',
      name,
      '--subresource=status',
      '-p',
      '{"status":{"phase":"Running"}}',
    ]);
    const audit = auditOf(stepup);
    const before = await spentApprovals(stepup);
    const words = command.split(' ').map((word) => word.replaceAll('{n}', name));
    const result = await stepup.kubectl('deployer', ['-n', 'prod', ...words], {
      timeoutMs: 20_000,
      cwd: stepup.cluster.dir,
    });
    const sent = await audit();
    expect([...new Set(sent.map((one) => one.what))]).toEqual([what]);
    expect(sent.flatMap(({ gate }) => gate ?? [])).toEqual([]);
    expect(result.stderr).not.toContain('stepup');
    expect(await spentApprovals(stepup)).toBe(before);
    const code = sent[0]?.code;
    connected.push(tableRow([`\x60${how}\x60`, what, `passes; then ${code}: no kubelet behind this API server`]));
  });
});

const connected: string[] = [];

describe('what no policy governs', () => {
  const free: readonly (readonly [string, string])[] = [
    ['label deployment web a=b', 'PATCH deployments'],
    ['annotate deployment web a=b', 'PATCH deployments'],
    ['rollout pause deployment/web', 'PATCH deployments'],
    ['create configmap web', 'POST configmaps'],
    ['expose deployment web --port=80', 'POST services'],
  ];
  test.each(free)('kubectl %s passes without a word', async (command, what) => {
    await stepup.kubectl('admin', ['-n', 'prod', 'create', 'deployment', 'web', '--image=nginx:1']);
    const audit = auditOf(stepup);
    const result = await stepup.kubectl('deployer', ['-n', 'prod', ...command.split(' ')]);
    expect(result).toMatchObject({ code: 0 });
    const sent = (await audit()).filter((one) => one.what === what);
    expect(sent.map(({ gate }) => gate)).toEqual([undefined]);
    ungoverned.push(tableRow([`\x60${command}\x60`, what]));
  });
});

const ungoverned: string[] = [];

describe('what kubectl names anew on every try', () => {
  const drawn: readonly (readonly [string, string])[] = [
    ['debug web --copy-to=web-copy --image=busybox:1 --attach=false', 'a container'],
    ['debug node/worker --image=busybox:1 --attach=false', 'a Pod'],
  ];
  test.each(drawn)('%s is another change each time, since %s gets another name', async (command, what) => {
    await apply(stepup.cluster, [pod('web'), { apiVersion: 'v1', kind: 'Node', metadata: { name: 'worker' } }]);
    const run = () => stepup.kubectl('deployer', ['-n', 'prod', ...command.split(' ')]);
    const first = await run();
    await approveAll(stepup, first);
    const second = await run();
    expect(second.code).not.toBe(0);
    expect(approvalsNamedIn(second.stderr)).not.toEqual(approvalsNamedIn(first.stderr));
    unrepeatable.push(tableRow([`\x60${command}\x60`, `${what} gets another name`]));
  });
});

const unrepeatable: string[] = [];

describe('docs/clients.md', () => {
  test('says what was observed', () => {
    const head = ['client', 'how', 'sends', 'without an approval', 'with it', 'once more', 'note'];
    documented('table', [tableRow(head), tableRow(head.map(() => '---')), ...rows]);
    const heads = [tableRow(['kubectl', 'sends', 'what happens']), tableRow(['---', '---', '---'])];
    documented('connections', [...heads, ...connected]);
    const drawnHeads = [tableRow(['kubectl', 'why no approval covers the next try']), tableRow(['---', '---'])];
    documented('unrepeatable', [...drawnHeads, ...unrepeatable]);
    documented('ungoverned', [tableRow(['kubectl', 'sends']), tableRow(['---', '---']), ...ungoverned]);
  });
});
