// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// From policies to webhook configurations: whole ones, and each thing that can be wrong with a policy.
import { describe, expect, test } from 'vitest';
import type { Policy, PolicySpec } from '../../../../src/domain/model/policy.ts';
import { kubernetesControllers } from '../../../../src/domain/model/subject.ts';
import { readDiscovery } from '../../../../src/kube/objects/discovery.ts';
import { isGateEntry } from '../../../../src/operator/admission/webhook-configuration.ts';
import { compilePolicy } from '../../../../src/operator/gates/compile-policy.ts';
import { samplePolicies } from '../../../support/builders/sample-policies.ts';

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

function compile(name: string, spec: PolicySpec, entriesElsewhere = 0) {
  return compilePolicy(policyOf(name, spec), {
    ownUsername,
    service: { name: 'stepup', namespace: 'stepup-system', port: 443 },
    caBundle: 'Q0E=',
    kindUid: 'uid-of-kind',
    discovery,
    policyExists: (other) => other in samplePolicies,
    engineExists: (engine) => engine === 'opa',
    entriesOn: () => entriesElsewhere,
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
      given: 'nobody who approves',
      spec: { actions: [deletion], approval: {} },
      want: ['NoRequirement: spec.approval.require is empty, so nobody can approve; add at least one requirement'],
      works: false,
    },
    {
      given: 'an engine that is configured',
      spec: { actions: [deletion], approval: { require: [{ name: 'rules', engine: 'opa', count: 1 }] } },
      want: [],
      works: true,
    },
    {
      given: 'an engine that is not',
      spec: { actions: [deletion], approval: { require: [{ name: 'rules', engine: 'oqa' }] } },
      want: [
        'EngineNotConfigured: spec.approval.require names engine oqa, which is not configured; add it to the chart value engines, or correct the name',
      ],
      works: false,
    },
    {
      given: 'two words of one engine',
      spec: { actions: [deletion], approval: { require: [{ name: 'rules', engine: 'opa', count: 2 }] } },
      want: [
        'ImpossibleRequirement: spec.approval.require requires 2 approvals by engine opa, which has one vote; name it once, without a count',
      ],
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
      want: [
        'Aggregated: things is served by kube-system/metrics, which may not call admission webhooks; test that it does',
      ],
      works: true,
    },
    {
      given: 'a cluster-scoped kind under a namespaceSelector',
      spec: { ...selected, actions: [{ ...deletion, resources: ['secrets', 'nodes'] }], approval },
      want: [
        'NeverMatched: nodes is cluster-scoped, so no namespaceSelector selects it; move it to a policy without one',
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
            { kind: 'User', name: 'system:kube-scheduler' },
            { kind: 'User', name: ownUsername },
          ],
        },
      },
      want: [
        'NeverGated: spec.subjects.include names system:serviceaccount:kube-system:job-controller, which is never gated; remove it',
        'NeverGated: spec.subjects.include names system:kube-scheduler, which is never gated; remove it',
        `NeverGated: spec.subjects.include names ${ownUsername}, which is never gated; remove it`,
      ],
      works: true,
    },
    {
      given: 'namespaceShapes that name nothing',
      spec: { ...selected, actions: [deletion], approval, namespaceShapes: 'nobody' },
      want: [
        'NamespaceShapesMissing: spec.namespaceShapes names policy nobody, which does not exist; until it does, this policy governs such requests itself',
      ],
      works: true,
    },
    {
      given: 'fewer voters than votes',
      spec: {
        actions: [deletion],
        approval: {
          require: [
            { name: 'two', count: 2, approvers: { users: ['ada', 'ada'] } },
            { name: 'bots', approvers: { users: ['system:serviceaccount:ci:a'] } },
            { name: 'fine', approvers: { serviceAccounts: [{ namespace: 'ci', name: 'a' }] } },
          ],
        },
      },
      want: [
        'ImpossibleRequirement: requirement two can never be met: that takes 2 votes, and only 1 of the named approvers can vote (each has one vote, and subjects of the policy have none); name more users, or a group',
        'ImpossibleRequirement: requirement bots can never be met: that takes 1 vote, and none of the named approvers can vote (subjects of the policy cannot); name more users, or a group',
      ],
      works: false,
    },
    {
      given: 'one voter for two requirements',
      spec: {
        actions: [deletion],
        approval: {
          require: [
            { name: 'one', approvers: { users: ['ada'] } },
            { name: 'other', approvers: { users: ['ada'] } },
          ],
        },
      },
      want: [
        'ImpossibleRequirement: requirements one and other can never be met: that takes 2 votes, and only 1 of the named approvers can vote (each has one vote, and subjects of the policy have none); name more users, or a group',
      ],
      works: false,
    },
    {
      given: 'a selector that contradicts itself',
      spec: {
        namespaceSelector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'a', operator: 'DoesNotExist' }] },
        actions: [deletion],
        approval,
      },
      want: [
        'NeverMatched: spec.namespaceSelector requires label a=b and also excludes it, so no namespace matches; remove one of the two',
      ],
      works: false,
    },
    {
      given: 'subjects that are all excluded',
      spec: {
        actions: [deletion],
        approval,
        subjects: { include: [{ kind: 'User', name: 'a' }], exclude: [{ kind: 'User', name: 'a' }] },
      },
      want: [
        'NeverGated: spec.subjects.exclude has every subject of include, so the policy gates nobody; remove some from exclude',
      ],
      works: false,
    },
    {
      given: 'CEL without guards, and a condition label of the new object',
      spec: {
        actions: [{ ...deletion, operations: ['CREATE', 'UPDATE'] }],
        approval,
        conditions: [
          { name: 'kept', expression: "has(object.type) && object.type == 'x' && object.metadata.name != 'y'" },
          { name: 'old', expression: "oldObject.type == 'x'" },
          { name: 'tier', expression: "object.metadata.labels['tier'] == 'a'" },
          { name: 'who', expression: "'a' in request.userInfo.extra['b']" },
        ],
      },
      want: [
        'UnguardedCEL: condition old reads oldObject, which a CREATE does not have; begin it with oldObject == null ||; until you fix it, such requests of gated accounts are denied with an error',
        'UnguardedCEL: condition old reads oldObject.type, which may be absent; guard it with has(oldObject.type); until you fix it, such requests of gated accounts are denied with an error',
        'UnguardedCEL: condition tier reads object.metadata.labels.tier, which may be absent; guard it with has(object.metadata.labels) && has(object.metadata.labels.tier); until you fix it, such requests of gated accounts are denied with an error',
        "UnguardedCEL: condition who reads request.userInfo.extra.b, which may be absent; guard it with has(request.userInfo.extra) && 'b' in request.userInfo.extra; until you fix it, such requests of gated accounts are denied with an error",
        'ConditionLabelOnNewObject: condition tier reads labels or annotations of object only, so a request that removes them is not governed; read those of (oldObject == null ? object : oldObject)',
      ],
      works: true,
    },
    {
      given: 'CEL that the parser does not know',
      spec: {
        actions: [deletion],
        approval,
        conditions: [{ name: 'dotted', expression: "oldObject == null || .oldObject.kind == 'x'" }],
      },
      want: [
        'UnguardedCEL: condition dotted is CEL that stepup cannot parse: what it reads without a guard is not reported, and each change of a label or annotation needs approval; write it in another way',
      ],
      works: true,
    },
    {
      given: 'a glass that nobody may review',
      spec: {
        actions: [deletion],
        bypass: { enabled: true },
        approval: { auto: { ratePerHour: 1 } },
      },
      want: [
        'NobodyReviews: spec.bypass is enabled and spec.approval.require names no people, so nobody can review a break-glass approval; name approvers, or disable bypass',
      ],
      works: true,
    },
    {
      given: 'a glass that somebody may review',
      spec: { actions: [deletion], bypass: { enabled: true }, approval },
      want: [],
      works: true,
    },
  ])('$given', ({ spec, want, works }) => {
    const { configuration, problems } = compile('sample', spec);
    expect(problems.map(({ reason, message }) => `${reason}: ${message}`)).toEqual(want);
    expect(configuration !== undefined).toBe(works);
  });
});

describe('many entries on one kind', () => {
  const problemsWith = (elsewhere: number) => compile('p', { actions: [deletion], approval }, elsewhere).problems;
  test('are warned of from 25, own ones included', () => {
    expect(problemsWith(22)).toEqual([]);
    expect(problemsWith(23).map(({ message }) => message)).toEqual([
      '25 webhooks match secrets in core, which slows down every write of it; merge policies that govern it',
    ]);
  });
});

describe('entries', () => {
  const entriesOf = (spec: PolicySpec) =>
    (compile('p', spec).configuration?.webhooks ?? [])
      .filter(isGateEntry)
      .map(
        ({ name, rules }) =>
          `${name.split('.')[0]}: ${rules.map((rule) => `${rule.operations} ${rule.resources} ${rule.scope}`).join('; ')}`,
      );

  test.each([
    ['that enforces', 'Enforce'],
    ['that observes', 'Observe'],
  ] as const)("a policy %s has the watchdog's entry, which stands in nobody's way", (_, mode) => {
    const { configuration } = compile('p', { mode, actions: [deletion], approval });
    const watchdogs = (configuration?.webhooks ?? []).filter((webhook) => !isGateEntry(webhook));
    expect(watchdogs).toMatchObject([
      {
        name: 'watchdog.p.gate.stepup.dev',
        clientConfig: { service: { path: '/watchdog/p' }, caBundle: 'Q0E=' },
        failurePolicy: 'Ignore',
        matchConditions: [{ name: 'probe', expression: "object.metadata.name == 'stepup.watchdog'" }],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'stepup-system' } },
        objectSelector: { matchLabels: { 'stepup.dev/watchdog': 'probe' } },
        rules: [{ operations: ['CREATE'], resources: ['leases'], scope: 'Namespaced' }],
        sideEffects: 'None',
      },
    ]);
  });

  test('an UPDATE of any field asks about finalizers and owners by itself', () => {
    const action = { operations: ['UPDATE', 'DELETE'], apiGroups: ['apps'], resources: ['deployments'] } as const;
    expect(entriesOf({ actions: [action], approval })).toEqual([
      'action: UPDATE,DELETE deployments *',
      'equivalent: UPDATE deployments/scale *',
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
    const withOwn = (configuration?.webhooks ?? [])
      .filter(isGateEntry)
      .map(
        ({ name, matchConditions }) =>
          `${name.split('.')[0]} ${matchConditions.some((one) => one.name === 'policy-mine')}`,
      );
    expect(withOwn).toEqual([
      'action true',
      'deletion-by-update true',
      'equivalent false',
      'namespace-deletion false',
      'namespace-leaves false',
    ]);
  });

  test('what persists nothing is asked about once, also where several rows lead to it', () => {
    const tokens = { operations: ['CREATE'], apiGroups: [''], resources: ['pods/binding', 'bindings'] } as const;
    const creation = { operations: ['CREATE'], apiGroups: [''], resources: ['pods'] } as const;
    expect(entriesOf({ actions: [tokens, creation], approval })).toEqual([
      'action: CREATE pods/binding *; CREATE pods *; UPDATE pods/ephemeralcontainers *; UPDATE pods/resize *',
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
