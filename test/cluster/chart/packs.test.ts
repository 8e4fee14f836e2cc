// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The ready-made policies: what they say, and how values are laid over them.
import { readdirSync, readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { chart, type Policy, packsOf, render, root } from '../../support/chart/chart.ts';

const restart = '/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt';
const approvers = { groups: ['approvers'] };
const all = 'CREATE,UPDATE,DELETE';
const more = [
  ...['production-exec', 'rbac-escalation', 'token-release', 'credential-rotation', 'key-revocation', 'new-egress'],
];

describe('ready-made policies', () => {
  test('are three, each under its own name', async () => {
    const packs = packsOf(await render());
    expect(Object.entries(packs).map(([file, { kind, metadata }]) => [file, kind, metadata.name])).toEqual([
      ['namespace-deletion.yaml', 'StepUpPolicy', 'namespace-deletion'],
      ['production-deploys.yaml', 'StepUpPolicy', 'production-deploys'],
      ['secret-deletion.yaml', 'StepUpPolicy', 'secret-deletion'],
    ]);
  });

  test('more are there, each off until its value says so', async () => {
    const all = readdirSync(`${chart}/packs`).map((file) => file.replace('.yaml', ''));
    const defaults = load(readFileSync(`${chart}/values.yaml`, 'utf8')) as { packs: Record<string, unknown> };
    expect(Object.keys(defaults.packs).sort()).toEqual(all.sort());
    const on = Object.fromEntries(more.map((name) => [name, { enabled: true }]));
    expect(Object.keys(await packs(on))).toEqual(all.map((name) => `${name}.yaml`));
  });

  test.each(more)('%s blocks once it is on, binds to the content and asks people', async (name) => {
    const { spec } = pack(await packs({ [name]: { enabled: true } }), name);
    expect(spec).toMatchObject({
      mode: 'Enforce',
      approval: { require: [{ name: 'approvers', count: 1, approvers }] },
      grant: { binding: 'Content', ttlSeconds: expect.any(Number) },
      request: { whenPending: 'Deny' },
    });
    expect(spec).not.toHaveProperty('subjects');
    const observing = await packs({ [name]: { enabled: true, spec: { mode: 'Observe' } } });
    expect(pack(observing, name).spec).toEqual({ ...spec, mode: 'Observe' });
  });

  test.each(more)('%s has a page that names its value and its test', (name) => {
    const page = readFileSync(`${root}docs/packs/${name}.md`, 'utf8');
    expect(page).toContain(`--set packs.${name}.enabled=true`);
    expect(page).toContain('test/cluster/packs/');
    expect(readFileSync(`${root}docs/packs/README.md`, 'utf8')).toContain(`](${name}.md)`);
  });

  test.each([
    ['production-deploys', 'Content', 1, 'namespace-deletion'],
    ['secret-deletion', 'Target', 1, 'namespace-deletion'],
    ['namespace-deletion', 'Target', 2, undefined],
  ])('%s binds to %s with %i votes', async (name, binding, count, namespaceShapes) => {
    const { spec } = pack(await packs(), name);
    expect(spec).toMatchObject({
      mode: 'Enforce',
      namespaceSelector: { matchLabels: { environment: 'production' } },
      approval: { require: [{ name: 'approvers', count, approvers }] },
      grant: { binding, ttlSeconds: 900 },
      request: { pendingTTLSeconds: 3600, whenPending: 'Deny' },
    });
    expect(spec.namespaceShapes).toBe(namespaceShapes);
    expect(spec).not.toHaveProperty('subjects');
  });

  test('production-deploys governs whatever starts code', async () => {
    const rows = actionsOf(pack(await packs(), 'production-deploys'));
    expect(rows).toEqual([
      [all, 'apps', 'deployments', ['/spec/template', '/spec/replicas', '/spec/revisionHistoryLimit'], [restart]],
      [all, 'apps', 'statefulsets', ['/spec/template', '/spec/replicas', '/spec/ordinals'], [restart]],
      [
        all,
        'apps',
        'replicasets,replicasets/status',
        ['/spec/template', '/spec/replicas', '/metadata/labels'],
        [restart],
      ],
      [all, 'apps', 'daemonsets', ['/spec/template'], [restart]],
      [all, '', 'replicationcontrollers', ['/spec/template', '/spec/replicas', '/spec/selector'], [restart]],
      [
        all,
        'batch',
        'jobs',
        [
          ...['/spec/template', '/spec/parallelism', '/spec/completions', '/spec/suspend'],
          ...['/spec/backoffLimit', '/spec/activeDeadlineSeconds', '/spec/ttlSecondsAfterFinished'],
        ],
        [restart],
      ],
      [
        all,
        'batch',
        'cronjobs',
        [
          ...[
            '/spec/jobTemplate',
            '/spec/suspend',
            '/spec/schedule',
            '/spec/timeZone',
            '/spec/startingDeadlineSeconds',
          ],
          ...['/spec/concurrencyPolicy', '/spec/successfulJobsHistoryLimit', '/spec/failedJobsHistoryLimit'],
        ],
        [`/spec/jobTemplate${restart}`],
      ],
      [
        all,
        '',
        'pods,pods/status',
        [
          ...['/spec/containers', '/spec/initContainers', '/spec/activeDeadlineSeconds'],
          ...['/metadata/labels', '/status/phase'],
        ],
        undefined,
      ],
      [
        'CREATE,UPDATE',
        'autoscaling',
        'horizontalpodautoscalers',
        ['/spec/scaleTargetRef', '/spec/minReplicas', '/spec/maxReplicas'],
        undefined,
      ],
    ]);
  });

  test.each([
    [
      'one value',
      { request: { whenPending: 'Retry' } },
      ['request', { pendingTTLSeconds: 3600, whenPending: 'Retry' }],
    ],
    ['zero and false', { risk: { irreversible: false } }, ['risk', { irreversible: false }]],
    [
      'a list, whole',
      { approval: { require: [{ name: 'a', approvers }] } },
      ['approval', { require: [{ name: 'a', approvers }] }],
    ],
    ['a new field', { failurePolicy: 'Ignore' }, ['failurePolicy', 'Ignore']],
  ] as const)('values lay %s over the ready-made spec', async (_, over, [field, wanted]) => {
    const { spec } = pack(await packs({ 'secret-deletion': { spec: over } }), 'secret-deletion');
    expect(spec[field]).toEqual(typeof wanted === 'string' ? wanted : expect.objectContaining(wanted));
    expect(spec.actions).toEqual([{ operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] }]);
  });

  test('null takes a field away', async () => {
    const over = { namespaceShapes: null, namespaceSelector: { matchLabels: { environment: null, tier: 'gold' } } };
    const { spec } = pack(await packs({ 'secret-deletion': { spec: over } }), 'secret-deletion');
    expect(spec).not.toHaveProperty('namespaceShapes');
    expect(spec.namespaceSelector).toEqual({ matchLabels: { tier: 'gold' } });
  });

  test('can each be switched off, and all', async () => {
    expect(Object.keys(await packs({ 'secret-deletion': { enabled: false } }))).toEqual([
      'namespace-deletion.yaml',
      'production-deploys.yaml',
    ]);
    const off = { enabled: false };
    const none = { 'production-deploys': off, 'secret-deletion': off, 'namespace-deletion': off };
    expect(await packs(none)).toEqual({});
  });
});

async function packs(values: object = {}): Promise<Readonly<Record<string, Policy>>> {
  return packsOf(await render({ packs: values }));
}

function pack(all: Readonly<Record<string, Policy>>, name: string): Policy {
  const policy = all[`${name}.yaml`];
  if (policy === undefined) throw new Error(`find pack ${name}: it is not rendered`);
  return policy;
}

function actionsOf({ spec }: Policy): readonly unknown[] {
  const { actions } = spec as { actions: Record<string, string[] | undefined>[] };
  return actions.map((action) => {
    return [
      action.operations?.join(),
      action.apiGroups?.join(),
      action.resources?.join(),
      action.fields,
      action.digestIgnore,
    ];
  });
}
