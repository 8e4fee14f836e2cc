// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// whenPending Retry: which clients wait by themselves until somebody approves, and what they say when nobody does.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { approve } from '../../support/installation/approvals.ts';
import { apply, fileIn, type Installation, installStepup } from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';
import { auditOf, type SentRequest } from './audit-log.ts';
import { documented, tableRow } from './clients-document.ts';
import { writeChart } from './deployed-chart.ts';
import { mayDrain } from './drain.ts';
import { deployment, pod } from './manifests.ts';
import { clientGo, pythonClient } from './programs.ts';
import { approvals, approveAll, spentApprovals } from './ritual.ts';
import { helm, type Programs, runProgram } from './ways.ts';

let stepup: Installation;
let programs: Programs;
beforeAll(async () => {
  programs = { clientGo: await clientGo(), ...(await pythonClient()) };
  const request = 'packs.production-deploys.spec.request';
  stepup = await installStepup({ values: [`${request}.whenPending=Retry`, `${request}.retryAfterSeconds=1`] });
  await apply(
    stepup.cluster,
    ['patched', 'scaled', 'deleted', 'py-patched', 'py-deleted', 'go-updated', 'py-alone', 'scale-alone', 'py-put'].map(
      (name) => deployment(name),
    ),
  );
  await mayDrain(stepup);
  await apply(stepup.cluster, [
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'drained' } },
    pod('evicted', { terminationGracePeriodSeconds: 0 }),
    pod('on-node', { nodeName: 'drained', terminationGracePeriodSeconds: 0 }),
  ]);
}, 400_000);
afterAll(() => stepup?.stop());

const deployer = (...args: readonly string[]) => stepup.kubectl('deployer', ['-n', 'prod', ...args]);
const rows: string[] = [];

/** Approves what is filed for the target, once the client has been told to wait at least twice. */
async function approveWhileWaiting(name: string): Promise<void> {
  const filed = await eventually(`an approval for ${name}`, async () =>
    (await approvals(stepup)).find(({ spec, status }) => spec.action.name === name && status?.phase === 'Pending'),
  );
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const vote = await approve(stepup, filed.metadata);
  if (vote.code !== 0) throw new Error(`approve ${filed.metadata.name}: ${vote.stderr}`);
}

const told = (sent: readonly SentRequest[]) => sent.filter(({ code }) => code === 429);

describe('a client that waits by itself', () => {
  const manifest = () => fileIn(stepup.cluster, 'applied.json', JSON.stringify(deployment('applied')));
  const place = () => ({ stepup, programs });
  const chart = () => writeChart(stepup.cluster.dir);
  const clients: readonly (readonly [string, string, () => Promise<CommandResult>])[] = [
    ['kubectl apply', 'applied', () => deployer('apply', '-f', manifest())],
    ['kubectl set image', 'patched', () => deployer('set', 'image', 'deployment/patched', 'c=nginx:2')],
    ['kubectl scale', 'scaled', () => deployer('scale', 'deployment', 'scaled', '--replicas=3')],
    ['kubectl delete', 'deleted', () => deployer('delete', 'deployment', 'deleted')],
    ['kubectl drain', 'on-node', () => stepup.kubectl('deployer', ['drain', 'drained', '--force'])],
    ['helm upgrade --install', 'waited-web', () => helm(stepup, ['upgrade', '--install', 'waited', chart()])],
    ['client-go create', 'go-created', () => runProgram('client-go', place(), ['create', 'go-created', 'nginx:1'])],
    ['client-go update', 'go-updated', () => runProgram('client-go', place(), ['update', 'go-updated', 'nginx:2'])],
    ['Python delete', 'py-deleted', () => runProgram('Python', place(), ['delete', 'py-deleted', 'nginx:1'])],
    ['Python replace', 'py-put', () => runProgram('Python', place(), ['replace', 'py-put', 'nginx:2'])],
  ];

  test.each(clients)('%s passes when %s is approved meanwhile', async (what, name, run) => {
    const audit = auditOf(stepup);
    const before = await spentApprovals(stepup);
    const [result] = await Promise.all([run(), approveWhileWaiting(name)]);
    const sent = await audit();
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(told(sent).length, 'told to wait').toBeGreaterThan(0);
    expect(result.stderr, 'waiting is silent').not.toContain('stepup:');
    expect(await spentApprovals(stepup)).toBe(before + 1);
    rows.push(tableRow([`\x60${what}\x60`, 'waits, then passes', 'exit 0; 1 spent']));
  });
});

describe('a client that does not wait', () => {
  test.each(['create', 'patch'])('Python %s fails at once, and passes when it is called again', async (way) => {
    const name = way === 'create' ? 'py-created' : 'py-patched';
    const audit = auditOf(stepup);
    const run = () => runProgram('Python', { stepup, programs }, [way, name, 'nginx:2']);
    const refused = await run();
    expect(told(await audit())).toHaveLength(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({ code: 429, reason: 'StepUpRequired' });
    await approveAll(stepup, refused);
    expect(await run()).toMatchObject({ code: 0 });
    rows.push(tableRow([`\x60Python ${way}\x60`, 'fails at once with 429', 'exit 0; 1 spent when called again']));
  });
});

describe('kubectl create --raw', () => {
  test('does not wait either: its body cannot be sent twice', async () => {
    const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'evicted', namespace: 'prod' } };
    const file = fileIn(stepup.cluster, 'eviction.json', JSON.stringify(body));
    const audit = auditOf(stepup);
    const run = () => deployer('create', '--raw', '/api/v1/namespaces/prod/pods/evicted/eviction', '-f', file);
    const refused = await run();
    expect(told(await audit())).toHaveLength(1);
    await approveAll(stepup, refused);
    expect(await run()).toMatchObject({ code: 0 });
    rows.push(
      tableRow(['\x60kubectl create --raw\x60', 'fails at once with 429', 'exit 0; 1 spent when called again']),
    );
  });
});

describe('when nobody approves', () => {
  const manifest = () => fileIn(stepup.cluster, 'alone.json', JSON.stringify(deployment('alone')));

  test('a client gives up after its tries, and says what is missing', async () => {
    const place = { stepup, programs };
    const clients: readonly (readonly [string, string, string, number, () => Promise<CommandResult>])[] = [
      ['kubectl apply', 'kubectl', 'POST', 11, () => deployer('apply', '-f', manifest())],
      ['kubectl scale', 'kubectl', 'PATCH', 11, () => deployer('scale', 'deployment', 'scale-alone', '--replicas=3')],
      [
        'helm upgrade --install',
        'Helm',
        'POST',
        11,
        () => helm(stepup, ['upgrade', '--install', 'alone', writeChart(stepup.cluster.dir)]),
      ],
      [
        'client-go create',
        'client-go',
        'POST',
        11,
        () => runProgram('client-go', place, ['create', 'go-alone', 'nginx:1']),
      ],
      [
        'Python delete',
        'OpenAPI-Generator',
        'DELETE',
        4,
        () => runProgram('Python', place, ['delete', 'py-alone', 'nginx:1']),
      ],
    ];
    const audit = auditOf(stepup);
    // All at once, since each waits for ten seconds.
    const results = await Promise.all(clients.map(([, , , , run]) => run()));
    const refused = told(await audit());
    expect([...new Set(refused.map(({ reason }) => reason))]).toEqual(['StepUpRequired']);
    for (const [i, [what, by, verb, tries]] of clients.entries()) {
      const sent = refused.filter((one) => one.by === by && one.what.startsWith(`${verb} `));
      expect(sent, what).toHaveLength(tries);
      expect(results[i]?.code, what).toBe(1);
      expect(results[i]?.stderr, what).toContain('requires approval to');
      rows.push(
        tableRow([`\x60${what}\x60, nobody approves`, `gives up after ${tries} tries`, 'exit 1 with the message']),
      );
    }
  });

  test('a dry run never waits', async () => {
    const startedAt = performance.now();
    expect(await deployer('apply', '--dry-run=server', '-f', manifest())).toMatchObject({ code: 0 });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

describe('docs/clients.md', () => {
  test('says who waits', () => {
    const head = ['client', 'what it does', 'ends with'];
    documented('waiting', [tableRow(head), tableRow(head.map(() => '---')), ...rows]);
  });
});
