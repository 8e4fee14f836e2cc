// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the chart's roles grant, and what they must never: the promise rests on it (docs/access.md).
import { beforeAll, describe, expect, test } from 'vitest';
import { type Rendered, type Rule, render, systemNamespace, the } from '../../support/chart/chart.ts';

let objects: readonly Rendered[];

beforeAll(async () => {
  objects = await render();
});

describe('every role of the chart', () => {
  test('names groups, resources and verbs, never *', () => {
    const roles = objects.filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role');
    expect(roles.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort()).toEqual([
      'ClusterRole stepup',
      'ClusterRole stepup-admin',
      'ClusterRole stepup-approver',
      'ClusterRole stepup-break-glass',
      'ClusterRole stepup-gated-admin',
      'ClusterRole stepup-gated-admin-cluster',
      'ClusterRole stepup-requester',
      'ClusterRole stepup-test',
      'ClusterRole stepup-uninstall',
      'ClusterRole stepup-viewer',
      'Role stepup',
      'Role stepup-test',
      'Role stepup-uninstall',
    ]);
    for (const { rules = [] } of roles) {
      expect(rules.length).toBeGreaterThan(0);
      expect(JSON.stringify(rules)).not.toContain('*');
    }
  });

  test('has none of the verbs that lend or widen rights', () => {
    const others = objects
      .flatMap(({ rules = [] }) => rules)
      .filter(({ apiGroups, resources }) => `${apiGroups} ${resources}` !== 'stepup.dev stepuppolicies');
    for (const rule of others) {
      expect(rule.verbs).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^(impersonate|escalate|bind|approve|sign|attest)$/)]),
      );
    }
  });
});

describe('stepup itself', () => {
  test('reads no Secret outside its namespace', () => {
    expect(verbsOn(clusterRole('stepup'), '', 'secrets')).toEqual([]);
    expect(verbsOn(clusterRole('stepup-uninstall'), '', 'secrets')).toEqual([]);
    expect(verbsOn(clusterRole('stepup'), '', 'configmaps')).toEqual([]);
  });

  test('has in its own namespace its Lease, its certificates, its packs and its engines', () => {
    const role = the(objects, 'Role', 'stepup');
    expect(role.metadata.namespace).toBe(systemNamespace);
    expect(role.rules).toEqual([
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: ['stepup'],
        verbs: ['get', 'update'],
      },
      { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: ['stepup-tls', 'stepup-keys'],
        verbs: ['get', 'list', 'watch', 'update'],
      },
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['stepup-packs', 'stepup-engines'],
        verbs: ['get', 'list', 'watch'],
      },
    ]);
  });

  test('does not write the Secret of its certificate where cert-manager does', async () => {
    const { rules = [] } = the(await render({ certManager: { enabled: true } }), 'Role', 'stepup');
    const secrets = rules.filter(({ resources }) => resources.includes('secrets'));
    expect(secrets.map(({ resourceNames, verbs }) => ({ resourceNames, verbs }))).toEqual([
      { resourceNames: undefined, verbs: ['create'] },
      { resourceNames: ['stepup-keys'], verbs: ['get', 'list', 'watch', 'update'] },
      { resourceNames: ['stepup-tls'], verbs: ['get', 'list', 'watch'] },
    ]);
  });

  test('writes nothing but its own kinds and their definitions, admission configuration, events and questions about rights', () => {
    const writes = clusterRole('stepup').filter(({ verbs }) => verbs.some((verb) => !isRead(verb)));
    expect(writes.map(({ apiGroups, resources }) => `${apiGroups}: ${resources}`)).toEqual([
      'stepup.dev: stepuppolicies',
      'stepup.dev: stepuppolicies/status,stepupapprovals/status',
      'stepup.dev: stepupapprovals',
      'stepup.dev: stepupdecisions',
      'admissionregistration.k8s.io: validatingwebhookconfigurations,mutatingwebhookconfigurations',
      'admissionregistration.k8s.io: validatingadmissionpolicies,validatingadmissionpolicybindings',
      'admissionregistration.k8s.io: validatingadmissionpolicies,validatingadmissionpolicybindings',
      'events.k8s.io: events',
      'authorization.k8s.io: subjectaccessreviews',
      'apiregistration.k8s.io: apiservices',
      'apiextensions.k8s.io: customresourcedefinitions',
      'apiextensions.k8s.io: customresourcedefinitions',
      'authentication.k8s.io: selfsubjectreviews',
    ]);
  });

  test('changes no admission policy but the guard, no definition but its own, and removes no APIService but its own', () => {
    const named = clusterRole('stepup').filter(({ resourceNames }) => resourceNames !== undefined);
    expect(named.map(({ resources, resourceNames, verbs }) => ({ resources, resourceNames, verbs }))).toEqual([
      {
        resources: ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
        resourceNames: ['stepup-guard', 'stepup-guard-accounts', 'stepup-guard-namespace'],
        verbs: ['update', 'delete'],
      },
      { resources: ['apiservices'], resourceNames: ['v1alpha1.stepup.dev'], verbs: ['delete'] },
      {
        resources: ['customresourcedefinitions'],
        resourceNames: ['stepuppolicies.stepup.dev', 'stepupapprovals.stepup.dev', 'stepupdecisions.stepup.dev'],
        verbs: ['get', 'list', 'watch', 'update'],
      },
    ]);
    const others = clusterRole('stepup').filter(({ resourceNames }) => resourceNames === undefined);
    expect(verbsOn(others, 'admissionregistration.k8s.io', 'validatingadmissionpolicies')).toEqual([
      'get',
      'list',
      'watch',
      'create',
    ]);
    expect(verbsOn(others, 'apiregistration.k8s.io', 'apiservices')).toEqual(['list', 'watch']);
    expect(verbsOn(others, 'apiextensions.k8s.io', 'customresourcedefinitions')).toEqual(['create']);
  });

  test('never writes the spec of an approval, and never changes a decision', () => {
    expect(verbsOn(clusterRole('stepup'), 'stepup.dev', 'stepupapprovals')).not.toContain('update');
    expect(verbsOn(clusterRole('stepup'), 'stepup.dev', 'stepupapprovals')).not.toContain('patch');
    // Created are those of policy engines, by the leader; a decision of kind Engine counts for nothing but an engine's part.
    const verbs = verbsOn(clusterRole('stepup'), 'stepup.dev', 'stepupdecisions');
    expect(verbs).toEqual(['get', 'list', 'watch', 'create']);
  });

  test('reads what settle.resources lists, no more', async () => {
    const settle = { resources: [{ group: 'apps', resources: ['deployments'] }] };
    const rules = the(await render({ settle }), 'ClusterRole', 'stepup').rules ?? [];
    expect(verbsOn(rules, 'apps', 'deployments')).toEqual(['get', 'list', 'watch']);
    expect(verbsOn(rules, 'batch', 'jobs')).toEqual([]);
    expect(verbsOn(rules, '', 'pods')).toEqual(['get']);
  });

  test('tests by listing policies and by creating Leases in its own namespace, no more', () => {
    expect(clusterRole('stepup-test')).toEqual([
      { apiGroups: ['stepup.dev'], resources: ['stepuppolicies'], verbs: ['list'] },
    ]);
    const role = the(objects, 'Role', 'stepup-test');
    expect(role.metadata.namespace).toBe(systemNamespace);
    expect(role.rules).toEqual([{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] }]);
  });

  test('uninstalls by listing and deleting, and by taking the Lease over, no more', () => {
    expect(clusterRole('stepup-uninstall')).toEqual([
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'],
        verbs: ['list', 'delete'],
      },
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
        verbs: ['list'],
      },
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
        resourceNames: ['stepup-guard', 'stepup-guard-accounts', 'stepup-guard-namespace'],
        verbs: ['delete'],
      },
      { apiGroups: ['stepup.dev'], resources: ['stepuppolicies'], verbs: ['list', 'delete'] },
    ]);
    expect(the(objects, 'Role', 'stepup-uninstall').rules).toEqual([
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: ['stepup'],
        verbs: ['get', 'update', 'delete'],
      },
      {
        apiGroups: ['rbac.authorization.k8s.io'],
        resources: ['rolebindings'],
        resourceNames: ['stepup'],
        verbs: ['get'],
      },
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['stepup-tls', 'stepup-keys'], verbs: ['delete'] },
    ]);
  });
});

describe('a gated account with both roles', () => {
  const both = () => [...clusterRole('stepup-gated-admin'), ...clusterRole('stepup-gated-admin-cluster')];

  test.each([
    ['stepup.dev', 'stepupdecisions'],
    ['stepup.dev', 'stepuppolicies'],
    ['admissionregistration.k8s.io', 'validatingwebhookconfigurations'],
    ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations'],
    ['admissionregistration.k8s.io', 'validatingadmissionpolicies'],
    ['admissionregistration.k8s.io', 'mutatingadmissionpolicies'],
    ['apiregistration.k8s.io', 'apiservices'],
    ['apiextensions.k8s.io', 'customresourcedefinitions'],
    ['rbac.authorization.k8s.io', 'clusterroles'],
    ['rbac.authorization.k8s.io', 'clusterrolebindings'],
    ['', 'nodes'],
  ])('only reads %s %s', (group, resource) => {
    expect(verbsOn(both(), group, resource)).toEqual(['get', 'list', 'watch']);
  });

  test.each([
    ['', 'nodes/proxy'],
    ['', 'pods/binding'],
    ['', 'users'],
    ['', 'groups'],
    ['stepup.dev', 'stepupapprovals/status'],
    ['stepup.dev', 'stepuppolicies/status'],
    ['certificates.k8s.io', 'certificatesigningrequests'],
    ['certificates.k8s.io', 'certificatesigningrequests/approval'],
    ['certificates.k8s.io', 'signers'],
    ['authentication.k8s.io', 'userextras'],
  ])('has nothing on %s %s', (group, resource) => {
    expect(verbsOn(both(), group, resource)).toEqual([]);
  });

  test('holds cluster-wide nothing that lives in namespaces', () => {
    const cluster = clusterRole('stepup-gated-admin-cluster');
    for (const resource of ['secrets', 'pods', 'pods/exec', 'serviceaccounts', 'serviceaccounts/token']) {
      expect(verbsOn(cluster, '', resource)).toEqual([]);
    }
    expect(verbsOn(cluster, 'rbac.authorization.k8s.io', 'rolebindings')).toEqual([]);
  });

  test.each([
    ['apps', 'deployments', 'create'],
    ['apps', 'deployments/scale', 'patch'],
    ['batch', 'jobs', 'create'],
    ['', 'pods/exec', 'create'],
    ['', 'pods/eviction', 'create'],
    ['', 'pods/ephemeralcontainers', 'patch'],
    ['', 'pods/resize', 'patch'],
    ['', 'secrets', 'delete'],
    ['', 'services', 'create'],
    ['', 'serviceaccounts/token', 'create'],
    ['', 'namespaces', 'patch'],
    ['stepup.dev', 'stepupapprovals', 'create'],
  ])('may do its work: %s %s %s', (group, resource, verb) => {
    expect(verbsOn(both(), group, resource)).toContain(verb);
  });
});

describe('people', () => {
  test('have the verbs approve and bypass each by one role, and a gated account by none', () => {
    const holding = (verb: string) =>
      objects
        .filter(
          ({ kind, rules = [] }) =>
            kind === 'ClusterRole' && verbsOn(rules, 'stepup.dev', 'stepuppolicies').includes(verb),
        )
        .map(({ metadata }) => metadata.name);
    expect(holding('approve')).toEqual(['stepup-approver']);
    expect(holding('bypass')).toEqual(['stepup-break-glass']);
    expect(holding('update')).toEqual(['stepup', 'stepup-admin']);
  });

  test('who look get into view, and so into edit and admin', () => {
    const viewer = the(objects, 'ClusterRole', 'stepup-viewer');
    expect(viewer.metadata.labels).toMatchObject({ 'rbac.authorization.k8s.io/aggregate-to-view': 'true' });
    expect(viewer.rules?.flatMap(({ verbs }) => verbs).every(isRead)).toBe(true);
  });

  test('who approve create decisions and approvals; who request create approvals only', () => {
    const verbs = (role: string, resource: string) => verbsOn(clusterRole(role), 'stepup.dev', resource);
    const reads = ['get', 'list', 'watch'];
    expect(verbs('stepup-approver', 'stepupdecisions')).toEqual([...reads, 'create']);
    expect(verbs('stepup-approver', 'stepupapprovals')).toEqual([...reads, 'create']);
    expect(verbs('stepup-requester', 'stepupapprovals')).toEqual([...reads, 'create']);
    expect(verbs('stepup-requester', 'stepupdecisions')).toEqual(reads);
  });

  test('get no roles when that is switched off', async () => {
    const names = (await render({ userRoles: { enabled: false } })).map(({ metadata }) => metadata.name);
    expect(names).not.toContain('stepup-gated-admin');
  });
});

function clusterRole(name: string): readonly Rule[] {
  return the(objects, 'ClusterRole', name).rules ?? [];
}

function verbsOn(rules: readonly Rule[], group: string, resource: string): readonly string[] {
  const matching = rules.filter(
    ({ apiGroups, resources }) => apiGroups.includes(group) && resources.includes(resource),
  );
  return [...new Set(matching.flatMap(({ verbs }) => verbs))];
}

function isRead(verb: string): boolean {
  return verb === 'get' || verb === 'list' || verb === 'watch';
}
