// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the installed product shows of itself: metrics, audit records, logs, events, the watchdog and helm test.
import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allowedReasons, deniedReasons } from '../../../src/domain/model/reason.ts';
import { recordProblems } from '../../support/answers/contract.ts';
import { createAuthority } from '../../support/control-plane/certificates.ts';
import { foreignCrds } from '../../support/control-plane/foreign-crds.ts';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn, approve, approveDenied, phaseOf } from '../../support/installation/approvals.ts';
import { type Installation, installStepup, systemNamespace } from '../../support/installation/installation.ts';
import { counted } from '../../support/installation/metrics.ts';
import { freeLease, withoutOperator } from '../../support/installation/without-operator.ts';
import { type MetricRow, metricsPage } from '../../support/metrics-page.ts';
import { root } from '../../support/repository-files.ts';
import { runCommand } from '../../support/run-command.ts';

const packs = ['namespace-deletion', 'production-deploys', 'secret-deletion'];
interface Configuration {
  readonly metadata: { readonly name: string };
  readonly webhooks: readonly { readonly clientConfig: object }[];
}

const hidden = 'hunter2-is-no-password';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup({
    values: ['log.level=debug', 'test.waitSeconds=6', 'extraArgs={--watchdog-seconds=2}'],
  });
});
afterAll(() => stepup?.stop());

const deployer = (args: string) => stepup.kubectl('deployer', ['-n', 'prod', ...args.split(' ')]);
const admin = (args: string) => stepup.kubectl('admin', args.split(' '));
const pods = () => stepup.node?.pods() ?? [];
const linesOf = (text: string) => text.split('\n').filter((line) => line.startsWith('{'));
const logged = () => pods().flatMap(({ log }) => linesOf(readFileSync(log, 'utf8')));
const records = () =>
  logged()
    .map((line) => JSON.parse(line))
    .filter(({ audit }) => audit !== undefined);
const recordsOf = (name: string) =>
  records()
    .filter(({ approval }) => approval.name === name)
    .sort((a, b) => a.time.localeCompare(b.time));

describe('a life', () => {
  let key: { readonly namespace: string; readonly name: string };

  test('is written down as one record for each step, by whichever replica', async () => {
    const create = `create deployment web --image=nginx:1`;
    key = await approveDenied(stepup, await deployer(create));
    await phaseOf(stepup, key, 'Approved');
    expect(await deployer(create)).toMatchObject({ code: 0 });
    await phaseOf(stepup, key, 'Consumed');
    await eventually('the last record', async () => recordsOf(key.name).length >= 4);
    const lines = recordsOf(key.name);
    expect(lines.flatMap(recordProblems)).toEqual([]);
    const requester = 'system:serviceaccount:ci:deployer';
    expect(lines.map(({ from, to, reason, by }) => ({ from, to, reason, by }))).toEqual([
      { from: undefined, to: 'Pending', reason: 'Filed', by: [{ kind: 'Requester', name: requester }] },
      { from: 'Pending', to: 'Approved', reason: 'Approved', by: [{ kind: 'Voter', name: 'ada' }] },
      { from: 'Approved', to: 'Reserved', reason: 'Reserved', by: [{ kind: 'Requester', name: requester }] },
      { from: 'Reserved', to: 'Consumed', reason: 'Observed', by: [{ kind: 'Operator', name: 'stepup' }] },
    ]);
    const { uid } = (await phaseOf(stepup, key, 'Consumed')).metadata;
    for (const line of lines) {
      expect(line).toMatchObject({
        approval: { ...key, uid },
        policy: 'production-deploys',
        requester,
        action: { operation: 'CREATE', group: 'apps', resource: 'deployments', namespace: 'prod', name: 'web' },
        origin: 'Denied',
        digest: expect.stringMatching(/^[0-9a-z:]+/),
        pod: expect.stringMatching(/^stepup-/),
      });
    }
    expect(lines[2]).toMatchObject({ approvedBy: ['ada'], requestUID: expect.any(String) });
  });

  test('reads well in kubectl describe', async () => {
    const described = async () => (await admin(`-n prod describe sua ${key.name}`)).stdout;
    const events = await eventually('its events', async () => {
      const [, text = ''] = (await described()).split('\nEvents:\n');
      return text.includes('Consumed') ? text : undefined;
    });
    const told = events
      .trim()
      .split('\n')
      .slice(2)
      .map((line) => line.trim().split(/\s{2,}/));
    expect(told.map(([type, reason, , from, note]) => `${type} ${reason} ${from}: ${note}`)).toEqual([
      'Normal Pending stepup.dev/operator: CREATE deployments web by ci/deployer: 1 of 1 approval by group approvers missing',
      'Normal Approved stepup.dev/operator: CREATE deployments web by ci/deployer: approved and not used yet',
      'Normal Consumed stepup.dev/operator: CREATE deployments web by ci/deployer: stepup saw the approved change happen',
    ]);
  });

  test('of one that is denied ends with who said so, also when the leader has changed meanwhile', async () => {
    const other = approvalNamedIn((await deployer('create deployment no --image=nginx:1')).stderr);
    const { status } = await phaseOf(stepup, other, 'Pending');
    await withoutOperator(stepup, async () => {
      const no = (status?.approveWith ?? '').replace('"Approve"', '"Deny"');
      expect(await stepup.kubectl('approver', ['create', '-f', '-'], { stdin: no })).toMatchObject({ code: 0 });
    });
    await phaseOf(stepup, other, 'Denied');
    await eventually('the record', async () => recordsOf(other.name).length >= 2);
    expect(recordsOf(other.name).map(({ reason, by }) => `${reason} ${by[0].kind} ${by[0].name}`)).toEqual([
      'Filed Requester system:serviceaccount:ci:deployer',
      'Denied Voter ada',
    ]);
    const events = await stepup.kubectl('admin', ['-n', 'prod', 'events', `--for=stepupapproval/${other.name}`]);
    expect(events.stdout).toMatch(/Warning +Denied .*denied by ada/);
  });
});

describe('the watchdog', () => {
  const gates = (value: number) => async () => {
    const each = await Promise.all(packs.map((policy) => counted(stepup, 'stepup_gate_in_path', { policy })));
    return each.every((one) => one === value);
  };

  test('finds every gate in the path, and asks about nothing else', async () => {
    // What the API server stores is what was written: or it would be put back for ever.
    expect(await counted(stepup, 'stepup_restores_total')).toBe(0);
    await eventually('the gates to be in the path', gates(1), { timeoutMs: 20_000 });
    expect(await counted(stepup, 'stepup_watchdog_last_success_timestamp_seconds')).toBeGreaterThan(1e9);
    const stored = await admin(`-n ${systemNamespace} get leases -o name`);
    expect(stored.stdout.trim()).toBe('lease.coordination.k8s.io/stepup');
    // Other Leases are nobody's concern, in our namespace and elsewhere.
    const before = await counted(stepup, 'stepup_reviews_total', { path: 'watchdog' });
    await withoutOperator(stepup, async () => {
      const still = await counted(stepup, 'stepup_reviews_total', { path: 'watchdog' });
      for (const namespace of [systemNamespace, 'prod']) {
        const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'other', namespace } };
        const made = await stepup.kubectl('admin', ['create', '-f', '-'], { stdin: JSON.stringify(lease) });
        expect(made).toMatchObject({ code: 0, stderr: '' });
        await admin(`-n ${namespace} delete lease other`);
      }
      expect(await counted(stepup, 'stepup_reviews_total', { path: 'watchdog' })).toBe(still);
      expect(still).toBeGreaterThanOrEqual(before);
      await checkedByHand();
    });
  });

  /** Nobody leads, so that nothing is put back. */
  async function checkedByHand(): Promise<void> {
    const check = async (...args: readonly string[]) =>
      runCommand(process.execPath, [`${root}dist/stepup.mjs`, 'check-gate', ...args], {
        env: { KUBECONFIG: stepup.cluster.adminKubeconfig },
        timeoutMs: 30_000,
      });
    const fine = await check();
    expect(fine).toMatchObject({ code: 0, stderr: '' });
    expect(fine.stdout).toBe(
      'namespace-deletion  called\nproduction-deploys  called\nsecret-deletion     called\n\nThe API server calls the webhook of every policy.\n',
    );
    // What is really created is refused, and by whom is told.
    const probe = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'stepup.watchdog', namespace: systemNamespace, labels: { 'stepup.dev/watchdog': 'probe' } },
    };
    const created = await stepup.kubectl('admin', ['create', '-f', '-'], { stdin: JSON.stringify(probe) });
    expect(created.stderr).toContain('A Lease of the watchdog is for dry runs only');

    // One gate goes, and another one trusts an authority that never made our certificate.
    const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
    await stepup.cluster.admin.delete(`${path}/stepup-secret-deletion`);
    const damaged = await stepup.cluster.admin.get<Configuration>(`${path}/stepup-production-deploys`);
    const caBundle = Buffer.from((await createAuthority('nobody')).cert).toString('base64');
    const webhooks = damaged.webhooks.map((one) => ({ ...one, clientConfig: { ...one.clientConfig, caBundle } }));
    const answer = await stepup.cluster.admin.send('PUT', `${path}/${damaged.metadata.name}`, {
      body: { ...damaged, webhooks },
    });
    expect(answer.code).toBe(200);
    const broken = await eventually('the API server to have seen it', async () => {
      const { code, stdout } = await check('-o', 'json');
      const { gates } = JSON.parse(stdout) as { gates: { policy: string; inPath: boolean }[] };
      const out = gates.filter(({ inPath }) => !inPath).map(({ policy }) => policy);
      return code === 1 && out.length === 2 ? out : undefined;
    });
    expect(broken).toEqual(['production-deploys', 'secret-deletion']);

    const failed = await stepup.cluster.helm(['test', 'stepup', '-n', systemNamespace, '--timeout', '60s'], {
      timeoutMs: 90_000,
    });
    expect(failed.code).not.toBe(0);
    const pod = pods().find(({ name }) => name === 'stepup-test');
    const hint = (policy: string) =>
      `${policy.padEnd(18)}  NOT called: check the pods, the Service and ValidatingWebhookConfiguration stepup-${policy}\n`;
    expect(readFileSync(pod?.log ?? '', 'utf8')).toBe(
      `namespace-deletion  called\n${hint('production-deploys')}${hint('secret-deletion')}\n` +
        'The API server does not call the webhook of 2 of 3 policies: what these govern is admitted unchecked, or denied.\n',
    );
    const unknown = await check('--namespace', 'no-such-namespace');
    expect(unknown).toMatchObject({ code: 2, stdout: '' });
    expect(unknown.stderr).toContain('no-such-namespace');
  }

  test('tells once of gates that are out of the path, and once that they are back', async () => {
    const select = (component: string) =>
      admin(
        `-n ${systemNamespace} patch service stepup -p {"spec":{"selector":{"app.kubernetes.io/component":"${component}"}}}`,
      );
    await eventually('the gates to be in the path', gates(1), { timeoutMs: 20_000 });
    const isOut = async () =>
      (await counted(stepup, 'stepup_leader')) === 1 && (await isLooking()) && (await gates(0)());
    const isLooking = async () => (await counted(stepup, 'stepup_watchdog_last_success_timestamp_seconds')) > 0;
    const reasons = async () => {
      const { stdout } = await admin('-n default get events.events.k8s.io -o json');
      const { items } = JSON.parse(stdout) as {
        items: { reason: string; type: string; regarding: { name: string } }[];
      };
      return items
        .filter(({ reason }) => reason.startsWith('Gate'))
        .map(({ type, reason, regarding }) => `${type} ${reason} ${regarding.name}`)
        .sort();
    };
    expect(await select('nobody')).toMatchObject({ code: 0 });
    // The API server keeps its connections; with the processes they end.
    for (const { name } of pods()) stepup.node?.kill(name);
    await freeLease(stepup);
    await eventually('the gates to be out of the path', isOut, { timeoutMs: 40_000 });
    // Nobody is kept from anything by it.
    expect(await admin(`-n ${systemNamespace} get lease stepup`)).toMatchObject({ code: 0 });
    expect(await admin('-n dev create deployment ungated --image=nginx:1')).toMatchObject({ code: 0 });
    expect(await select('server')).toMatchObject({ code: 0 });
    await eventually('the gates to be in the path again', gates(1), { timeoutMs: 30_000 });
    const out = packs.map((policy) => `Warning GateOutOfPath ${policy}`);
    const back = packs.map((policy) => `Normal GateInPath ${policy}`);
    await expect.poll(reasons, { timeout: 10_000 }).toEqual([...back, ...out].sort());
  }, 120_000);

  test('is what helm test runs, and leaves nothing behind when all is well', async () => {
    const passed = await stepup.cluster.helm(['test', 'stepup', '-n', systemNamespace, '--timeout', '60s'], {
      timeoutMs: 90_000,
    });
    expect(passed.code, passed.stderr).toBe(0);
    expect(passed.stdout).toMatch(/Phase: +Succeeded/);
    const left = await admin('get pods,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings -A -o name');
    expect(left.stdout.split('\n').filter((line) => line.endsWith('/stepup-test'))).toEqual([]);
  });
});

describe('logs', () => {
  test('tell at level debug nothing that is secret: no value, token, header, key or body', async () => {
    await stepup.kubectl('admin', ['-n', 'prod', 'create', 'secret', 'generic', 'db', `--from-literal=p=${hidden}`]);
    const deletion = await deployer('delete secret db');
    const key = approvalNamedIn(deletion.stderr);
    await approve(stepup, key);
    await deployer(`create deployment leaky --image=nginx:1`);
    const withValue = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'leaky', namespace: 'prod', annotations: { 'stepup.dev/reason': hidden } },
      spec: { containers: [{ name: 'c', image: 'nginx:1', env: [{ name: 'P', value: hidden }] }] },
    };
    await stepup.kubectl('deployer', ['create', '-f', '-'], { stdin: JSON.stringify(withValue) });
    expect(await deployer('delete secret db')).toMatchObject({ code: 0 });

    const text = pods()
      .map(({ log }) => readFileSync(log, 'utf8'))
      .join('\n');
    expect(text).toContain('"level":"info"');
    const secrets = await Promise.all(
      ['stepup-keys', 'stepup-tls'].map(async (name) => {
        const { data } = await stepup.cluster.admin.get<{ metadata: { name: string }; data: Record<string, string> }>(
          `/api/v1/namespaces/${systemNamespace}/secrets/${name}`,
        );
        return Object.values(data);
      }),
    );
    const plain = secrets.flat().flatMap((value) => [value, Buffer.from(value, 'base64').toString()]);
    const pieces = plain.flatMap((value) => value.split('\n')).filter((line) => /^[A-Za-z0-9+/=_-]{40,}$/.test(line));
    expect(pieces.length).toBeGreaterThan(2);
    const { users } = load(readFileSync(stepup.kubeconfigs.deployer, 'utf8')) as {
      users: { user: { token: string } }[];
    };
    const token = users[0]?.user.token ?? '';
    expect(token.split('.')).toHaveLength(3);
    const never = [hidden, Buffer.from(hidden).toString('base64'), token, ...pieces];
    expect(never.filter((one) => text.includes(one))).toEqual([]);
    // Nor anything that looks like one of them, whoever's it is.
    expect(text).not.toMatch(
      /eyJ[A-Za-z0-9_-]{10,}\.|BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)|"(object|oldObject|spec|data)":\{/,
    );
    expect(text).not.toMatch(/authorization|user-agent|bearer /i);
  });

  test('are one line of JSON each, with level, time and a message', () => {
    const lines = pods().flatMap(({ log }) => readFileSync(log, 'utf8').trim().split('\n'));
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) {
      expect(JSON.parse(line)).toMatchObject({
        level: expect.stringMatching(/^(debug|info|warn|error)$/),
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        msg: expect.any(String),
      });
    }
  });
});

describe('metrics', () => {
  test('are those that docs/metrics.md names, with no other label or value, and all of them are there', async () => {
    const page = new Map(metricsPage().map((row) => [row.metric, row]));
    const seen = new Map<string, Map<string, Set<string>>>();
    const wrong: string[] = [];
    const samples = (await Promise.all(pods().map(metricsOf))).flatMap((text) => text.split('\n')).flatMap(sampleIn);
    for (const { name, labels } of samples) {
      if (/^(process|nodejs)_/.test(name)) continue;
      const row = page.get(name) ?? page.get(name.replace(/_(bucket|sum|count)$/, ''));
      if (row === undefined) {
        wrong.push(`${name} is not in docs/metrics.md`);
        continue;
      }
      const known = seen.get(row.metric) ?? new Map<string, Set<string>>();
      seen.set(row.metric, known);
      for (const [label, value] of labels) {
        if (label === 'le' && row.type === 'histogram') continue;
        known.set(label, (known.get(label) ?? new Set()).add(value));
        if (!isNamed(row, label, value)) wrong.push(`${name}{${label}="${value}"} is not in docs/metrics.md`);
      }
    }
    expect([...new Set(wrong)]).toEqual([]);
    const missing = [...page.values()].flatMap(({ metric, labels }) => {
      const values = seen.get(metric);
      // No engine is configured here; nothing else may be missing.
      if (values === undefined) return metric === 'stepup_engine_answers_total' ? [] : [metric];
      // Values of gauges and of counters with one label are all told from the start.
      if (metric === 'stepup_decisions_total') return [];
      return [...labels].flatMap(([label, wanted]) =>
        [...wanted].filter((value) => !values.get(label)?.has(value)).map((value) => `${metric} ${label}=${value}`),
      );
    });
    expect(missing).toEqual([]);
    const endsAt = samples.filter(({ name }) => name === 'stepup_certificate_expiry_timestamp_seconds');
    expect(endsAt.map(({ value }) => value > Date.now() / 1000 + 86_400)).toEqual(pods().map(() => true));
    const types = (await metricsOf(pods()[0] as never)).matchAll(/^# TYPE (stepup_\w+) (\w+)$/gm);
    for (const [, name = '', type] of types) expect(`${name} ${page.get(name)?.type}`).toBe(`${name} ${type}`);
  });
});

describe('what the Prometheus operator needs', () => {
  const switches = ['serviceMonitor', 'prometheusRule', 'dashboard'].map((name) => `metrics.${name}.enabled=true`);

  test('is refused with a sentence where its kinds are not served, and accepted where they are', async () => {
    await expect(stepup.upgrade(switches)).rejects.toThrow(
      /metrics\.\w+\.enabled is true, but the API server does not serve monitoring\.coreos\.com\/v1/,
    );
    for (const file of (await foreignCrds()).filter((path) => path.includes('monitoring.coreos.com'))) {
      expect(await stepup.kubectl('admin', ['create', '-f', file])).toMatchObject({ code: 0 });
    }
    await eventually('its kinds to be served', async () => (await admin('get servicemonitors -A')).code === 0);
    await stepup.upgrade(switches);
    const { stdout } = await admin(`-n ${systemNamespace} get servicemonitors,prometheusrules,configmaps -o name`);
    expect(stdout).toContain('servicemonitor.monitoring.coreos.com/stepup\n');
    expect(stdout).toContain('prometheusrule.monitoring.coreos.com/stepup\n');
    expect(stdout).toContain('configmap/stepup-dashboard\n');
  });
});

function isNamed({ metric, labels }: MetricRow, label: string, value: string): boolean {
  const values = labels.get(label);
  if (values === undefined) return false;
  if (metric === 'stepup_decisions_total' && label === 'reason')
    return value in allowedReasons || value in deniedReasons;
  if (label === 'policy') return packs.includes(value) || value === 'unknown';
  return values.size === 0 || values.has(value);
}

async function metricsOf({ ip }: { readonly ip: string }): Promise<string> {
  return (await fetch(`http://${ip}:8080/metrics`)).text();
}

interface Sample {
  readonly name: string;
  readonly labels: readonly (readonly [string, string])[];
  readonly value: number;
}

function sampleIn(line: string): readonly Sample[] {
  const [, name, given = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined) return [];
  const labels = [...given.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', text = '']) => [label, text] as const);
  return [{ name, labels, value: Number(value) }];
}
