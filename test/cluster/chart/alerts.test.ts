// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The chart's alerts and dashboard before Prometheus' own tool: each alert has series that raise it and neighbours that do
// not, and what they read is in docs/metrics.md.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { afterAll, describe, expect, test } from 'vitest';
import { render, template, the } from '../../support/chart/chart.ts';
import { ensureBinary } from '../../support/control-plane/binaries.ts';
import { metricsPage } from '../../support/metrics-page.ts';
import { root, textOf } from '../../support/repository-files.ts';
import { runCommand } from '../../support/run-command.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const alertsFile = join(root, 'charts/stepup/files/alerts.yaml');
const { groups } = load(textOf('charts/stepup/files/alerts.yaml')) as {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(textOf('charts/stepup/files/dashboard.json')) as Dashboard;

interface Dashboard {
  readonly uid: string;
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly type: string;
    readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

const dir = mkdtempSync(join(tmpdir(), 'stepup-alerts-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function promtool(args: readonly string[]) {
  const { code, stdout, stderr } = await runCommand(await ensureBinary('promtool'), args, {
    cwd: dir,
    timeoutMs: 60_000,
  });
  return { code, output: `${stdout}${stderr}` };
}

const pod = 'namespace="stepup-system",pod="stepup-0"';
const webhook = 'name="action.deploys.gate.stepup.dev",type="validating"';

/** A value every minute, as promtool writes it: from+step x count, or one value x count. */
type Series = Readonly<Record<string, string>>;

interface Case {
  /** Minutes from the start of the series. */
  readonly at: number;
  readonly raises: Series;
  /** Differs in one thing. */
  readonly not: Series;
}

/** promtool's clock starts at 0. */
const cases: Readonly<Record<string, Case>> = {
  StepUpNoReplicaReady: {
    at: 5,
    raises: { [`stepup_ready{${pod}}`]: '0x10', 'stepup_ready{namespace="stepup-system",pod="stepup-1"}': '0x10' },
    not: { [`stepup_ready{${pod}}`]: '0x10', 'stepup_ready{namespace="stepup-system",pod="stepup-1"}': '1x10' },
  },
  StepUpReplicaNotReady: {
    at: 12,
    raises: { [`stepup_ready{${pod}}`]: '0x20' },
    not: { [`stepup_ready{${pod}}`]: '0x5 1x15' },
  },
  StepUpCallsFail: {
    at: 10,
    raises: {
      [`apiserver_admission_webhook_rejection_count{${webhook},error_type="calling_webhook_error"}`]: '0+2x20',
    },
    not: { [`apiserver_admission_webhook_rejection_count{${webhook},error_type="no_error"}`]: '0+2x20' },
  },
  StepUpGateOutOfPath: {
    at: 5,
    raises: { [`stepup_gate_in_path{${pod},policy="deploys"}`]: '0x10' },
    not: { [`stepup_gate_in_path{${pod},policy="deploys"}`]: '1x10' },
  },
  StepUpWatchdogSilent: {
    at: 20,
    raises: { [`stepup_watchdog_last_success_timestamp_seconds{${pod}}`]: '0+60x5 300x20' },
    not: { [`stepup_watchdog_last_success_timestamp_seconds{${pod}}`]: '0+60x30' },
  },
  StepUpPolicyNotReady: {
    at: 10,
    raises: { [`stepup_policies{${pod},ready="false"}`]: '1x20' },
    not: { [`stepup_policies{${pod},ready="true"}`]: '1x20' },
  },
  StepUpNoLeader: {
    at: 5,
    raises: { [`stepup_leader{${pod}}`]: '0x10', 'stepup_leader{namespace="stepup-system",pod="stepup-1"}': '0x10' },
    not: { [`stepup_leader{${pod}}`]: '0x10', 'stepup_leader{namespace="stepup-system",pod="stepup-1"}': '1x10' },
  },
  StepUpWatchStale: {
    at: 10,
    raises: { [`stepup_cache_age_seconds{${pod},resource="approvals"}`]: '0+60x20' },
    not: { [`stepup_cache_age_seconds{${pod},resource="approvals"}`]: '75x20' },
  },
  StepUpDecisionsFail: {
    at: 15,
    raises: { [`stepup_decisions_total{${pod},policy="deploys",reason="Failed"}`]: '0+1x20' },
    not: { [`stepup_decisions_total{${pod},policy="deploys",reason="ApprovalRequired"}`]: '0+1x20' },
  },
  StepUpReviewsUndecided: {
    at: 15,
    raises: { [`stepup_undecided_reviews_total{${pod},reason="Busy"}`]: '0+1x20' },
    not: { [`stepup_undecided_reviews_total{${pod},reason="Busy"}`]: '7x20' },
  },
  StepUpFilingsFail: {
    at: 5,
    raises: { [`stepup_filings_total{${pod},result="failed"}`]: '0 0 1x10' },
    not: { [`stepup_filings_total{${pod},result="created"}`]: '0 0 1x10' },
  },
  StepUpReservationConflicts: {
    at: 30,
    raises: {
      [`stepup_reservations_total{${pod},result="conflict"}`]: '0+6x40',
      [`stepup_reservations_total{${pod},result="reserved"}`]: '0+6x40',
    },
    not: {
      [`stepup_reservations_total{${pod},result="conflict"}`]: '0+6x40',
      [`stepup_reservations_total{${pod},result="reserved"}`]: '0+60x40',
    },
  },
  StepUpSettlementsUnconfirmed: {
    at: 120,
    raises: {
      [`stepup_settlements_total{${pod},result="Unconfirmed"}`]: '0+1x120',
      [`stepup_settlements_total{${pod},result="Observed"}`]: '0x120',
    },
    not: {
      [`stepup_settlements_total{${pod},result="Unconfirmed"}`]: '0+1x120',
      [`stepup_settlements_total{${pod},result="Observed"}`]: '0+2x120',
    },
  },
  StepUpEngineFails: {
    at: 25,
    raises: { [`stepup_engine_answers_total{${pod},engine="opa",result="Timeout"}`]: '0+1x30' },
    not: { [`stepup_engine_answers_total{${pod},engine="opa",result="Abstain"}`]: '0+1x30' },
  },
  StepUpMemoryNearLimit: {
    at: 15,
    raises: {
      [`process_resident_memory_bytes{${pod}}`]: '500x20',
      [`stepup_memory_limit_bytes{${pod}}`]: '512x20',
    },
    not: { [`process_resident_memory_bytes{${pod}}`]: '500x20', [`stepup_memory_limit_bytes{${pod}}`]: '0x20' },
  },
  StepUpTampered: {
    at: 5,
    raises: { [`stepup_tampering_total{${pod},kind="Secret"}`]: '0 0 1x10' },
    not: { [`stepup_tampering_total{${pod},kind="Secret"}`]: '1x12' },
  },
  StepUpUnsealed: {
    at: 5,
    raises: { [`stepup_unsealed_total{${pod}}`]: '0 0 1x10' },
    not: { [`stepup_unsealed_total{${pod}}`]: '1x12' },
  },
  StepUpBreakGlassUnreviewed: {
    at: 65,
    raises: { [`stepup_unreviewed_bypasses{${pod}}`]: '1x70' },
    not: { [`stepup_unreviewed_bypasses{${pod}}`]: '1x30 0x40' },
  },
  StepUpCertificateDistrusted: {
    at: 10,
    raises: { [`stepup_distrusting_configurations{${pod}}`]: '1x20' },
    not: { [`stepup_distrusting_configurations{${pod}}`]: '0x4 1x3 0x20' },
  },
  StepUpCertificateExpiresSoon: {
    at: 15,
    raises: { [`stepup_certificate_expiry_timestamp_seconds{${pod}}`]: `${6 * 86_400}x20` },
    not: { [`stepup_certificate_expiry_timestamp_seconds{${pod}}`]: `${8 * 86_400}x20` },
  },
  StepUpCertificateExpires: {
    at: 2,
    raises: { [`stepup_certificate_expiry_timestamp_seconds{${pod}}`]: '80000x5' },
    // It has none yet.
    not: { [`stepup_certificate_expiry_timestamp_seconds{${pod}}`]: '0x5' },
  },
};

describe('the alerts', () => {
  test('are rules that Prometheus takes', async () => {
    expect(await promtool(['check', 'rules', '--lint=all', '--lint-fatal', alertsFile])).toMatchObject({ code: 0 });
  });

  test('each is raised by its series, and not by the neighbour', async () => {
    expect(Object.keys(cases).sort()).toEqual(rules.map(({ alert }) => alert).sort());
    const tests = Object.entries(cases).flatMap(([alert, { at, raises, not }]) => [
      caseOf(`${alert} is raised`, alert, at, raises, true),
      caseOf(`${alert} is not raised`, alert, at, not, false),
    ]);
    const { code, output } = await unitTests('alerts', tests);
    expect(output).toContain('SUCCESS');
    expect(code).toBe(0);
    // The tool does see what is wrong: with the series of the one that is raised, "not raised" fails.
    const [[alert = '', { at, raises }] = ['', cases.StepUpNoLeader as Case]] = Object.entries(cases);
    const wrong = await unitTests('wrong', [caseOf('wrong', alert, at, raises, false)]);
    expect(wrong.code).not.toBe(0);
  });

  test('say how bad it is, what it is and what to do, and each has a page', () => {
    const pages = readdirSync(join(root, 'docs/runbooks')).map((file) => file.replace(/\.md$/, ''));
    expect(pages.sort()).toEqual(rules.map(({ alert }) => alert).sort());
    for (const { alert, labels, annotations } of rules) {
      expect(['critical', 'warning']).toContain(labels.severity);
      expect(Object.keys(annotations).sort()).toEqual(['description', 'runbook_url', 'summary']);
      expect(annotations.runbook_url).toMatch(new RegExp(`/docs/runbooks/${alert}\\.md$`));
      const page = textOf(`docs/runbooks/${alert}.md`);
      expect(page).toMatch(new RegExp(`^# ${alert}\n`));
      for (const heading of ['## What it means', '## How to see it', '## What to do']) expect(page).toContain(heading);
    }
  });

  test('are all in docs/metrics.md, with their severity', () => {
    const listed = [...textOf('docs/metrics.md').matchAll(/^\| \[(\w+)\]\(runbooks\/\1\.md\) \| (\w+) \|/gm)];
    const inPage = listed.map(([, alert, severity]) => `${alert} ${severity}`);
    expect(inPage.sort()).toEqual(rules.map(({ alert, labels }) => `${alert} ${labels.severity}`).sort());
  });
});

describe('the dashboard', () => {
  const expressions = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expr })),
  );

  test('holds expressions that Prometheus takes and can evaluate', async () => {
    expect(expressions.length).toBeGreaterThan(10);
    const rules = expressions.map(({ expr }, index) => ({ record: `panel:${index}`, expr: plain(expr) }));
    writeFileSync(join(dir, 'dashboard.yaml'), JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    expect(await promtool(['check', 'rules', 'dashboard.yaml'])).toMatchObject({ code: 0 });
    const names = metricsPage().map(({ metric, type }) => (type === 'histogram' ? `${metric}_bucket` : metric));
    const input_series = [...names, 'process_resident_memory_bytes'].map((name) => ({
      series: `${name}{${pod},le="+Inf",outcome="Denied",dry_run="false",ready="false"}`,
      values: '0+1x30',
    }));
    const promql_expr_test = expressions.map(({ expr }) => ({ expr: `count(${plain(expr)}) >= 0`, eval_time: '20m' }));
    const evaluated = await unitTests(
      'evaluated',
      [{ interval: '1m', input_series, promql_expr_test }],
      'dashboard.yaml',
    );
    // Values are not told beforehand, so the tool complains of each that there is one, and of none that there is an error.
    expect(evaluated.output).not.toMatch(/\berr: /);
    expect([...evaluated.output.matchAll(/\bgot: *\{\}/g)]).toHaveLength(expressions.length);
  });

  test('has panels with ids of their own that do not overlap', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });
});

describe('what alerts and dashboard read', () => {
  /** Of the API server. */
  const foreign = ['apiserver_admission_webhook_rejection_count', 'process_resident_memory_bytes'];
  const known = new Set([
    ...foreign,
    ...metricsPage().flatMap(({ metric, type }) =>
      type === 'histogram' ? [`${metric}_bucket`, `${metric}_sum`, `${metric}_count`] : [metric],
    ),
  ]);
  const all = [
    ...rules.map(({ alert, expr }) => ({ of: alert, expr })),
    ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ of: title, expr }))),
  ];

  test('is in docs/metrics.md, label values too', () => {
    const unknown = all.flatMap(({ of, expr }) =>
      [...expr.matchAll(/\b((?:stepup|apiserver|process|nodejs|kube)_[a-z0-9_]+)(?:\{([^}]*)\})?/g)].flatMap(
        ([, metric = '', selector = '']) => {
          if (!known.has(metric)) return [`${of}: ${metric}`];
          const row = metricsPage().find((one) => one.metric === metric);
          return [...selector.matchAll(/(\w+)(=~|=)"([^"]*)"/g)].flatMap(([, label = '', operator, value = '']) => {
            const values = row?.labels.get(label);
            const wanted = operator === '=~' ? value.split('|') : [value];
            if (row === undefined || label === 'namespace') return [];
            if (values === undefined) return [`${of}: ${metric} has no label ${label}`];
            return values.size === 0 ? [] : wanted.filter((one) => !values.has(one)).map((one) => `${of}: ${one}`);
          });
        },
      ),
    );
    expect(unknown).toEqual([]);
  });
});

describe('the chart', () => {
  const on = { enabled: true, namespace: 'monitoring', labels: { release: 'prometheus' }, annotations: { a: 'b' } };
  const all = { serviceMonitor: on, prometheusRule: on, dashboard: on };

  test('renders none of it unless it is asked for', async () => {
    const kinds = (await render()).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(kinds.filter((kind) => /Monitor|PrometheusRule|metrics|dashboard/.test(kind))).toEqual([]);
  });

  test('renders all of it, where it is to be found', async () => {
    const objects = await render({ metrics: { ...all, assumeCRDs: true } });
    const rule = the(objects, 'PrometheusRule', 'stepup');
    expect(rule.metadata).toMatchObject({
      namespace: 'monitoring',
      labels: { release: 'prometheus', 'app.kubernetes.io/name': 'stepup' },
      annotations: { a: 'b' },
    });
    expect(rule.spec).toEqual({ groups });
    const config = the(objects, 'ConfigMap', 'stepup-dashboard');
    expect(config.metadata.labels).toMatchObject({ grafana_dashboard: '1', release: 'prometheus' });
    expect(JSON.parse(config.data?.['stepup.json'] ?? '')).toEqual(dashboard);
    const monitor = the(objects, 'ServiceMonitor', 'stepup');
    const service = the(objects, 'Service', 'stepup-metrics');
    expect(monitor).toMatchObject({
      metadata: { namespace: 'monitoring' },
      spec: { namespaceSelector: { matchNames: ['stepup-system'] }, endpoints: [{ port: 'http', interval: '30s' }] },
    });
    expect(service.metadata.namespace).toBe('stepup-system');
    const { matchLabels } = (monitor.spec as { selector: { matchLabels: Record<string, string> } }).selector;
    expect(service.metadata.labels).toMatchObject(matchLabels);
    const other = the(objects, 'Service', 'stepup').metadata.labels ?? {};
    expect(Object.entries(matchLabels).every(([key, value]) => other[key] === value)).toBe(false);
  });

  test.each([
    ['serviceMonitor', 'ServiceMonitor'],
    ['prometheusRule', 'PrometheusRule'],
  ])('says what is missing where %s is on and nobody serves it', async (value, kind) => {
    const { code, stderr } = await template({ metrics: { [value]: { enabled: true } } });
    expect(code).not.toBe(0);
    expect(stderr).toContain(`metrics.${value}.enabled is true, but the API server does not serve`);
    expect(stderr).toContain('install the Prometheus operator first, or set metrics.assumeCRDs=true');
    const served = ['--api-versions', `monitoring.coreos.com/v1/${kind}`];
    expect(await template({ metrics: { [value]: { enabled: true } } }, 'stepup', served)).toMatchObject({ code: 0 });
  });
});

function caseOf(name: string, alert: string, minutes: number, series: Series, isRaised: boolean): object {
  const rule = rules.find((one) => one.alert === alert);
  if (rule === undefined) throw new Error(`there is no alert ${alert}`);
  const input_series = Object.entries(series).map(([key, values]) => ({ series: key, values }));
  // The number of alerts that fire, since labels and texts are looked at elsewhere.
  const firing = `count(ALERTS{alertname="${alert}",alertstate="firing"})`;
  const exp_samples = isRaised ? [{ labels: '{}', value: 1 }] : [];
  return {
    name,
    interval: '1m',
    input_series,
    promql_expr_test: [{ expr: firing, eval_time: `${minutes}m`, exp_samples }],
  };
}

async function unitTests(name: string, tests: readonly object[], ruleFile = alertsFile) {
  writeFileSync(
    join(dir, `${name}.yaml`),
    JSON.stringify({ rule_files: [ruleFile], evaluation_interval: '1m', tests }),
  );
  return promtool(['test', 'rules', `${name}.yaml`]);
}

/** Without what Grafana puts in. */
function plain(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll('$namespace', 'stepup-system');
}
