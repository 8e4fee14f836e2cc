// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What values make of the pods and of who may reach them: in every pod of the release, the hooks' too.
import { beforeAll, describe, expect, test } from 'vitest';
import { fixtureValues, type Rendered, render, the } from '../../support/chart/chart.ts';

interface PodTemplate {
  readonly metadata: { readonly labels: object; readonly annotations?: object };
  readonly spec: {
    readonly securityContext: object;
    readonly containers: readonly {
      readonly name: string;
      readonly securityContext?: object;
      readonly image: string;
    }[];
  } & Readonly<Record<string, unknown>>;
}

describe('with every value set', () => {
  let objects: readonly Rendered[];
  let pods: readonly PodTemplate[];

  beforeAll(async () => {
    objects = await render(fixtureValues('all-on'), '1234');
    pods = objects.flatMap(podsOf);
  });

  test('common labels are on every object of the chart, as text', () => {
    const extra = ['1234-more', '1234-text'];
    const bare = objects.filter(({ metadata }) => metadata.labels?.['cost-center'] !== '1e3');
    expect(bare.map(({ metadata }) => metadata.name)).toEqual(extra);
  });

  test('names and labels that look like numbers or booleans are texts', () => {
    const values = objects.flatMap(({ metadata: { name, namespace = '', labels = {}, annotations = {} } }) => [
      name,
      namespace,
      ...Object.values(labels),
      ...Object.values(annotations),
    ]);
    expect(values.filter((value) => typeof value !== 'string')).toEqual([]);
  });

  test('every pod of the release has what its nodes, registries and meshes want', () => {
    expect(pods).toHaveLength(3);
    for (const { metadata, spec } of pods) {
      expect(metadata).toMatchObject({
        labels: { 'app.kubernetes.io/instance': '1234', 'cost-center': '1e3', tier: '0', team: 'other' },
        annotations: { 'example.test/inject': 'false' },
      });
      expect(spec).toMatchObject({
        imagePullSecrets: [{ name: '1234' }],
        nodeSelector: { 'example.test/gate': 'true' },
        tolerations: [{ key: 'dedicated', value: 'true', effect: 'NoSchedule' }],
        priorityClassName: 'system-cluster-critical',
        // null takes the user away, which OpenShift chooses by itself.
        securityContext: { runAsNonRoot: true, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      });
      expect(Object.keys(spec.securityContext)).not.toContain('runAsUser');
      const [first] = spec.containers;
      expect(first?.image).toBe(`ghcr.io/stepup-dev/stepup:1234@sha256:${'0'.repeat(64)}`);
      expect(first?.securityContext).toMatchObject({ readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
    }
  });

  test('the Deployment has the rest', () => {
    const deployment = the(objects, 'Deployment', 'true');
    expect(deployment.metadata.annotations).toEqual({ 'example.test/reload': 'true' });
    expect(deployment.spec).toMatchObject({
      revisionHistoryLimit: 10,
      template: {
        metadata: { annotations: { 'kubectl.kubernetes.io/default-container': 'engine' } },
        spec: {
          serviceAccountName: '123',
          hostNetwork: true,
          dnsPolicy: 'Default',
          terminationGracePeriodSeconds: 60,
          volumes: [{ name: 'authorities' }],
          containers: [{ name: 'stepup', volumeMounts: [{ name: 'authorities' }] }, { name: 'engine' }],
        },
      },
    });
  });

  test('rights go to the account that is named, and to the hook its own', () => {
    const subjects = objects
      .filter(({ kind, metadata }) => kind.endsWith('RoleBinding') && metadata.name.startsWith('true'))
      .map((binding) => [
        binding.metadata.name,
        (binding as { subjects?: readonly { name: string }[] }).subjects?.[0]?.name,
      ]);
    expect(subjects).toEqual([
      ['true', '123'],
      ['true', '123'],
      ['true-test', 'true-test'],
      ['true-uninstall', 'true-uninstall'],
      ['true-test', 'true-test'],
      ['true-uninstall', 'true-uninstall'],
    ]);
  });

  test('templates in extra objects are filled in', () => {
    expect(the(objects, 'ConfigMap', '1234-more').data).toEqual({
      image: `ghcr.io/stepup-dev/stepup:1234@sha256:${'0'.repeat(64)}`,
    });
    expect(the(objects, 'ConfigMap', '1234-text').metadata.namespace).toBe('stepup-system');
  });
});

describe('names', () => {
  test.each([
    ['a release of 53 characters', {}, `r${'-a'.repeat(26)}`],
    ['a name of 63 characters', { fullnameOverride: 'n'.repeat(63), nameOverride: 'm'.repeat(63) }, 'stepup'],
    ['a name that is cut at dashes', { fullnameOverride: `${'n'.repeat(38)}--${'n'.repeat(22)}` }, 'stepup'],
  ])('of %s fit, and Service and pods agree', async (_, values, release) => {
    const objects = await render(values, release);
    const names = objects
      .filter(({ kind }) => kind !== 'CustomResourceDefinition')
      .map(({ metadata }) => metadata.name);
    expect(names.filter((name) => !/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))).toEqual([]);
    const labels = objects.flatMap(({ metadata }) => Object.values(metadata.labels ?? {}));
    expect(labels.filter((label) => label.length > 63)).toEqual([]);
    const selector = objects.find(({ kind }) => kind === 'Service')?.spec?.selector;
    const [pod] = objects.filter(({ kind }) => kind === 'Deployment').flatMap(podsOf);
    expect(pod?.metadata.labels).toMatchObject(selector as object);
  });
});

describe('a rollout', () => {
  test.each([
    ['has a new pod before it takes one away', {}, { maxUnavailable: 0, maxSurge: 1 }],
    ['takes one away first where nodes lend their ports', { hostNetwork: true }, { maxUnavailable: 1, maxSurge: 0 }],
    ['never takes the only one away', { hostNetwork: true, replicas: 1 }, { maxUnavailable: 0, maxSurge: 1 }],
  ])('%s', async (_, values, rollingUpdate) => {
    const { spec } = the(await render(values), 'Deployment', 'stepup');
    expect(spec?.strategy).toEqual({ type: 'RollingUpdate', rollingUpdate });
  });

  test.each([
    [{}, 'ClusterFirst'],
    [{ hostNetwork: true }, 'ClusterFirstWithHostNet'],
    [{ hostNetwork: true, dnsPolicy: 'Default' }, 'Default'],
  ])('with %o names are found by %s', async (values, dnsPolicy) => {
    const { spec } = the(await render(values), 'Deployment', 'stepup');
    expect(spec).toMatchObject({ template: { spec: { dnsPolicy } } });
  });
});

describe('the network policy', () => {
  const dns = {
    ports: [
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ],
  };

  test('is not made unless asked for', async () => {
    expect((await render()).filter(({ kind }) => kind === 'NetworkPolicy')).toEqual([]);
  });

  test('lets anybody call the webhook, nobody see the metrics, and all pods of the release reach the API server', async () => {
    const { spec } = the(await render({ networkPolicy: { enabled: true } }), 'NetworkPolicy', 'stepup');
    expect(spec).toEqual({
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'stepup', 'app.kubernetes.io/instance': 'stepup' } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ ports: [{ port: 8443, protocol: 'TCP' }] }],
      egress: [
        {
          ports: [
            { port: 443, protocol: 'TCP' },
            { port: 6443, protocol: 'TCP' },
          ],
        },
        dns,
      ],
    });
  });

  test('names whom it is told', async () => {
    const { spec } = the(await render(fixtureValues('all-on')), 'NetworkPolicy', 'true');
    expect(spec).toMatchObject({
      ingress: [
        { ports: [{ port: 10260 }], from: [{ ipBlock: { cidr: '10.0.0.0/28' } }, { ipBlock: { cidr: 'fd00::/64' } }] },
        { ports: [{ port: 10261 }], from: [{ podSelector: { matchLabels: { app: 'prometheus' } } }] },
      ],
      egress: [
        { ports: [{ port: 6443 }], to: [{ ipBlock: { cidr: '10.0.0.0/28' } }] },
        dns,
        { ports: [{ port: 8181 }], to: [{ namespaceSelector: {} }] },
      ],
    });
  });
});

function podsOf(object: Rendered): readonly PodTemplate[] {
  const { kind, spec } = object;
  if (kind === 'Pod') return [object as unknown as PodTemplate];
  return kind === 'Deployment' || kind === 'Job' ? [spec?.template as PodTemplate] : [];
}
