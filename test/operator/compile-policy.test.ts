// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// From policies to webhook configurations: whole ones, and each thing that can be wrong with a policy.
import { describe, expect, test } from 'vitest';
import type { Policy, PolicySpec } from '../../src/domain/policy.ts';
import { kubernetesControllers } from '../../src/domain/subject.ts';
import { compilePolicy } from '../../src/operator/compile-policy.ts';
import { readDiscovery } from '../../src/operator/discovery.ts';
import { samplePolicies } from './sample-policies.ts';

const ownUsername = 'system:serviceaccount:stepup-system:stepup';

function group(name: string, kinds: Readonly<Record<string, readonly string[]>>, scope = 'Namespaced', version = 'v1') {
  const resources = Object.entries(kinds).map(([resource, subresources]) => ({
    resource,
    scope,
    responseKind: { kind: resource },
    subresources: subresources.map((subresource) => ({ subresource })),
  }));
  return { metadata: { name }, versions: [{ version, resources }] };
}

const scalable = ['scale', 'status'];
const discovery = readDiscovery(
  [
    group('', {
      pods: ['binding', 'ephemeralcontainers', 'eviction', 'resize', 'status'],
      secrets: [],
      configmaps: [],
    }),
    group('', { namespaces: ['status', 'finalize'], nodes: ['status'] }, 'Cluster'),
    group('apps', { deployments: scalable, statefulsets: scalable, daemonsets: ['status'], replicasets: scalable }),
    group('batch', { jobs: ['status'], cronjobs: ['status'] }),
    group('metrics.k8s.io', { things: [] }, 'Namespaced', 'v1beta1'),
  ],
  [
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: 'v1beta1.metrics.k8s.io', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
      spec: { group: 'metrics.k8s.io', version: 'v1beta1', service: { namespace: 'kube-system', name: 'metrics' } },
    },
  ],
);

function policyOf(name: string, spec: PolicySpec): Policy {
  return { metadata: { name, uid: `uid-of-${name}`, generation: 1 }, spec };
}

function compile(name: string, spec: PolicySpec) {
  return compilePolicy(policyOf(name, spec), {
    ownUsername,
    service: { name: 'stepup', namespace: 'stepup-system', port: 443 },
    caBundle: 'Q0E=',
    discovery,
    policyExists: (other) => other in samplePolicies,
  });
}

describe('a whole configuration', () => {
  test.each(Object.entries(samplePolicies))('for %s', async (name, spec) => {
    const { configuration, problems } = compile(name, spec);
    expect(problems).toEqual([]);
    const text = JSON.stringify(configuration, undefined, 2).replaceAll(
      JSON.stringify(kubernetesControllers.map((one) => `'${one}'`).join(', ')).slice(1, -1),
      'EACH CONTROLLER',
    );
    await expect(`${text}\n`).toMatchFileSnapshot(`fixtures/${name}.json`);
  });
});

const approval = { require: [{ name: 'approvers', approvers: { groups: ['approvers'] } }] };
const deletion = { operations: ['DELETE'], apiGroups: [''], resources: ['secrets'] } as const;
const selected = { namespaceSelector: { matchLabels: { environment: 'production' } } };

describe('problems', () => {
  test.each<{ given: string; spec: PolicySpec; want: readonly string[]; works: boolean }>([
    { given: 'nothing wrong', spec: { actions: [deletion], approval }, want: [], works: true },
    {
      given: 'what is not built yet',
      spec: { actions: [deletion], approval, bypass: { enabled: true } },
      want: ['NotBuiltYet: spec.bypass is not built yet; remove it from the policy'],
      works: false,
    },
    {
      given: 'nobody who approves',
      spec: { actions: [deletion], approval: {} },
      want: ['NoRequirement: nobody can approve; name at least one requirement in spec.approval.require'],
      works: false,
    },
    {
      given: 'one kind that is not served',
      spec: { actions: [{ ...deletion, resources: ['secrets', 'sekrets', 'secrets/scale'] }], approval },
      want: [
        'KindNotServed: sekrets is not served in core; correct its name or group, or install its API',
        'KindNotServed: secrets/scale is not served in core; correct its name or group, or install its API',
      ],
      works: true,
    },
    {
      given: 'no kind that is served',
      spec: { ...selected, actions: [{ ...deletion, apiGroups: ['x.test'] }], approval },
      want: ['KindNotServed: secrets is not served in x.test; correct its name or group, or install its API'],
      works: false,
    },
    {
      given: 'an aggregated API',
      spec: { actions: [{ ...deletion, apiGroups: ['metrics.k8s.io'], resources: ['things'] }], approval },
      want: ['Aggregated: things is served by kube-system/metrics, whose own admission may not ask; test that it does'],
      works: true,
    },
    {
      given: 'a cluster-scoped kind under a namespaceSelector',
      spec: { ...selected, actions: [{ ...deletion, resources: ['secrets', 'nodes'] }], approval },
      want: [
        'NeverMatched: nodes is cluster-scoped and no namespaceSelector selects it; move it to a policy without one',
      ],
      works: true,
    },
    {
      given: 'subjects that are never gated',
      spec: {
        actions: [deletion],
        approval,
        subjects: {
          include: [
            { kind: 'ServiceAccount', namespace: 'kube-system', name: 'job-controller' },
            { kind: 'User', name: ownUsername },
          ],
        },
      },
      want: [
        'NeverGated: spec.subjects.include names system:serviceaccount:kube-system:job-controller, which is never gated; remove it',
        `NeverGated: spec.subjects.include names ${ownUsername}, which is never gated; remove it`,
      ],
      works: true,
    },
    {
      given: 'namespaceShapes that name nothing',
      spec: { ...selected, actions: [deletion], approval, namespaceShapes: 'nobody' },
      want: [
        'NamespaceShapesMissing: namespaceShapes names policy nobody, which does not exist; until it does, this policy asks itself',
      ],
      works: true,
    },
  ])('$given', ({ spec, want, works }) => {
    const { configuration, problems } = compile('sample', spec);
    expect(problems.map(({ reason, message }) => `${reason}: ${message}`)).toEqual(want);
    expect(configuration !== undefined).toBe(works);
  });
});

describe('entries', () => {
  const entriesOf = (spec: PolicySpec) =>
    (compile('p', spec).configuration?.webhooks ?? []).map(
      ({ name, rules }) =>
        `${name.split('.')[0]}: ${rules.map((rule) => `${rule.operations} ${rule.resources} ${rule.scope}`).join('; ')}`,
    );

  test('an UPDATE of any field asks about finalizers and owners by itself', () => {
    const action = { operations: ['UPDATE', 'DELETE'], apiGroups: ['apps'], resources: ['deployments'] } as const;
    expect(entriesOf({ actions: [action], approval })).toEqual([
      'action: UPDATE,DELETE deployments *',
      'door: UPDATE deployments/scale *',
      'deletion-by-update: UPDATE deployments/status *',
    ]);
  });

  test("the policy's own CEL is not asked of objects that it does not speak of", () => {
    const { configuration } = compile('p', {
      ...selected,
      actions: [{ operations: ['CREATE', 'DELETE'], apiGroups: [''], resources: ['pods'] }],
      conditions: [{ name: 'mine', expression: 'true' }],
      approval,
    });
    const withOwn = (configuration?.webhooks ?? []).map(
      ({ name, matchConditions }) =>
        `${name.split('.')[0]} ${matchConditions.some((one) => one.name === 'policy-mine')}`,
    );
    expect(withOwn).toEqual([
      'action true',
      'deletion-by-update true',
      'door false',
      'namespace-deletion false',
      'namespace-leaves false',
    ]);
  });

  test('a selector without terms cannot be left', () => {
    expect(entriesOf({ namespaceSelector: {}, actions: [deletion], approval })).toEqual([
      'action: DELETE secrets Namespaced',
      'deletion-by-update: UPDATE secrets Namespaced',
      'namespace-deletion: DELETE namespaces Cluster',
    ]);
  });

  test('a group that serves two of the versions is asked about in the preferred one', () => {
    const two = readDiscovery(
      [
        {
          metadata: { name: 'x.test' },
          versions: [
            { version: 'v2', resources: [{ resource: 'things', scope: 'Namespaced' }] },
            { version: 'v1', resources: [{ resource: 'things' }, { resource: 'olds' }] },
          ],
        },
      ],
      [],
    );
    expect([two.find('x.test', 'things')?.version, two.find('x.test', 'olds')?.version]).toEqual(['v2', 'v1']);
  });
});
