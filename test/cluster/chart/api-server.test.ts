// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The chart, the kinds and the examples before a real API server, with none of our webhooks there.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chart, fixtureValues, packsOf, render, root, systemNamespace } from '../../support/chart/chart.ts';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { foreignCrds } from '../../support/control-plane/foreign-crds.ts';
import { eventually } from '../../support/eventually.ts';
import { handWritten } from '../../support/installation/hand-written.ts';
import type { CommandResult } from '../../support/run-command.ts';

let cluster: ControlPlane;

beforeAll(async () => {
  cluster = await startControlPlane({ controllerManager: false });
  // Helm's own objects are checked against the restricted standard here: a warning in any answer fails a test.
  await apply(namespace(systemNamespace, { 'pod-security.kubernetes.io/warn': 'restricted' }));
  await apply(namespace('prod', { environment: 'production' }));
  // Where the fixture has what Prometheus and Grafana find.
  await apply(namespace('123'));
  // What the chart makes for others is of their kinds.
  const others = (await foreignCrds()).flatMap((file) => ['-f', file]);
  expect(await cluster.kubectl(['create', ...others])).toMatchObject({ code: 0 });
  const { code, stderr } = await cluster.helm(['install', 'stepup', chart, `--namespace=${systemNamespace}`]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  await eventually('the kinds to be served', async () => (await list('StepUpPolicy')).code === 0);
});

afterAll(async () => {
  await cluster.stop();
});

describe('the chart', () => {
  test.each([
    ['as it comes', {}, 'stepup'],
    ['with everything off', fixtureValues('all-off'), 'stepup'],
    // Other nodes lend their network to nobody who keeps to the restricted standard, and the API server says so.
    ['with everything on', { ...fixtureValues('all-on'), hostNetwork: false }, '1234'],
    ['with names as long as they may be', { nameOverride: 'm'.repeat(63) }, `r${'-a'.repeat(26)}`],
  ])('%s: every object is accepted, without a warning', async (_, values, release) => {
    const objects = await render(values, release);
    const { code, stderr, stdout } = await accept(objects);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toHaveLength(objects.length);
  });

  test('on the host network is accepted, with the warning that the namespace asked for', async () => {
    const { code, stderr } = await accept(await render(fixtureValues('all-on'), '1234'));
    const said = stderr.trim().split('\n');
    expect({ code, said }).toEqual({
      code: 0,
      said: [expect.stringContaining('host namespaces (hostNetwork=true)')],
    });
  });

  test('of a kind that is not there is refused', async () => {
    const stranger = { apiVersion: 'stranger.test/v1', kind: 'Stranger', metadata: { name: 'a', namespace: 'prod' } };
    const { code, stderr } = await accept([stranger]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no matches for kind "Stranger"'),
    });
  });

  test('upgrades in place, and leaves the kinds when uninstalled', async () => {
    const upgrade = await cluster.helm([
      'upgrade',
      'stepup',
      chart,
      `--namespace=${systemNamespace}`,
      '--set=replicas=1',
    ]);
    expect(upgrade).toMatchObject({ code: 0, stderr: '' });
    expect(await list('StepUpPolicy')).toMatchObject({ code: 0 });
  });

  test.each([
    ['a second release', []],
    ['a second release that leaves kinds and roles to the first', ['--set=userRoles.enabled=false,crds.enabled=false']],
  ])('%s is refused by Helm, and changes nothing', async (_, values) => {
    const before = await cluster.kubectl(['get', 'clusterroles', '--output=name']);
    const given = ['--namespace=other-system', '--create-namespace', ...values];
    const { code, stderr } = await cluster.helm(['install', 'other', chart, ...given]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /exists and cannot be imported.*"meta.helm.sh\/release-name" must equal "other": current value is "stepup"/,
      ),
    });
    expect(await cluster.kubectl(['get', 'clusterroles', '--output=name'])).toEqual(before);
  });

  test.each([
    [
      'as it comes',
      [],
      [
        'kubectl get stepuppolicies --watch',
        'kubectl create clusterrolebinding stepup-approvers --clusterrole=stepup-approver --group=approvers',
      ],
    ],
    [
      'with other approvers',
      [
        '--set=packs.namespace-deletion.spec.approval.require[0].name=a,packs.namespace-deletion.spec.approval.require[0].approvers.groups={night shift}',
      ],
      [
        'kubectl get stepuppolicies --watch',
        'kubectl create clusterrolebinding stepup-approvers --clusterrole=stepup-approver --group=approvers --group="night shift"',
      ],
    ],
    [
      'without ready-made policies',
      [
        '--set=packs.production-deploys=null,packs.secret-deletion.enabled=false,packs.namespace-deletion.enabled=false',
      ],
      [
        'kubectl get stepuppolicies --watch',
        'kubectl create clusterrolebinding stepup-approvers --clusterrole=stepup-approver --group=<group>',
      ],
    ],
    ['without roles', ['--set=userRoles.enabled=false'], ['kubectl get stepuppolicies --watch']],
  ])('says %s which two commands come next', async (_, values, commands) => {
    const given = [`--namespace=${systemNamespace}`, '--dry-run=client', ...values];
    const { stdout } = await cluster.helm(['upgrade', 'stepup', chart, ...given]);
    const notes = stdout.slice(stdout.indexOf('\nNOTES:\n'));
    expect([...notes.matchAll(/^ {5}(\S.*)$/gm)].map(([, command]) => command)).toEqual(commands);
  });

  test('gives the account of stepup its Secret by name, also to list and watch, and no other', async () => {
    await cluster.kubectl(['create', 'secret', 'generic', 'stepup-tls', `--namespace=${systemNamespace}`]);
    await cluster.kubectl(['create', 'secret', 'generic', 'foreign', `--namespace=${systemNamespace}`]);
    const kubeconfig = await cluster.serviceAccountKubeconfig(`${systemNamespace}/stepup`);
    const get = (...args: readonly string[]) =>
      cluster.kubectl(['get', 'secrets', `--namespace=${systemNamespace}`, '--output=name', ...args], { kubeconfig });
    expect(await get('--field-selector=metadata.name=stepup-tls')).toMatchObject({
      code: 0,
      stdout: 'secret/stepup-tls\n',
    });
    expect(await get('stepup-tls')).toMatchObject({ code: 0 });
    expect(await get('foreign')).toMatchObject({ code: 1 });
    expect(await get()).toMatchObject({ code: 1 });
  });
});

describe('ready-made policies and examples', () => {
  test('ready-made policies are accepted as they are', async () => {
    for (const policy of Object.values(packsOf(await render()))) await accepted(JSON.stringify(policy));
  });

  test('the examples in Chart.yaml are accepted', async () => {
    const { annotations } = load(readFileSync(join(chart, 'Chart.yaml'), 'utf8')) as KubeObject['metadata'];
    const examples = load(annotations?.['artifacthub.io/crdsExamples'] ?? '') as readonly object[];
    const { code, stderr } = await cluster.kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], {
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: examples }),
    });
    expect({ code, stderr, examples: examples.length }).toEqual({ code: 0, stderr: '', examples: 3 });
  });

  test.each(yamlFiles('examples'))('examples/%s is accepted', async (file) => {
    await accepted(readFileSync(join(root, 'examples', file), 'utf8'));
  });

  test.each(yamlFiles('examples'))('examples/%s is named in their README', (file) => {
    expect(readFileSync(join(root, 'examples/README.md'), 'utf8')).toContain(`(${file})`);
  });

  test.each([
    ['a Secret', 'Opaque', 'called'],
    ['a release record of Helm', 'helm.sh/release.v1', 'not called'],
  ])('the condition of secret-deletion on the deletion of %s: the webhook is %s', async (_, type, outcome) => {
    const spec = packsOf(await render())['secret-deletion.yaml']?.spec;
    const configuration = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'nobody-answers' },
      webhooks: [
        {
          name: 'nobody.answers.test',
          clientConfig: { url: 'https://127.0.0.1:1/' },
          rules: [{ operations: ['DELETE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] }],
          matchConditions: spec?.conditions,
          namespaceSelector: spec?.namespaceSelector,
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
        },
      ],
    };
    const secrets = '/api/v1/namespaces/prod/secrets';
    const name = type.toLowerCase().replaceAll('/', '-');
    await cluster.admin.post(secrets, { metadata: { name, finalizers: ['example.test/hold'] }, type });
    await apply(configuration);
    try {
      const isCalled = ({ body }: { body: unknown }) => JSON.stringify(body).includes('failed calling webhook');
      const probe = () => cluster.admin.send('DELETE', `${secrets}/opaque?dryRun=All`);
      if (type !== 'Opaque') await cluster.admin.send('POST', secrets, { body: { metadata: { name: 'opaque' } } });
      await eventually('the webhook to be in force', async () => isCalled(await probe()));
      const path = `${secrets}/${name}`;
      const patch = { body: { metadata: { finalizers: null } }, contentType: 'application/merge-patch+json' };
      const answers = [await cluster.admin.send('DELETE', path), await cluster.admin.send('PATCH', path, patch)];
      expect(answers.map(isCalled)).toEqual(outcome === 'called' ? [true, true] : [false, false]);
    } finally {
      await cluster.admin.delete(
        '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/nobody-answers',
      );
    }
  });
});

describe('the kinds', () => {
  test('are structural and established', async () => {
    const { items } = await cluster.admin.list<Crd>('/apis/apiextensions.k8s.io/v1/customresourcedefinitions');
    const conditions = items.flatMap(({ metadata, status }) =>
      status.conditions.map(({ type, status: value }) => `${metadata.name} ${type} ${value}`),
    );
    expect(conditions.filter((line) => !/ (Established|NamesAccepted) True$/.test(line))).toEqual([]);
    expect(items.filter(({ metadata }) => metadata.name.endsWith('.stepup.dev'))).toHaveLength(3);
  });

  test.each([
    ['an unknown field', { surprise: true }, 'surprise'],
    ['an unknown mode', { mode: 'Warn' }, 'spec.mode'],
    ['no requirement', { approval: {} }, 'set at least one requirement in require, or auto'],
    ['an empty list of approvers', { approval: { require: [{ name: 'a', approvers: {} }] } }, 'set at least one user'],
    [
      'approvers and an engine',
      { approval: { require: [{ name: 'a', engine: 'e', approvers: { users: ['u'] } }] } },
      'set either approvers or engine, and not both',
    ],
    [
      'a wildcard resource',
      { actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['*'] }] },
      'spec.actions[0].resources[0]',
    ],
    [
      'a namespace of a user',
      { subjects: { include: [{ kind: 'User', name: 'u', namespace: 'n' }] } },
      'namespace can be set for kind ServiceAccount only',
    ],
    ['a retry beyond 30 s', { request: { retryAfterSeconds: 31 } }, 'spec.request.retryAfterSeconds'],
  ])('a policy with %s is refused', async (_, change, said) => {
    const policy = policyNamed('bad');
    const answer = await tryApply({ ...policy, spec: { ...policy.spec, ...change } });
    expect(answer.code).not.toBe(0);
    expect(answer.stderr).toContain(said);
  });

  test('a policy has its defaults, and a name of at most 50 characters', async () => {
    expect(await tryApply(policyNamed('a'.repeat(51)))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('at most 50 characters'),
    });
    await apply(policyNamed('a'.repeat(50)));
    const { spec } = await cluster.admin.get(`/apis/stepup.dev/v1alpha1/stepuppolicies/${'a'.repeat(50)}`);
    expect(spec).toMatchObject({
      mode: 'Enforce',
      failurePolicy: 'Fail',
      grant: { ttlSeconds: 900, binding: 'Content', bindIdentity: 'ServiceAccount' },
      request: { pendingTTLSeconds: 3600, whenPending: 'Deny', retryAfterSeconds: 15, maxPendingPerRequester: 100 },
    });
  });

  test('the spec of an approval is immutable', async () => {
    const { metadata } = await approvalNamed('fixed');
    const path = `${approvals}/${metadata.name}`;
    for (const spec of [{ reason: 'other' }, { policy: { name: 'other' } }, { change: { digest: null } }]) {
      const merged = { body: { spec }, contentType: 'application/merge-patch+json' };
      expect(saying(await cluster.admin.send('PATCH', path, merged))).toContain('spec is immutable');
    }
    const label = { body: { metadata: { labels: { a: 'b' } } }, contentType: 'application/merge-patch+json' };
    expect((await cluster.admin.send('PATCH', path, label)).code).toBe(200);
  });

  const first = useAt('2026-01-01T00:00:00Z');
  const second = useAt('2026-01-01T00:00:01Z');
  const releaseOf = (use: number) => ({ use, releasedAt: '2026-01-01T00:00:02Z', why: 'lost its compare-and-swap' });

  test.each<AppendOnlyCase>([
    { field: 'uses', before: [first], after: [first, second], said: '' },
    { field: 'uses', before: [first, second], after: [first], said: 'status.uses is append-only' },
    { field: 'uses', before: [first], after: [second], said: 'status.uses is append-only' },
    { field: 'uses', before: [first], after: [second, first], said: 'status.uses is append-only' },
    { field: 'uses', before: [first], after: undefined, said: 'status.uses is append-only' },
    { field: 'releases', before: [releaseOf(0)], after: [releaseOf(0), releaseOf(1)], said: '' },
    { field: 'releases', before: [releaseOf(0)], after: [releaseOf(1)], said: 'status.releases is append-only' },
    { field: 'releases', before: [releaseOf(0)], after: undefined, said: 'status.releases is append-only' },
  ])('$field are append-only (%#)', async ({ field, before, after, said }) => {
    const { metadata } = await approvalNamed('uses');
    expect(await putStatus(metadata.name, { [field]: before })).toBe('');
    expect(await putStatus(metadata.name, after === undefined ? {} : { [field]: after })).toMatch(said || /^$/);
    expect(await putStatus(metadata.name, null)).toContain(`status.${field} is append-only`);
  });

  const ends = ['Consumed', 'Denied', 'TimedOut', 'Expired', 'Withdrawn', 'Revoked', 'Superseded'];
  test.each(ends)('an approval that ended %s stays so, also after status: null', async (phase) => {
    const { metadata } = await approvalNamed('ended');
    expect(await putStatus(metadata.name, { phase })).toBe('');
    for (const status of [{ phase: 'Pending' }, { phase: 'Approved' }, {}, null]) {
      expect(await putStatus(metadata.name, status)).toContain('an ended approval stays ended');
    }
    expect(await putStatus(metadata.name, { phase, votes: '1/1' })).toBe('');
  });

  test.each([
    ['Pending', 'Approved'],
    ['Approved', 'Reserved'],
    ['Reserved', 'Approved'],
    ['Reserved', 'Consumed'],
  ])('an approval may go from %s to %s', async (from, to) => {
    const { metadata } = await approvalNamed('life');
    expect(await putStatus(metadata.name, { phase: from })).toBe('');
    expect(await putStatus(metadata.name, { phase: to })).toBe('');
  });

  test('a decision is immutable, and a bypass needs a reason and approves', async () => {
    const spec = { approval: { name: 'some', uid: 'some-uid' }, verdict: 'Approve' };
    const decision = {
      apiVersion: 'stepup.dev/v1alpha1',
      kind: 'StepUpDecision',
      metadata: { name: 'word', namespace: 'prod' },
    };
    await apply({ ...decision, spec });
    expect(await tryApply({ ...decision, spec: { ...spec, verdict: 'Deny' } })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('a StepUpDecision is immutable'),
    });
    const bypass = { ...decision, metadata: { name: 'bypass', namespace: 'prod' }, spec: { ...spec, bypass: true } };
    expect(await tryApply(bypass)).toMatchObject({
      stderr: expect.stringContaining('reason must be set if bypass is true'),
    });
    const withdrawal = { ...bypass, spec: { ...bypass.spec, verdict: 'Withdraw', reason: 'now' } };
    expect(await tryApply(withdrawal)).toMatchObject({
      stderr: expect.stringContaining('bypass can be true for the verdict Approve only'),
    });
  });

  test.each([
    ['Superseded', 'ci/deployer', 'UPDATE deployments/scale checkout-api'],
    ['Consumed', 'argocd/argocd-application-controller', 'UPDATE deployments web'],
  ])('kubectl get sua shows what matters within 120 characters (%#)', async (phase, requester, action) => {
    const name = `production-deploys-3f9c2a7b${requester.length}`;
    await approvalNamed(name, { generate: false });
    await putStatus(name, { phase, votes: '1/2', summary: { requester, action } });
    const { stdout } = await cluster.kubectl(['get', 'sua', name, '--namespace=prod']);
    const [header = '', line = ''] = stdout.split('\n');
    expect(columnsOf(header)).toEqual(['NAME', 'PHASE', 'VOTES', 'REQUESTER', 'ACTION', 'AGE']);
    expect(columnsOf(line)).toEqual([name, phase, '1/2', requester, action, expect.stringMatching(/^\d+s$/)]);
    expect(Math.max(header.length, line.length)).toBeLessThanOrEqual(120);
  });

  test('short names and the category stepup work', async () => {
    await apply(policyNamed('listed'));
    for (const name of ['sup', 'sua', 'sud', 'stepup']) {
      const { code, stderr } = await cluster.kubectl(['get', name, '--all-namespaces']);
      expect({ name, code, stderr: stderr.replace(/^No resources found\n/, '') }).toEqual({
        name,
        code: 0,
        stderr: '',
      });
    }
    const { stdout } = await cluster.kubectl(['get', 'stepup', '--all-namespaces', '--output=name']);
    expect(stdout).toContain('stepuppolicy.stepup.dev/listed');
  });

  test('field selectors find approvals by phase, policy and requester, and those without a phase yet', async () => {
    const { metadata: open } = await approvalNamed('open', {
      policy: 'selected',
      requester: 'system:serviceaccount:ci:selected',
    });
    const { metadata: ended } = await approvalNamed('over', { policy: 'selected' });
    await putStatus(ended.name, { phase: 'Consumed' });
    const found = async (selector: string) => {
      const { items } = await cluster.admin.list(`${approvals}?fieldSelector=${encodeURIComponent(selector)}`);
      return items.map(({ metadata }) => metadata.name).sort();
    };
    expect(await found('spec.policy.name=selected')).toEqual([open.name, ended.name].sort());
    expect(await found('spec.policy.name=selected,status.phase=Consumed')).toEqual([ended.name]);
    expect(await found('spec.policy.name=selected,status.phase!=Consumed,status.phase!=Denied')).toEqual([open.name]);
    expect(await found('spec.requester.username=system:serviceaccount:ci:selected')).toEqual([open.name]);
    const decisions = '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupdecisions';
    const about = await cluster.admin.list(
      `${decisions}?fieldSelector=${encodeURIComponent('spec.approval.name=some,spec.verdict=Approve')}`,
    );
    expect(about.items.map(({ metadata }) => metadata.name)).toEqual(['word']);
  });
});

interface AppendOnlyCase {
  readonly field: 'uses' | 'releases';
  readonly before: readonly object[];
  readonly after: readonly object[] | undefined;
  readonly said: string;
}

interface Crd {
  readonly metadata: { readonly name: string };
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

const approvals = '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals';

function namespace(name: string, labels: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function policyNamed(name: string) {
  return {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpPolicy',
    metadata: { name },
    spec: {
      actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['configmaps'] }],
      approval: { require: [{ name: 'approvers', approvers: { groups: ['approvers'] } }] },
    },
  };
}

interface ApprovalOptions {
  readonly generate?: boolean;
  readonly policy?: string;
  readonly requester?: string;
}

/** Creates an approval, under a new name each time unless told otherwise. */
function approvalNamed(name: string, options: ApprovalOptions = {}): Promise<KubeObject> {
  const { generate = true, policy = 'production-deploys', requester = 'system:serviceaccount:ci:deployer' } = options;
  const approval = handWritten(
    generate ? { generateName: `${name}-` } : { name },
    { operation: 'CREATE', group: 'apps', resource: 'deployments', name: 'web' },
    {
      policy: { name: policy },
      requester: { username: requester },
      change: { digest: `sha256:${'0'.repeat(64)}` },
    },
  );
  return cluster.admin.post(approvals, approval);
}

function useAt(reservedAt: string) {
  return {
    attemptKey: `key-${reservedAt}`,
    digest: `sha256:${'0'.repeat(64)}`,
    base: { kind: 'Deletion', uid: 'u' },
    reservedAt,
  };
}

/** What the API server says against this status of an approval; empty when it takes it. */
async function putStatus(name: string, status: object | null): Promise<string> {
  const current = await cluster.admin.get(`${approvals}/${name}`);
  const answer = await cluster.admin.send('PUT', `${approvals}/${name}/status`, { body: { ...current, status } });
  return answer.code === 200 ? '' : saying(answer);
}

function saying({ body }: { readonly body: unknown }): string {
  return typeof body === 'object' && body !== null && 'message' in body ? String(body.message) : '';
}

function columnsOf(line: string): readonly string[] {
  return line.trim().split(/ {2,}/);
}

function list(kind: string): Promise<CommandResult> {
  return cluster.kubectl(['get', kind, '--all-namespaces']);
}

async function apply(object: object): Promise<void> {
  expect(await tryApply(object)).toMatchObject({ code: 0 });
}

function tryApply(object: object): Promise<CommandResult> {
  return cluster.kubectl(['apply', '-f', '-'], { stdin: JSON.stringify(object) });
}

/** Asks the API server about each object, as Helm 4 and GitOps controllers would bring it. */
async function accept(objects: readonly object[]): Promise<CommandResult> {
  for (const { kind, spec } of objects as readonly { kind: string; spec?: { serviceAccountName?: string } }[]) {
    // No Pod is accepted without its account, which a dry run does not make.
    const body = { metadata: { name: spec?.serviceAccountName } };
    const accounts = `/api/v1/namespaces/${systemNamespace}/serviceaccounts`;
    if (kind === 'Pod') await cluster.admin.send('POST', accounts, { body });
  }
  return cluster.kubectl(
    ['apply', '--dry-run=server', '--validate=strict', '--server-side', '--force-conflicts', '-f', '-'],
    { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) },
  );
}

async function accepted(text: string): Promise<void> {
  const { code, stderr } = await cluster.kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], {
    stdin: text,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
}

function yamlFiles(folder: string): readonly string[] {
  return readdirSync(join(root, folder)).filter((file) => file.endsWith('.yaml'));
}
