// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The attacks, one line each: who tries what, and what comes of it.

import { handWritten } from '../../support/installation/hand-written.ts';
import type { Attacker, Said } from './attacker.ts';

/** Who refuses it: Kubernetes' RBAC, the guard, a policy's gate, the stamp of our own kinds, or the kind's own rules. */
type Refuser = 'RBAC' | 'guard' | 'gate' | 'stamp' | 'kind';

export type Outcome =
  | Refuser
  /** It is accepted and has no effect: what it was for is refused as before. */
  | 'opens nothing'
  /** It may get through after the guard's binding is deleted in a loop, and is put back and reported. */
  | 'undone'
  /** No admission can stop it; see docs/attacks.md for what can. */
  | 'out of reach';

/** What an attack finds: a change of the deployer's that waits for approval, and how it would be approved. */
export interface Scene {
  /** Path of the pending approval. */
  readonly approval: string;
  /** A decision that would approve it, if an approver made it. */
  readonly decision: object;
  /** The change itself, tried again. */
  readonly retry: () => Promise<Said>;
  /** Waits until the gate is in force again. */
  readonly gateBack: () => Promise<unknown>;
  /** A certificate request in somebody's name, in base64. */
  readonly csr: string;
}

type Attack = (as: Attacker, scene: Scene) => Promise<Said>;
export type Row = readonly [what: string, attack: Attack, outcome: Outcome];

const registration = '/apis/admissionregistration.k8s.io/v1';
export const gate = `${registration}/validatingwebhookconfigurations/stepup-production-deploys`;
export const stamp = `${registration}/mutatingwebhookconfigurations/stepup-stamp`;
export const binding = (name: string) => `${registration}/validatingadmissionpolicybindings/${name}`;
export const apiService = '/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.stepup.dev';
export const policy = '/apis/stepup.dev/v1alpha1/stepuppolicies/production-deploys';
export const crd = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/stepuppolicies.stepup.dev';
const approvals = '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals';
const decisions = '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupdecisions';
const ours = '/api/v1/namespaces/stepup-system';
const apps = '/apis/apps/v1/namespaces/stepup-system/deployments';
const lease = '/apis/coordination.k8s.io/v1/namespaces/stepup-system/leases/stepup';
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const csrs = '/apis/certificates.k8s.io/v1/certificatesigningrequests';

const asAda = { 'impersonate-user': 'ada', 'impersonate-group': 'approvers' };
const approved = {
  status: { phase: 'Approved', approvedAt: '2026-01-01T00:00:00Z', usableUntil: '2099-01-01T00:00:00Z' },
};
const token = { spec: { expirationSeconds: 600 } };
const container = { name: 'main', image: 'nginx:1' };
const pod = (serviceAccountName: string) => ({
  metadata: { name: 'intruder' },
  spec: { serviceAccountName, containers: [container] },
});
const deployment = (name: string) => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [container] } },
  },
});
export const webhook = (name: string, group: string) => ({
  metadata: { name },
  webhooks: [
    {
      name: 'attack.example.test',
      admissionReviewVersions: ['v1'],
      clientConfig: { url: 'https://127.0.0.1:1/' },
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      rules: [{ apiGroups: [group], apiVersions: ['*'], operations: ['CREATE'], resources: ['stepupdecisions'] }],
    },
  ],
});
const mutation = {
  metadata: { name: 'attack' },
  spec: {
    failurePolicy: 'Ignore',
    reinvocationPolicy: 'Never',
    matchConstraints: {
      resourceRules: [
        { apiGroups: ['stepup.dev'], apiVersions: ['*'], operations: ['CREATE'], resources: ['stepupdecisions'] },
      ],
    },
    mutations: [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: { expression: "Object{metadata: Object.metadata{labels: {'attack': 'yes'}}}" },
      },
    ],
  },
};
const grant = (subject: string) => ({
  metadata: { name: 'attack' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
  subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: subject }],
});
const request = (csr: string) => ({
  metadata: { name: 'attack' },
  spec: { request: csr, signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'] },
});
const approval = (spec: object = {}) => handWritten({ generateName: 'attack-' }, { name: 'attacked' }, spec);

/** With what the promise needs (docs/access.md): roles stepup-gated-admin and stepup-gated-admin-cluster. */
export const byDeployer: readonly Row[] = [
  [
    'writes Approved into the status of its approval',
    (as, { approval }) => as.patch(`${approval}/status`, approved),
    'RBAC',
  ],
  ['approves its own request', (as, { decision }) => as.post(decisions, decision), 'RBAC'],
  [
    'approves it as another person, by impersonation',
    (as, { decision }) => as.post(decisions, decision, asAda),
    'RBAC',
  ],
  [
    'applies an approval for itself',
    (as) => as.post(approvals, approval()).then(() => as.delete('/api/v1/namespaces/prod/secrets/attacked')),
    'gate',
  ],
  [
    'applies an approval that says somebody else made it',
    (as) => as.post(approvals, approval({ createdBy: { username: 'ada' } })),
    'stamp',
  ],
  [
    'applies an approval that says who asked for it was stepup',
    (as) => as.post(approvals, approval({ origin: 'Denied' })),
    'stamp',
  ],
  [
    'files an approval with status Approved',
    (as, { retry }) => as.post(approvals, { ...approval(), ...approved }).then(retry),
    'gate',
  ],
  ['deletes its approval to have it asked anew', (as, { approval }) => as.delete(approval), 'RBAC'],
  ['deletes the policy', (as) => as.delete(policy), 'RBAC'],
  ['has the policy observe only', (as) => as.patch(policy, { spec: { mode: 'Observe' } }), 'RBAC'],
  [
    'has the policy leave it alone',
    (as) => as.patch(policy, { spec: { subjects: { exclude: [{ kind: 'User', name: '*' }] } } }),
    'RBAC',
  ],
  ['deletes the gate', (as) => as.delete(gate), 'RBAC'],
  ['empties the gate', (as) => as.patch(gate, { webhooks: [] }), 'RBAC'],
  ['deletes the stamp', (as) => as.delete(stamp), 'RBAC'],
  [
    'has a webhook of its own change votes',
    (as) => as.post(`${registration}/mutatingwebhookconfigurations`, webhook('attack', 'stepup.dev')),
    'RBAC',
  ],
  [
    'has a mutating policy change votes',
    (as) => as.post(`${registration}/mutatingadmissionpolicies`, mutation),
    'RBAC',
  ],
  ['deletes the binding of the guard', (as) => as.delete(binding('stepup-guard')), 'RBAC'],
  ['deletes the kind of policies', (as) => as.delete(crd), 'RBAC'],
  [
    'has its own server answer for approvals',
    (as) => as.patch(apiService, { spec: { service: { name: 'a', namespace: 'prod' } } }),
    'RBAC',
  ],
  ['takes the Lease', (as) => as.patch(lease, { spec: { holderIdentity: 'attack' } }), 'RBAC'],
  ['reads the keys', (as) => as.get(`${ours}/secrets/stepup-keys`), 'RBAC'],
  ['takes the replicas away', (as) => as.patch(`${apps}/stepup/scale`, { spec: { replicas: 0 } }), 'RBAC'],
  ['starts a pod as stepup', (as) => as.post(`${ours}/pods`, pod('stepup')), 'RBAC'],
  ["makes a token of stepup's account", (as) => as.post(`${ours}/serviceaccounts/stepup/token`, token), 'RBAC'],
  [
    "makes a token of one of Kubernetes' controllers",
    (as) => as.post('/api/v1/namespaces/kube-system/serviceaccounts/job-controller/token', token),
    'RBAC',
  ],
  ['enters a pod of stepup through its node', (as) => as.get('/api/v1/nodes/standin/proxy/pods'), 'RBAC'],
  ['has a certificate in the name of an approver approved', (as, { csr }) => certified(as, csr), 'RBAC'],
  ['makes itself cluster-admin', (as) => as.post(`${rbac}/clusterrolebindings`, grant(as.username)), 'RBAC'],
  [
    'makes itself cluster-admin in the namespace',
    (as) => as.post(`${rbac}/namespaces/prod/rolebindings`, grant(as.username)),
    'RBAC',
  ],
  ['deletes the namespace of stepup', (as) => as.delete(ours), 'guard'],
  [
    'takes the label by which the namespace is governed',
    (as) => as.patch('/api/v1/namespaces/prod', { metadata: { labels: { environment: null } } }),
    'gate',
  ],
  ['deletes the governed namespace', (as) => as.delete('/api/v1/namespaces/prod'), 'gate'],
  ['starts a pod instead of a Deployment', (as) => as.post('/api/v1/namespaces/prod/pods', pod('default')), 'gate'],
  [
    'sends the change as a dry run first',
    (as, { retry }) => as.post('/apis/apps/v1/namespaces/prod/deployments?dryRun=All', deployment('dry')).then(retry),
    'gate',
  ],
];

/** With cluster-admin, and gated all the same. */
export const byRootBot: readonly Row[] = [
  [
    'writes Approved into the status of an approval',
    (as, { approval }) => as.patch(`${approval}/status`, approved),
    'guard',
  ],
  ['approves a request', (as, { decision }) => as.post(decisions, decision), 'stamp'],
  ['deletes the approval of another account', (as, { approval }) => as.delete(approval), 'guard'],
  ['deletes the policy', (as) => as.delete(policy), 'guard'],
  ['has the policy observe only', (as) => as.patch(policy, { spec: { mode: 'Observe' } }), 'guard'],
  ['says that the policy is not Ready', (as) => as.patch(`${policy}/status`, { status: { conditions: [] } }), 'guard'],
  ['deletes the gate', (as) => as.delete(gate), 'guard'],
  ['empties the gate', (as) => as.patch(gate, { webhooks: [] }), 'guard'],
  ['deletes all gates as a collection', (as) => as.delete(`${registration}/validatingwebhookconfigurations`), 'guard'],
  ['deletes the stamp', (as) => as.delete(stamp), 'guard'],
  [
    'has a webhook of its own change votes',
    (as) => as.post(`${registration}/mutatingwebhookconfigurations`, webhook('attack', '*')),
    'guard',
  ],
  ['deletes the kind of policies', (as) => as.delete(crd), 'guard'],
  [
    'has its own server answer for approvals',
    (as) => as.patch(apiService, { spec: { service: { name: 'a', namespace: 'prod' } } }),
    'guard',
  ],
  ['takes the Lease', (as) => as.patch(lease, { spec: { holderIdentity: 'attack' } }), 'guard'],
  ['takes the replicas away', (as) => as.patch(`${apps}/stepup/scale`, { spec: { replicas: 0 } }), 'guard'],
  ['deletes the Deployment', (as) => as.delete(`${apps}/stepup`), 'guard'],
  ['takes the rights of stepup away', (as) => as.delete(`${rbac}/clusterrolebindings/stepup`), 'guard'],
  ['starts a pod as stepup', (as) => as.post(`${ours}/pods`, pod('stepup')), 'guard'],
  ["makes a token of stepup's account", (as) => as.post(`${ours}/serviceaccounts/stepup/token`, token), 'guard'],
  [
    "makes a token of one of Kubernetes' controllers",
    (as) => as.post('/api/v1/namespaces/kube-system/serviceaccounts/job-controller/token', token),
    'guard',
  ],
  [
    'gives itself roles in the namespace of stepup',
    (as) => as.post(`${rbac}/namespaces/stepup-system/rolebindings`, grant(as.username)),
    'guard',
  ],
  ['deletes the namespace of stepup', (as) => as.delete(ours), 'guard'],
  ['deletes the guard', (as) => as.delete(`${registration}/validatingadmissionpolicies/stepup-guard`), 'undone'],
  ['deletes the binding of the guard', (as) => as.delete(binding('stepup-guard')), 'undone'],
  [
    'has the binding of the guard warn only',
    (as) => as.patch(binding('stepup-guard'), { spec: { validationActions: ['Warn'] } }),
    'undone',
  ],
  ['deletes binding and gate, again and again', (as) => inLoop(as, 'stepup-guard', () => as.delete(gate)), 'undone'],
  ['deletes binding and stamp, again and again', (as) => inLoop(as, 'stepup-guard', () => as.delete(stamp)), 'undone'],
  [
    'deletes the binding, then has the policy observe only',
    (as) => inLoop(as, 'stepup-guard', () => as.patch(policy, { spec: { mode: 'Observe' } })),
    'undone',
  ],
  [
    'deletes the binding, then has its own server answer for approvals',
    (as) => inLoop(as, 'stepup-guard', () => as.patch(apiService, hijack)),
    'undone',
  ],
  [
    'deletes the binding, then has a webhook of its own convert policies',
    (as) => inLoop(as, 'stepup-guard', () => as.patch(crd, { spec: { conversion } })),
    'undone',
  ],
  [
    'deletes binding and gate, and forges the status of an approval',
    (as, { approval, gateBack, retry }) => forge(as, approval).then(gateBack).then(retry),
    'gate',
  ],
  ['reads the keys', (as) => as.get(`${ours}/secrets/stepup-keys`), 'out of reach'],
  [
    'approves a request as another person, by impersonation',
    (as, { decision }) => as.post(`${decisions}?dryRun=All`, decision, asAda),
    'out of reach',
  ],
  ['has a certificate in the name of an approver approved', (as, { csr }) => certified(as, csr), 'out of reach'],
  [
    'has a mutating policy change votes',
    (as) => as.post(`${registration}/mutatingadmissionpolicies?dryRun=All`, mutation),
    'out of reach',
  ],
  [
    'makes another subject cluster-admin',
    (as) => as.post(`${rbac}/clusterrolebindings?dryRun=All`, grant('mallory')),
    'out of reach',
  ],
  [
    'deletes the binding in a loop, then a policy that is no pack',
    (as) => inLoop(as, 'stepup-guard', () => as.delete(`${policy}?dryRun=All`)),
    'out of reach',
  ],
  [
    'deletes the binding in a loop, then the kind of policies',
    (as) => inLoop(as, 'stepup-guard', () => as.delete(`${crd}?dryRun=All`)),
    'out of reach',
  ],
  [
    'deletes the binding in a loop, then takes the Lease',
    (as) =>
      inLoop(as, 'stepup-guard-namespace', () =>
        as.patch(`${lease}?dryRun=All`, { spec: { holderIdentity: 'attack' } }),
      ),
    'out of reach',
  ],
  [
    'deletes the binding in a loop, then has a token of an account that nobody gates',
    (as) =>
      inLoop(as, 'stepup-guard-accounts', () =>
        as.post('/api/v1/namespaces/kube-system/serviceaccounts/job-controller/token', token),
      ),
    'out of reach',
  ],
];

const conversion = {
  strategy: 'Webhook',
  webhook: { conversionReviewVersions: ['v1'], clientConfig: { url: 'https://127.0.0.1:1/' } },
};
const hijack = {
  metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': null } },
  spec: { service: { name: 'attack', namespace: 'prod', port: 443 }, insecureSkipTLSVerify: true },
};

/** Asks for a certificate and approves it. */
async function certified(as: Attacker, csr: string): Promise<Said> {
  const asked = await as.post(csrs, request(csr));
  if (asked.code === 403) return asked;
  const conditions = [{ type: 'Approved', status: 'True', reason: 'Attack', message: 'by its own hand' }];
  return as.patch(`${csrs}/attack/approval`, { status: { conditions } });
}

const loopMs = 10_000;

/** Deletes a binding of the guard over and over, and tries in between; ends when a try has got through. */
export async function inLoop(as: Attacker, guard: string, attempt: () => Promise<Said>): Promise<Said> {
  const until = performance.now() + loopMs;
  for (;;) {
    const deleted = await as.delete(binding(guard));
    if (deleted.code === 403) return deleted;
    const said = await attempt();
    if (said.code < 300 || performance.now() > until) return said;
  }
}

async function forge(as: Attacker, approval: string): Promise<Said> {
  await inLoop(as, 'stepup-guard', () => as.delete(gate));
  return inLoop(as, 'stepup-guard', () => as.patch(`${approval}/status`, approved));
}
