// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The equivalent requests to one effect, and who is gated: rows of the ready-made policies, names, labels, subjects.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { coverageOf } from '../../../../src/domain/coverage/coverage.ts';
import { selects } from '../../../../src/domain/model/label-selector.ts';
import type { LabelSelector, Policy, PolicySpec } from '../../../../src/domain/model/policy.ts';
import { isGated, kubernetesControllers, type Subjects } from '../../../../src/domain/model/subject.ts';
import { matchesGlob } from '../../../../src/lib/glob.ts';
import { deploys, policy, request, rowsFor } from '../../../support/builders/domain.ts';

const packs = new URL('../../../../charts/stepup/packs/', import.meta.url);

function pack(name: string): Policy {
  const read = load(readFileSync(new URL(`${name}.yaml`, packs), 'utf8')) as { spec: PolicySpec };
  return policy(read.spec, name);
}

function equivalents(of: Policy): readonly string[] {
  const lines = coverageOf(of).map(
    ({ shape, operations, apiGroups, resources, reach }) =>
      `${shape} ${operations.join(',')} ${apiGroups.map((group) => group || 'core').join(',')} ${resources.join(',')} ${reach}`,
  );
  return [...new Set(lines)];
}

describe('the ready-made policy', () => {
  test('secret-deletion is governed with these equivalent requests', () => {
    expect(equivalents(pack('secret-deletion'))).toEqual([
      'Action DELETE core secrets Selected',
      'DeletionByUpdate UPDATE core secrets,secrets/status,secrets/finalize Selected',
      'NamespaceDeletion DELETE core namespaces SelectedNamespaces',
      'NamespaceLeaves UPDATE core namespaces,namespaces/status,namespaces/finalize AllNamespaces',
    ]);
  });
  test('namespace-deletion is governed with these equivalent requests', () => {
    expect(equivalents(pack('namespace-deletion'))).toEqual([
      'Action DELETE core namespaces SelectedNamespaces',
      'DeletionByUpdate UPDATE core namespaces,namespaces/status,namespaces/finalize SelectedNamespaces',
      'NamespaceLeaves UPDATE core namespaces,namespaces/status,namespaces/finalize AllNamespaces',
    ]);
  });
  const leaves = 'NamespaceLeaves UPDATE core namespaces,namespaces/status,namespaces/finalize AllNamespaces';
  const goes = 'NamespaceDeletion DELETE core namespaces SelectedNamespaces';
  test.each<readonly [string, readonly string[]]>([
    [
      'production-exec',
      [
        'Action CONNECT core pods/exec Selected',
        'Connect CONNECT core pods/attach,pods/portforward,pods/proxy,services/proxy Selected',
        'Connect CONNECT core nodes/proxy ClusterScoped',
        'Action UPDATE core pods/ephemeralcontainers Selected',
        leaves,
      ],
    ],
    [
      'token-release',
      [
        'Action CREATE core serviceaccounts/token Selected',
        'Identity CREATE certificates.k8s.io certificatesigningrequests ClusterScoped',
        'Identity UPDATE certificates.k8s.io certificatesigningrequests/approval ClusterScoped',
        'IdentityElsewhere CREATE core serviceaccounts,pods ExemptNamespaces',
        'TokenSecret CREATE,UPDATE core secrets Selected',
      ],
    ],
    [
      'key-revocation',
      [
        'Action UPDATE,DELETE core secrets Selected',
        'DeletionByUpdate UPDATE core secrets,secrets/status,secrets/finalize Selected',
        'ConditionLabelRemoved UPDATE core secrets/status,secrets/finalize Selected',
        goes,
        leaves,
      ],
    ],
    [
      'new-egress',
      [
        'Action CREATE,UPDATE,DELETE networking.k8s.io networkpolicies Selected',
        'DeletionByUpdate UPDATE networking.k8s.io networkpolicies,networkpolicies/status,networkpolicies/finalize Selected',
        goes,
        leaves,
      ],
    ],
  ])('%s is governed with these equivalent requests', (name, want) => {
    expect(equivalents(pack(name))).toEqual(want);
  });
  test('rbac-escalation governs cluster-scoped kinds, and those of every namespace', () => {
    const { spec } = pack('rbac-escalation');
    expect(spec).not.toHaveProperty('namespaceSelector');
    expect(spec.actions.flatMap(({ resources }) => resources)).toEqual([
      ...['clusterroles', 'roles', 'clusterrolebindings', 'rolebindings'],
    ]);
  });
  const production = pack('production-deploys');
  const rows: readonly (readonly [string, readonly string[], Partial<Parameters<typeof request>[0]>])[] = [
    ['a new Deployment', ['Action'], { operation: 'CREATE' }],
    ['a changed Deployment', ['Action', 'DeletionByUpdate'], {}],
    ['a scaled Deployment', ['Scale'], { subresource: 'scale' }],
    ['the status of a Deployment', ['DeletionByUpdate'], { subresource: 'status' }],
    ['a deleted StatefulSet', ['Action'], { operation: 'DELETE', resource: 'statefulsets' }],
    [
      'a scaled ReplicationController',
      ['Scale'],
      { group: '', resource: 'replicationcontrollers', subresource: 'scale' },
    ],
    ['a new CronJob', ['Action'], { operation: 'CREATE', group: 'batch', resource: 'cronjobs' }],
    ['a new Job', ['Action'], { operation: 'CREATE', group: 'batch', resource: 'jobs' }],
    ['a new Pod', ['Action'], { operation: 'CREATE', group: '', resource: 'pods' }],
    ['an evicted Pod', ['Eviction'], { operation: 'CREATE', group: '', resource: 'pods', subresource: 'eviction' }],
    ['a bound Pod', ['Binding'], { operation: 'CREATE', group: '', resource: 'pods', subresource: 'binding' }],
    ['a Pod bound by the old name', ['Binding'], { operation: 'CREATE', group: '', resource: 'bindings' }],
    [
      'an ephemeral container',
      ['EphemeralContainers'],
      { group: '', resource: 'pods', subresource: 'ephemeralcontainers' },
    ],
    ['a resized Pod', ['Resize'], { group: '', resource: 'pods', subresource: 'resize' }],
    ['a deleted Namespace', ['NamespaceDeletion'], { operation: 'DELETE', group: '', resource: 'namespaces' }],
    ['a ConfigMap', [], { operation: 'CREATE', group: '', resource: 'configmaps' }],
    ['a kind of that name in another group', [], { group: 'example.dev' }],
    ['exec', [], { operation: 'CONNECT', group: '', resource: 'pods', subresource: 'exec' }],
  ];
  test.each(rows)('production-deploys asks about %s by %j', (_, want, overrides) => {
    expect(rowsFor(production, request(overrides)).map(({ shape }) => shape)).toEqual(want);
  });
  test('production-deploys asks about a Namespace that loses its label, and about no other label', () => {
    const labelled = (labels: Record<string, string>) => ({ metadata: { name: 'prod', uid: 'u', labels } });
    const asked = (labels: Record<string, string>) =>
      rowsFor(
        production,
        request({
          group: '',
          resource: 'namespaces',
          name: 'prod',
          oldObject: labelled({ environment: 'production' }),
          object: labelled(labels),
        }),
      ).map(({ shape }) => shape);
    expect(asked({})).toEqual(['NamespaceLeaves']);
    expect(asked({ environment: 'staging' })).toEqual(['NamespaceLeaves']);
    expect(asked({ environment: 'production', more: 'x' })).toEqual([]);
  });
});

test('/spec/replicas outside the fields adds no scale, an ancestor of it does', () => {
  const scales = (fields: readonly string[] | undefined) => {
    const { fields: _, ...action } = deploys;
    const one = fields === undefined ? action : { ...action, fields };
    return coverageOf(policy({ actions: [one] })).some(({ shape }) => shape === 'Scale');
  };
  expect([['/spec/template'], ['/spec/replicasets'], ['/spec'], ['/spec/replicas'], undefined].map(scales)).toEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
});

describe('who is gated', () => {
  const who = (username: string, ...groups: string[]) => ({ username, groups });
  const robots: Subjects = {
    include: [{ kind: 'ServiceAccount', namespace: 'ci-*', name: '*' }],
    exclude: [{ kind: 'ServiceAccount', namespace: 'ci-1', name: 'trusted' }],
  };
  const everybody: Subjects = { include: [{ kind: 'User', name: '*' }] };
  const rows: readonly (readonly [string, boolean, Subjects | undefined, ReturnType<typeof who>])[] = [
    ['by default every service account', true, undefined, who('system:serviceaccount:ci:deployer')],
    ['by default no person', false, undefined, who('alice', 'system:masters')],
    ['no controller of Kubernetes', false, undefined, who('system:serviceaccount:kube-system:deployment-controller')],
    ['anybody else in kube-system', true, undefined, who('system:serviceaccount:kube-system:evil')],
    ['a controller by name elsewhere', true, undefined, who('system:serviceaccount:ci:deployment-controller')],
    ['who is named', true, robots, who('system:serviceaccount:ci-1:x')],
    ['nobody who is excluded, though the name is included', false, robots, who('system:serviceaccount:ci-1:trusted')],
    [
      'nobody whose namespace only contains the pattern of the namespace',
      false,
      robots,
      who('system:serviceaccount:my-ci-1:x'),
    ],
    ['nobody whose name only looks like that of an account', false, robots, who('system:serviceaccount:ci-1:x:y')],
    ['by default whoever has no name', true, undefined, who('system:anonymous', 'system:unauthenticated')],
    ['whoever has no name, whoever is named', true, robots, who('system:anonymous')],
    [
      'nobody without a name, where system:anonymous is excluded',
      false,
      { exclude: [{ kind: 'User', name: 'system:anonymous' }] },
      who('system:anonymous'),
    ],
    ['the members of a group', true, { include: [{ kind: 'Group', name: 'bots' }] }, who('bob', 'bots')],
    [
      'no members of other groups by *, which groups do not have',
      false,
      { include: [{ kind: 'Group', name: 'bot*' }] },
      who('bob', 'bots'),
    ],
    ['users by *', true, { include: [{ kind: 'User', name: 'agent-*' }] }, who('agent-7')],
    ['everybody', true, everybody, who('alice')],
    ['everybody, service accounts too', true, everybody, who('system:serviceaccount:ci:deployer')],
    ['everybody, whoever has no name too', true, everybody, who('system:anonymous')],
    ['everybody, but no node', false, everybody, who('system:node:a', 'system:nodes')],
    ['everybody, but no kubelet that asks to join', false, everybody, who('system:bootstrap:abcdef')],
    ['everybody, but not the controller manager', false, everybody, who('system:kube-controller-manager')],
    ['everybody, but no controller', false, everybody, who('system:serviceaccount:kube-system:job-controller')],
    [
      'no node by its group',
      false,
      { include: [{ kind: 'Group', name: 'system:nodes' }] },
      who('system:node:a', 'system:nodes'),
    ],
    [
      'whoever else is in that group',
      true,
      { include: [{ kind: 'Group', name: 'system:nodes' }] },
      who('bob', 'system:nodes'),
    ],
  ];
  test.each(rows)('%s: %s', (_, want, subjects, identity) => {
    expect(isGated(subjects, identity)).toBe(want);
  });
  test('names of controllers are names of kube-system', () => {
    expect(kubernetesControllers.every((name) => name.startsWith('system:serviceaccount:kube-system:'))).toBe(true);
  });
});

test('a name with * matches as the naive expression does', () => {
  const text = fc.array(fc.constantFrom('a', 'b', '*', '.'), { maxLength: 8 }).map((letters) => letters.join(''));
  const naive = (pattern: string) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`, 's');
  fc.assert(
    fc.property(text, text, (pattern, name) => matchesGlob(pattern, name) === naive(pattern).test(name)),
    { numRuns: 2000 },
  );
});

describe('a label selector', () => {
  const one = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]): LabelSelector => ({
    matchExpressions: [{ key: 'a', operator, values }],
  });
  const rows: readonly (readonly [string, boolean, LabelSelector, Record<string, string>])[] = [
    ['without terms selects everything', true, {}, {}],
    ['by an equal label', true, { matchLabels: { a: '1' } }, { a: '1', b: '2' }],
    ['by an equal label, other value', false, { matchLabels: { a: '1' } }, { a: '2' }],
    ['by an empty value, absent', false, { matchLabels: { a: '' } }, {}],
    ['by an empty value', true, { matchLabels: { a: '' } }, { a: '' }],
    ['In', true, one('In', '1', '2'), { a: '2' }],
    ['In, absent', false, one('In', '1'), {}],
    ['NotIn', false, one('NotIn', '1'), { a: '1' }],
    ['NotIn, absent', true, one('NotIn', '1'), {}],
    ['Exists', true, one('Exists'), { a: '' }],
    ['Exists, absent', false, one('Exists'), {}],
    ['DoesNotExist', false, one('DoesNotExist'), { a: '' }],
    ['DoesNotExist, absent', true, one('DoesNotExist'), {}],
    [
      'by a name that every object inherits',
      false,
      { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] },
      {},
    ],
    ['by all terms', false, { matchLabels: { b: '1' }, ...one('Exists') }, { a: '1' }],
  ];
  test.each(rows)('%s: %s', (_, want, selector, labels) => {
    expect(selects(selector, labels)).toBe(want);
  });
});
