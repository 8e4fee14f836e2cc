// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which grants get around the gate, and which neighbours of theirs do not.
import { describe, expect, test } from 'vitest';
import type { Binding, GrantRule, Grants } from '../../../../src/domain/integrity/rbac.ts';
import { powersIn, type Surroundings } from '../../../../src/domain/integrity/rbac-findings.ts';

const where: Surroundings = {
  namespace: 'stepup-system',
  own: ['system:serviceaccount:stepup-system:stepup'],
  gated: [],
};
const robot = { kind: 'ServiceAccount', namespace: 'ci', name: 'robot' };

const rule = (group: string, resource: string, verb: string, ...resourceNames: readonly string[]): GrantRule => ({
  apiGroups: [group],
  resources: [resource],
  verbs: [verb],
  ...(resourceNames.length > 0 && { resourceNames }),
});

/** One role with one rule, bound in a namespace or for the whole cluster. */
function grants(
  given: GrantRule,
  namespace?: string,
  subject: NonNullable<Binding['subjects']>[number] = robot,
): Grants {
  const bound = namespace === undefined ? {} : { namespace };
  const kind = namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding';
  return {
    roles: [{ kind: 'ClusterRole', name: 'power', rules: [given] }],
    bindings: [{ kind, name: 'b', ...bound, roleRef: { kind: 'ClusterRole', name: 'power' }, subjects: [subject] }],
  };
}

const names = (given: Grants, around = where) => [...new Set(powersIn(given, around).map(({ power }) => power))];

describe('a grant for the whole cluster', () => {
  test.each<[string, GrantRule, string[]]>([
    ['to impersonate users', rule('', 'users', 'impersonate'), ['Impersonate']],
    ['to impersonate one of them', rule('', 'users', 'impersonate', 'ada'), ['Impersonate']],
    [
      'to impersonate by the newer verb',
      rule('authentication.k8s.io', 'users', 'impersonate:user-info'),
      ['Impersonate'],
    ],
    ['to read Secrets', rule('', 'secrets', 'list'), ['ReadKeys']],
    ['to read one Secret of ours', rule('', 'secrets', 'get', 'stepup-tls'), ['ReadKeys']],
    ['to read one Secret of others', rule('', 'secrets', 'get', 'database'), []],
    ['to make Secrets', rule('', 'secrets', 'create'), ['MintTokens']],
    ['to delete Secrets', rule('', 'secrets', 'delete'), []],
    ['to start pods', rule('', 'pods', 'create'), ['RunAsStepup']],
    ['to delete pods', rule('', 'pods', 'delete'), []],
    ['to change Deployments', rule('apps', 'deployments', 'patch'), ['RunAsStepup']],
    ['to change Deployments of another group', rule('example.test', 'deployments', 'patch'), []],
    ['to enter pods', rule('', 'pods/exec', 'create'), ['EnterPods']],
    ['to enter pods, by any kind', rule('', '*/exec', 'create'), ['EnterPods']],
    ['to read their logs', rule('', 'pods/log', 'get'), []],
    ['to reach nodes', rule('', 'nodes/proxy', 'get'), ['EnterPods']],
    ['to make tokens', rule('', 'serviceaccounts/token', 'create'), ['MintTokens']],
    ['to approve certificates', rule('certificates.k8s.io', 'signers', 'approve'), ['IssueCertificates']],
    ['to ask for certificates', rule('certificates.k8s.io', 'certificatesigningrequests', 'create'), []],
    [
      'to change webhooks',
      rule('admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'patch'),
      ['ChangeAdmission'],
    ],
    [
      'to change its own webhook',
      rule('admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'patch', 'cert-manager'),
      [],
    ],
    [
      'to make one of a name, which gives nothing',
      rule('admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'create', 'stepup-x'),
      [],
    ],
    ['to read webhooks', rule('admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'watch'), []],
    ['to delete policies of the API server', rule('admissionregistration.k8s.io', '*', 'delete'), ['ChangeAdmission']],
    ['to register APIs', rule('apiregistration.k8s.io', 'apiservices', 'update'), ['ChangeAPIServices']],
    ['to change kinds', rule('apiextensions.k8s.io', 'customresourcedefinitions', 'update'), ['ChangeKinds']],
    ['to change policies of stepup', rule('stepup.dev', 'stepuppolicies', 'patch'), ['ChangePolicies']],
    ['to ask for approvals', rule('stepup.dev', 'stepupapprovals', 'create'), []],
    ['to widen its rights', rule('rbac.authorization.k8s.io', 'clusterroles', 'escalate'), ['WidenRights']],
    ['to write roles', rule('rbac.authorization.k8s.io', 'clusterroles', 'create'), []],
  ])('%s', (_, given, want) => {
    expect(names(grants(given))).toEqual(want);
  });

  test('of everything is all of them', () => {
    expect(names(grants(rule('*', '*', '*')))).toEqual([
      'ChangeAPIServices',
      'ChangeAdmission',
      'ChangeKinds',
      'ChangePolicies',
      'EnterPods',
      'Impersonate',
      'IssueCertificates',
      'MintTokens',
      'ReadKeys',
      'RunAsStepup',
      'WidenRights',
    ]);
  });
});

describe('a grant in a namespace', () => {
  test.each<[string, GrantRule, string, string[]]>([
    ['of Secrets', rule('', 'secrets', 'get'), 'stepup-system', ['ReadKeys']],
    ['of Secrets', rule('', 'secrets', 'get'), 'prod', []],
    ['of Secrets', rule('', 'secrets', 'get'), 'kube-system', []],
    ['of tokens', rule('', 'serviceaccounts/token', 'create'), 'kube-system', ['MintTokens']],
    ['of tokens', rule('', 'serviceaccounts/token', 'create'), 'prod', []],
    ['of impersonation', rule('', 'serviceaccounts', 'impersonate'), 'kube-system', ['Impersonate']],
    ['of impersonation', rule('', 'serviceaccounts', 'impersonate'), 'prod', []],
    ['of webhooks, which live in none', rule('admissionregistration.k8s.io', '*', '*'), 'stepup-system', []],
  ])('%s %j in %s', (_, given, namespace, want) => {
    expect(names(grants(given, namespace))).toEqual(want);
  });

  test('counts by the role of that namespace, not by a namesake elsewhere', () => {
    const role = (namespace: string, given: GrantRule) =>
      ({ kind: 'Role', namespace, name: 'r', rules: [given] }) as const;
    const bound = (namespace: string) =>
      ({ kind: 'RoleBinding', namespace, name: 'b', roleRef: { kind: 'Role', name: 'r' }, subjects: [robot] }) as const;
    const roles = [role('prod', rule('', 'secrets', 'get')), role('stepup-system', rule('', 'events', 'get'))];
    expect(names({ roles, bindings: [bound('stepup-system')] })).toEqual([]);
    expect(
      names({ roles: [role('stepup-system', rule('', 'secrets', 'get'))], bindings: [bound('stepup-system')] }),
    ).toEqual(['ReadKeys']);
  });

  test('of a role that does not exist gives nothing', () => {
    const { bindings } = grants(rule('*', '*', '*'));
    expect(names({ roles: [], bindings })).toEqual([]);
  });
});

describe('whom it names', () => {
  const all = rule('', 'secrets', 'get');
  const account = (namespace: string, name: string) => ({ kind: 'ServiceAccount', namespace, name });
  test.each<[string, { kind: string; namespace?: string; name: string }, string | undefined]>([
    ['a service account', robot, 'system:serviceaccount:ci:robot'],
    ['one by its username', { kind: 'User', name: 'system:serviceaccount:ci:robot' }, 'system:serviceaccount:ci:robot'],
    ['stepup itself', account('stepup-system', 'stepup'), undefined],
    ['another account beside it', account('stepup-system', 'default'), 'system:serviceaccount:stepup-system:default'],
    ["one of Kubernetes' controllers", account('kube-system', 'job-controller'), undefined],
    ['another account beside those', account('kube-system', 'addon'), 'system:serviceaccount:kube-system:addon'],
    ['a person', { kind: 'User', name: 'ada' }, undefined],
    ['who sends no credentials', { kind: 'User', name: 'system:anonymous' }, 'system:anonymous'],
    ['people', { kind: 'Group', name: 'admins' }, undefined],
    ['all service accounts', { kind: 'Group', name: 'system:serviceaccounts' }, 'group system:serviceaccounts'],
    ['those of a namespace', { kind: 'Group', name: 'system:serviceaccounts:ci' }, 'group system:serviceaccounts:ci'],
    ['everybody', { kind: 'Group', name: 'system:authenticated' }, 'group system:authenticated'],
  ])('%s', (_, subject, want) => {
    const [found] = powersIn(grants(all, undefined, subject), where);
    expect(found?.who).toBe(want);
  });

  test('is those whom some policy gates', () => {
    const people = { include: [{ kind: 'Group', name: 'admins' }] } as const;
    const notRobot = { exclude: [{ kind: 'ServiceAccount', namespace: 'ci', name: 'robot' }] } as const;
    const admins = { kind: 'Group', name: 'admins' };
    expect(names(grants(all, undefined, admins), { ...where, gated: [people] })).toEqual(['ReadKeys']);
    expect(names(grants(all), { ...where, gated: [notRobot] })).toEqual([]);
    expect(names(grants(all), { ...where, gated: [notRobot, undefined] })).toEqual(['ReadKeys']);
  });

  test('says by which grant', () => {
    expect(powersIn(grants(all, 'stepup-system'), where)).toEqual([
      {
        who: 'system:serviceaccount:ci:robot',
        power: 'ReadKeys',
        why: "can read stepup's keys",
        by: 'RoleBinding stepup-system/b to ClusterRole power',
      },
    ]);
  });
});
