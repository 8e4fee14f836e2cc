// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The chart's values: good ones render what they say, bad ones are refused by name.
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { staleCrds } from '../../../scripts/sync-crds.ts';
import { kindsDigest } from '../../../src/api/generated/definitions.ts';
import { kindsAnnotation } from '../../../src/operator/integrity/definition-reconciler.ts';
import { fixtureValues, lint, render, template, the } from '../../support/chart/chart.ts';
import { schemaValues } from '../../support/chart/schema.ts';

const engine = (url: string) => ({ name: 'opa', url, format: 'opa' });

const everything = {
  replicas: 3,
  image: {
    repository: 'example.test/team/stepup',
    tag: 'v1',
    digest: `sha256:${'0'.repeat(64)}`,
    pullPolicy: 'Always',
  },
  imagePullSecrets: [{ name: 'pull' }],
  commonLabels: { team: 'platform', 'app.kubernetes.io/created-by': 'platform' },
  service: { port: 8444 },
  webhook: { port: 9443 },
  statusPort: 9080,
  log: { level: 'debug' },
  metrics: {
    serviceMonitor: { enabled: true, namespace: 'monitoring', interval: '1m', labels: { a: 'b' } },
    prometheusRule: { enabled: true, annotations: { 'example.test/a': 'b' } },
    dashboard: { enabled: true },
    assumeCRDs: true,
  },
  test: { waitSeconds: 10 },
  retentionSeconds: 86400,
  trustedMutators: ['kyverno', 'gatekeeper'],
  settle: {
    resources: [
      { group: 'apps', resources: ['deployments'] },
      { group: '', resources: ['pods'] },
    ],
  },
  packs: { 'secret-deletion': { enabled: false } },
  certificates: { authoritySeconds: 8640000, leafSeconds: 864000, spreadSeconds: 60 },
  certManager: { enabled: true, issuerRef: { name: 'corporate', kind: 'ClusterIssuer', group: 'cert-manager.io' } },
  guard: { enabled: false, exempt: [{ namespace: 'argocd', name: 'argocd-application-controller' }] },
  serviceAccount: { annotations: { 'example.test/a': 'b' } },
  resources: { requests: { cpu: '1' }, limits: { memory: '1Gi' } },
  podDisruptionBudget: { minAvailable: '50%' },
  topologySpreadConstraints: [
    { topologyKey: 'rack', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { a: 'b' } } },
  ],
  affinity: { nodeAffinity: {} },
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  tolerations: [{ operator: 'Exists' }],
  priorityClassName: 'system-cluster-critical',
  podAnnotations: { 'example.test/c': 'd' },
  podLabels: { tier: 'control' },
  extraArgs: ['--cache-delay-ms=1000'],
  extraEnv: [{ name: 'A', value: 'b' }],
};

/** Where null means something else than the default: nothing, by a user's wish; or is not the chart's to know. */
const different = ['resources', 'packs', 'global', 'enabled'];

describe('values', () => {
  test.each([
    ['the defaults', {}],
    ['many values set', everything],
    ['every value set', fixtureValues('all-on')],
    ['everything off', fixtureValues('all-off')],
    ['what a chart gives that brings stepup along', { global: { imageRegistry: 'x' }, enabled: true }],
  ])('%s pass lint', async (_, values) => {
    expect(await lint(values)).toMatchObject({ code: 0 });
  });

  test.each([
    ['an unknown key', { replicaCount: 3 }, 'replicaCount'],
    ['a text for a number', { replicas: 'two' }, 'replicas'],
    ['too many replicas', { replicas: 100 }, 'replicas'],
    ['an unknown key of image', { image: { name: 'x' } }, 'name'],
    ['no repository', { image: { repository: '' } }, 'image/repository'],
    ['a digest that is none', { image: { digest: 'latest' } }, 'image/digest'],
    ['a port out of range', { service: { port: 70000 } }, 'service/port'],
    ['an unknown log level', { log: { level: 'trace' } }, 'log/level'],
    ['a duration for seconds', { retentionSeconds: '30d' }, 'retentionSeconds'],
    [
      'a wildcard to read',
      { settle: { resources: [{ group: 'apps', resources: ['*'] }] } },
      'settle/resources/0/resources/0',
    ],
    ['a text for a switch', { packs: { 'secret-deletion': { enabled: 'no' } } }, 'packs/secret-deletion/enabled'],
    ['an unknown key of crds', { crds: { install: true } }, 'install'],
    ['an argument without dashes', { extraArgs: ['debug'] }, 'extraArgs/0'],
    ['a number for a label', { commonLabels: { year: 2026 } }, 'commonLabels/year'],
    ['an engine without an address', { engines: [{ name: 'opa', format: 'opa' }] }, 'url'],
    ['an engine by plain http', { engines: [engine('http://opa.opa.svc/x')] }, 'engines/0/url'],
    ['an engine of a loopback-like name', { engines: [engine('http://127.0.0.1.x.test/')] }, 'engines/0/url'],
    ['an engine with credentials', { engines: [engine('https://a:b@opa/')] }, 'engines/0/url'],
    ['an unknown key of an engine', { engines: [{ ...engine('https://opa/'), redirects: 1 }] }, 'redirects'],
    ['a username for an account', { guard: { exempt: ['system:serviceaccount:a:b'] } }, 'guard/exempt/0'],
    ['an account with a pattern', { guard: { exempt: [{ namespace: 'ci', name: '*' }] } }, 'guard/exempt/0/name'],
    ['a switch taken away', { uninstallHook: null }, 'uninstallHook'],
    ['the guard taken away', { guard: null }, 'guard'],
    ['the kinds no longer kept, by null', { crds: { keep: null } }, 'keep'],
    ['the security context taken away', { podSecurityContext: null }, 'podSecurityContext'],
    ['an unknown peer', { networkPolicy: { webhookFrom: [{ cidr: '10.0.0.0/8' }] } }, 'networkPolicy/webhookFrom/0'],
    ['less time than it takes to end', { terminationGracePeriodSeconds: 5 }, 'terminationGracePeriodSeconds'],
    ['a DNS policy that needs more', { dnsPolicy: 'None' }, 'dnsPolicy'],
    ['lives in days', { certificates: { leafDays: 30 } }, 'leafDays'],
    ['an issuer as text', { certManager: { issuerRef: 'corporate' } }, 'certManager/issuerRef'],
    ['an unknown key of metrics', { metrics: { podMonitor: {} } }, 'podMonitor'],
    [
      'an interval without a unit',
      { metrics: { serviceMonitor: { interval: '30' } } },
      'metrics/serviceMonitor/interval',
    ],
  ])('%s: refused by name', async (_, values, name) => {
    const { code, stdout, stderr } = await lint(values);
    expect(code).not.toBe(0);
    expect(`${stdout}${stderr}`).toContain(name);
  });

  test.each(['https://opa.opa.svc:8181/v1/data/x', 'http://127.0.0.1:8181/x', 'http://localhost/', 'http://[::1]:1/'])(
    'an engine at %s reaches stepup as it is written',
    async (url) => {
      const given = { ...engine(url), caBundle: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' };
      const { data = {} } = the(await render({ engines: [given] }), 'ConfigMap', 'stepup-engines');
      const { name: _, ...wanted } = given;
      expect(load(data['opa.yaml'] ?? '')).toEqual(wanted);
    },
  );

  test('that may be null are as by default then', async () => {
    const optional = schemaValues().filter(
      ({ path: [first = ''], mayBeNull }) => mayBeNull && !different.includes(first),
    );
    expect(optional.length).toBeGreaterThan(20);
    expect(await render(nulls(optional.map(({ path }) => path)))).toEqual(await render());
  });

  test('reach the process', async () => {
    const { spec } = the(await render(everything), 'Deployment', 'stepup');
    expect(spec).toMatchObject({
      replicas: 3,
      template: {
        metadata: { labels: { tier: 'control', team: 'platform' }, annotations: { 'example.test/c': 'd' } },
        spec: {
          priorityClassName: 'system-cluster-critical',
          containers: [{ image: `example.test/team/stepup:v1@sha256:${'0'.repeat(64)}` }],
        },
      },
    });
    expect(argsOf(spec)).toEqual([
      'serve',
      '--namespace=$(POD_NAMESPACE)',
      '--pod-name=$(POD_NAME)',
      '--bind-address=$(POD_IP)',
      '--webhook-port=9443',
      '--status-port=9080',
      '--service-account-dir=/var/run/secrets/kubernetes.io/serviceaccount',
      '--service-name=stepup',
      '--service-port=8444',
      '--tls-secret=stepup-tls',
      '--certificate-issuer=external',
      '--certificate-authority-seconds=8640000',
      '--certificate-leaf-seconds=864000',
      '--certificate-spread-seconds=60',
      '--keys-secret=stepup-keys',
      '--lease=stepup',
      '--packs-configmap=stepup-packs',
      '--engines-configmap=stepup-engines',
      '--retention-seconds=86400',
      '--settle-resources=deployments.apps,pods',
      '--trusted-mutators=kyverno,gatekeeper',
      '--guard=off',
      '--guard-exempt=system:serviceaccount:stepup-system:stepup-uninstall,system:serviceaccount:cert-manager:cert-manager,system:serviceaccount:argocd:argocd-application-controller',
      '--log-level=debug',
      '--cache-delay-ms=1000',
    ]);
  });

  test.each([
    [
      'a leaf that ends before it is spread',
      { certificates: { leafSeconds: 600 } },
      'certificates.leafSeconds is 600; it must be at least six times certificates.spreadSeconds (120)',
    ],
    [
      'an authority that ends before its leaf',
      { certificates: { authoritySeconds: 86400 } },
      'certificates.authoritySeconds is 86400; it must not be less than certificates.leafSeconds (7776000)',
    ],
    [
      'what cert-manager does not issue',
      { certificates: { leafSeconds: 1200 }, certManager: { enabled: true } },
      'cert-manager issues no certificate for less than an hour',
    ],
    [
      'an authority of cert-manager that its leaf outlives',
      { certificates: { authoritySeconds: 7776000 }, certManager: { enabled: true } },
      'it must be at least three times certificates.leafSeconds (7776000)',
    ],
  ])('cannot name %s', async (_, values, message) => {
    const { code, stderr } = await template(values);
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
  });

  test.each([
    ['an issuer of the cluster', { name: 'corporate', kind: 'ClusterIssuer' }, ['Certificate stepup-tls']],
    [
      'an authority of its own',
      {},
      ['Certificate stepup-authority', 'Certificate stepup-tls', 'Issuer stepup-authority', 'Issuer stepup-selfsigned'],
    ],
  ])('have cert-manager issue the certificate by %s', async (_, issuerRef, wanted) => {
    const objects = await render({ certManager: { enabled: true, issuerRef } });
    const made = objects.filter(({ apiVersion }) => apiVersion === 'cert-manager.io/v1');
    expect(made.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort()).toEqual(wanted);
    expect(the(objects, 'Certificate', 'stepup-tls').spec).toMatchObject({
      secretName: 'stepup-tls',
      dnsNames: ['stepup.stepup-system.svc', 'stepup.stepup-system.svc.cluster.local', 'stepup.stepup-system'],
      issuerRef: 'name' in issuerRef ? issuerRef : { name: 'stepup-authority', kind: 'Issuer' },
    });
    expect((await render()).filter(({ apiVersion }) => apiVersion === 'cert-manager.io/v1')).toEqual([]);
  });

  test('keep large numbers whole', async () => {
    const { spec } = the(await render(), 'Deployment', 'stepup');
    expect(argsOf(spec)).toContain('--retention-seconds=2592000');
  });

  test('name the objects after the release, and the roles for people always the same', async () => {
    const objects = await render({}, 'gate');
    const names = new Set(objects.map(({ metadata }) => metadata.name));
    expect([...names].filter((name) => !name.includes('.stepup.dev')).sort()).toEqual([
      'gate-stepup',
      'gate-stepup-engines',
      'gate-stepup-packs',
      'gate-stepup-test',
      'gate-stepup-uninstall',
      'stepup-admin',
      'stepup-approver',
      'stepup-break-glass',
      'stepup-gated-admin',
      'stepup-gated-admin-cluster',
      'stepup-owner',
      'stepup-requester',
      'stepup-viewer',
    ]);
  });

  test.each([
    [1, 0],
    [2, 1],
  ])('%i replicas get %i disruption budgets', async (replicas, budgets) => {
    const objects = await render({ replicas });
    expect(objects.filter(({ kind }) => kind === 'PodDisruptionBudget')).toHaveLength(budgets);
  });

  test.each([
    ['1.31.9', 1],
    ['1.32.0', 0],
    ['1.37.2-gke.100', 0],
  ])('on Kubernetes %s render with exit code %i', async (version, code) => {
    expect(await template({}, 'stepup', [`--kube-version=${version}`])).toMatchObject({ code });
  });
});

describe('the kinds', () => {
  test('in the chart are those of crds/', () => {
    expect(staleCrds()).toEqual([]);
  });

  test.each([
    ['are named by the digest that stepup puts back', {}, kindsDigest],
    ["are nobody's to put back where the chart does not bring them", { crds: { enabled: false } }, undefined],
  ])('%s', async (_, values, digest) => {
    const { annotations } = the(await render(values), 'ConfigMap', 'stepup-packs').metadata;
    expect(annotations?.[kindsAnnotation]).toBe(digest);
  });

  test.each([
    ['are kept on uninstall', {}, ['keep', 'keep', 'keep']],
    ['go with the release when asked', { crds: { keep: false } }, [undefined, undefined, undefined]],
    ['can be left out', { crds: { enabled: false } }, []],
  ])('%s', async (_, values, policies) => {
    const crds = (await render(values)).filter(({ kind }) => kind === 'CustomResourceDefinition');
    expect(crds.map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'])).toEqual(policies);
  });
});

function argsOf(spec: unknown): unknown {
  const { template } = spec as { template: { spec: { containers: { args: string[] }[] } } };
  return template.spec.containers[0]?.args;
}

/** Values with null at each of these paths. */
function nulls(paths: readonly (readonly string[])[]): object {
  const values: Record<string, unknown> = {};
  for (const path of paths) {
    let inside = values;
    for (const key of path.slice(0, -1)) {
      inside[key] ??= {};
      inside = inside[key] as Record<string, unknown>;
    }
    inside[path.at(-1) ?? ''] = null;
  }
  return values;
}
