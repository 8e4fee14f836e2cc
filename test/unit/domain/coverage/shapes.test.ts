// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The equivalent requests that are added to a policy, each with what it refuses and what it lets pass.
import { describe, expect, test } from 'vitest';
import { describe as described } from '../../../../src/domain/change/describe.ts';
import { lastApplied } from '../../../../src/domain/change/last-applied.ts';
import { coverageOf } from '../../../../src/domain/coverage/coverage.ts';
import type { Action, Policy } from '../../../../src/domain/model/policy.ts';
import type { AdmissionRequest } from '../../../../src/domain/model/request.ts';
import { exemptionOf, isExemptNamespace, type Subjects } from '../../../../src/domain/model/subject.ts';
import type { Json, JsonObject } from '../../../../src/lib/json.ts';
import {
  attempt,
  context,
  creation,
  deletion,
  deployment,
  deploys,
  policy,
  request,
  set,
} from '../../../support/builders/domain.ts';

const exec: Action = { operations: ['CONNECT'], apiGroups: [''], resources: ['pods/exec'] };
const tokens: Action = { operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'] };
const accounts: Action = { operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts'] };
const whole: Action = { operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: ['apps'], resources: ['deployments'] };
const onlyDeletion: Action = { ...whole, operations: ['DELETE'] };
const csr = { group: 'certificates.k8s.io', resource: 'certificatesigningrequests', namespace: '', name: 'c' };

/** What the policy makes of a request: the reason for which it passes or is refused, or its operation. */
function outcome(asked: AdmissionRequest, under: Policy): string {
  const found = described(asked, under, context);
  return found.kind === 'Privileged' ? `needs approval to ${found.change.operation}` : found.reason;
}

const connect = (resource: string, subresource: string, object: JsonObject = {}) =>
  creation(object, { operation: 'CONNECT', group: '', resource, subresource, name: 'web-1' });
const token = (spec: JsonObject, more: Partial<AdmissionRequest> = {}) =>
  creation({ kind: 'TokenRequest', spec }, { group: '', resource: 'serviceaccounts', subresource: 'token', ...more });
const annotated = (key: string, value: Json, object = deployment()) =>
  set(object, ['metadata', 'annotations', key], value);
const applied = 'kubectl.kubernetes.io/last-applied-configuration';

describe('CONNECT', () => {
  const under = policy({ actions: [exec] });
  const equivalents: readonly (readonly [string, string])[] = [
    ['pods', 'exec'],
    ['pods', 'attach'],
    ['pods', 'portforward'],
    ['pods', 'proxy'],
    ['services', 'proxy'],
    ['nodes', 'proxy'],
  ];
  test.each(equivalents)('to %s/%s needs approval where exec does', (resource, subresource) => {
    expect(outcome(connect(resource, subresource), under)).toBe('needs approval to CONNECT');
  });
  test('to the logs of a pod is no door', () => {
    expect(outcome(connect('pods', 'log'), under)).toBe('NotReady');
  });
  test('to nodes reaches pods of every namespace, so no selector limits it', () => {
    const selecting = policy({ actions: [exec], namespaceSelector: { matchLabels: { a: 'b' } } });
    const row = coverageOf(selecting).find(({ resources }) => resources.includes('nodes/proxy'));
    expect(row?.reach).toBe('ClusterScoped');
  });
  test('binds command, container and path, and is re-admitted in the same round trip only', () => {
    const digest = (object: JsonObject) => attempt(connect('pods', 'exec', object), under).change.digest;
    const one = { command: ['ls'], container: 'a', stdin: true };
    expect(digest({ ...one })).toBe(digest(one));
    const others = [
      { ...one, command: ['rm'] },
      { ...one, container: 'b' },
      { ...one, path: '/x' },
    ];
    expect(new Set([one, ...others].map(digest)).size).toBe(4);
    expect(attempt(connect('pods', 'exec', one), under).change.base).toEqual({
      kind: 'Request',
      requestUID: 'review-1',
    });
  });
});

describe('a token', () => {
  const under = policy({ actions: [tokens] });
  const digest = (spec: JsonObject) => attempt(token(spec), under).change.digest;
  const one = { audiences: ['a', 'b'], expirationSeconds: 600, boundObjectRef: { kind: 'Pod', name: 'p', uid: 'u' } };
  test('is the same whatever the order of its audiences and the name of its request', () => {
    expect(digest({ ...one, audiences: ['b', 'a'] })).toBe(digest(one));
  });
  test('is another one for another audience, life or object', () => {
    const others = [
      { ...one, audiences: ['a'] },
      { ...one, expirationSeconds: 601 },
      { ...one, boundObjectRef: { kind: 'Pod', name: 'p', uid: 'other' } },
    ];
    expect(new Set([one, ...others].map(digest)).size).toBe(4);
  });
  const capped = policy({ actions: [{ ...tokens, maxTokenSeconds: 3600 }] });
  const rows: readonly (readonly [string, string, JsonObject])[] = [
    ['as long as the cap', 'needs approval to CREATE', { expirationSeconds: 3600 }],
    ['longer than the cap', 'TokenTooLong', { expirationSeconds: 3601 }],
    ['of the default life', 'needs approval to CREATE', {}],
    ['of no life that can be read', 'TokenTooLong', { expirationSeconds: 'long' }],
  ];
  test.each(rows)('%s: %s', (_, want, spec) => {
    expect(outcome(token(spec), capped)).toBe(want);
  });
  test('that Kubernetes writes into a Secret has no end, so no cap allows it', () => {
    const secrets = { group: '', resource: 'secrets', name: 's' };
    const secret = (account: string, type = 'kubernetes.io/service-account-token'): JsonObject => ({
      type,
      metadata: { name: 's', uid: 'u', annotations: { 'kubernetes.io/service-account.name': account } },
    });
    const changed = (account: string, more: JsonObject = {}) =>
      request({ ...secrets, oldObject: secret('robot'), object: { ...secret(account), ...more } });
    expect(outcome(creation(secret('robot'), secrets), capped)).toBe('TokenTooLong');
    expect(outcome(creation(secret('robot'), secrets), under)).toBe('needs approval to CREATE');
    expect(outcome(creation(secret('robot', 'Opaque'), secrets), capped)).toBe('OutsideFields');
    expect(outcome(changed('admin'), capped)).toBe('TokenTooLong');
    expect(outcome(changed('robot', { data: { a: 'b' } }), capped)).toBe('OutsideFields');
  });
  test('for a pod that asks for 3607 s lives a year', () => {
    const day = policy({ actions: [{ ...tokens, maxTokenSeconds: 86_400 }] });
    const spec = { expirationSeconds: 3607 };
    expect(outcome(token(spec), day)).toBe('needs approval to CREATE');
    expect(outcome(token({ ...spec, boundObjectRef: { kind: 'Pod', name: 'p' } }), day)).toBe('TokenTooLong');
  });
});

describe('a policy that governs the making of identities', () => {
  const under = policy({ actions: [accounts], namespaceSelector: { matchLabels: { a: 'b' } } });
  const certificate = { metadata: { name: 'c', uid: 'u', resourceVersion: '1' }, spec: { request: 'pem' } };
  const approved = (when: string, type = 'Approved') => ({
    ...certificate,
    status: { conditions: [{ type, status: 'True', lastUpdateTime: when, lastTransitionTime: when }] },
  });
  const approval = (when: string, type?: string) =>
    request({ ...csr, subresource: 'approval', oldObject: certificate, object: approved(when, type) });
  const secrets = { group: '', resource: 'secrets', name: 's' };
  const tokenSecret = (account: string): JsonObject => ({
    metadata: { uid: 'u', resourceVersion: '1', annotations: { 'kubernetes.io/service-account.name': account } },
    type: 'kubernetes.io/service-account-token',
  });
  const toAccount = (account: string) =>
    request({ ...secrets, oldObject: tokenSecret('robot'), object: { ...tokenSecret(account), data: { a: 'b' } } });
  const rows: readonly (readonly [string, string, AdmissionRequest])[] = [
    ['a request for a certificate', 'needs approval to CREATE', creation(certificate, csr)],
    ['its approval', 'needs approval to UPDATE', approval('1')],
    ['a token', 'needs approval to CREATE', token({})],
    ['a pod elsewhere', 'needs approval to CREATE', creation(deployment(), { group: '', resource: 'pods' })],
    ['a Secret of a token', 'needs approval to CREATE', creation(tokenSecret('robot'), secrets)],
    ['a Secret of a token that becomes another account’s', 'needs approval to UPDATE', toAccount('admin')],
    ['a Secret of a token that stays its account’s', 'OutsideFields', toAccount('robot')],
    ['a Secret of no token', 'OutsideFields', creation({ ...tokenSecret('robot'), type: 'Opaque' }, secrets)],
    ['a label on a request for a certificate', 'NotReady', request({ ...csr })],
    ['a new ConfigMap', 'NotReady', creation({}, { group: '', resource: 'configmaps' })],
  ];
  test.each(rows)('%s: %s', (_, want, asked) => {
    expect(outcome(asked, under)).toBe(want);
  });
  test('knows an approval of a certificate again at another instant, and not a denial', () => {
    const digest = (asked: AdmissionRequest) => attempt(asked, under).change.digest;
    expect(digest(approval('2'))).toBe(digest(approval('1')));
    expect(digest(approval('1', 'Denied'))).not.toBe(digest(approval('1')));
  });
  const subjects: Subjects = {
    include: [{ kind: 'ServiceAccount', namespace: 'ci-*', name: '*' }],
    exclude: [{ kind: 'ServiceAccount', namespace: 'ci-1', name: 'trusted' }],
  };
  const namespaces: readonly (readonly [string, boolean, Subjects | undefined])[] = [
    ['kube-system', true, undefined],
    ['stepup-system', true, undefined],
    ['ci-1', false, undefined],
    ['ci-1', true, subjects],
    ['ci-2', false, subjects],
    ['dev', true, subjects],
    ['dev', true, { exclude: [{ kind: 'User', name: 'system:serviceaccount:dev:*' }] }],
    ['prod', false, { exclude: [{ kind: 'User', name: 'system:serviceaccount:dev:*' }] }],
    ['dev', true, { exclude: [{ kind: 'Group', name: 'system:serviceaccounts:dev' }] }],
    ['dev', true, { exclude: [{ kind: 'User', name: 'system:*' }] }],
    ['dev', false, { include: [{ kind: 'Group', name: 'system:serviceaccounts' }] }],
  ];
  test.each(namespaces)('%s has accounts that are left alone: %s, %j', (namespace, want, whom) => {
    expect(isExemptNamespace(exemptionOf(whom, 'stepup-system'), namespace)).toBe(want);
  });
});

describe('condition labels', () => {
  const labelled = policy({
    actions: [deploys],
    conditions: [{ name: 'tier', expression: "oldObject == null || oldObject.metadata.labels['tier'] == 'a'" }],
  });
  const tier = (value: Json | undefined, object = deployment()) => set(object, ['metadata', 'labels', 'tier'], value);
  const update = (from: JsonObject, to: JsonObject) => request({ oldObject: from, object: to });
  test('taken away or changed need approval, other labels do not', () => {
    expect(outcome(update(tier('a'), tier(undefined)), labelled)).toBe('needs approval to UPDATE');
    expect(outcome(update(tier('a'), tier('b')), labelled)).toBe('needs approval to UPDATE');
    const other = set(tier('a'), ['metadata', 'labels', 'more'], 'x');
    expect(outcome(update(tier('a'), other), labelled)).toBe('OutsideFields');
    expect(attempt(update(tier('a'), tier('b')), labelled).change.fields).toEqual(['/metadata/labels/tier']);
  });
  test('taken away by …/status need approval too', () => {
    expect(outcome(request({ subresource: 'status', oldObject: tier('a'), object: tier(undefined) }), labelled)).toBe(
      'needs approval to UPDATE',
    );
  });
  const naming = (more: Partial<Action> = {}) => {
    const fields = ['/spec/template', '/metadata/labels/tier'];
    return policy({ ...labelled.spec, actions: [{ ...deploys, fields, ...more }] });
  };
  const both = update(tier('a'), tier(undefined, deployment('web:2', 2)));
  test('that the action names among its fields are one effect with the others', () => {
    expect(outcome(both, naming())).toBe('needs approval to UPDATE');
    expect(attempt(both, naming()).change.fields).toEqual(['/metadata/labels/tier', '/spec/template']);
    expect(outcome(update(tier('a'), tier(undefined)), naming())).toBe('needs approval to UPDATE');
    expect(outcome({ ...both, subresource: 'status' }, naming()), 'by another way').toBe('needs approval to UPDATE');
  });
  test.each<readonly [string, Partial<Action>]>([
    ['does not bind', { digestIgnore: ['/metadata/labels'] }],
    ['does not name all of', { fields: ['/spec/template', '/metadata/labels/tier/x'] }],
  ])('that the action %s stay an effect of their own', (_, more) => {
    expect(outcome(both, naming(more))).toBe('SeveralEffects');
  });
  test('taken away along with a governed field are two effects', () => {
    expect(outcome(update(tier('a'), tier(undefined, deployment('web:2', 2))), labelled)).toBe('SeveralEffects');
  });
});

describe('one action row that covers the whole object', () => {
  const under = policy({ actions: [whole] });
  const owned = set(deployment(), ['metadata', 'ownerReferences'], [{ kind: 'X', name: 'x', uid: 'u' }]);
  test('covers a change of owners along with any other', () => {
    const both = set(owned, ['spec', 'replicas'], 5);
    expect(outcome(request({ oldObject: deployment(), object: owned }), under)).toBe('needs approval to UPDATE');
    expect(outcome(request({ oldObject: deployment(), object: both }), under)).toBe('needs approval to UPDATE');
  });
  test('does not where the digest ignores metadata', () => {
    const ignoring = policy({ actions: [{ ...whole, digestIgnore: ['/metadata/ownerReferences'] }] });
    expect(outcome(request({ oldObject: deployment(), object: owned }), ignoring)).toBe('SeveralEffects');
  });
  test('covers a Namespace that loses the label which selects it', () => {
    const namespaces = policy({
      actions: [{ operations: ['UPDATE'], apiGroups: [''], resources: ['namespaces'] }],
      namespaceSelector: { matchLabels: { a: 'b' } },
    });
    const labelled = (labels: JsonObject): JsonObject => ({
      metadata: { name: 'n', uid: 'u', resourceVersion: '1', labels },
    });
    const asked = request({ group: '', resource: 'namespaces', oldObject: labelled({ a: 'b' }), object: labelled({}) });
    expect(outcome(asked, namespaces)).toBe('needs approval to UPDATE');
  });
});

describe('…/finalize', () => {
  const under = policy({ actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['namespaces'] }] });
  const going = (finalizers: readonly string[], deletionTimestamp?: string): JsonObject => ({
    metadata: {
      name: 'n',
      uid: 'u',
      resourceVersion: '1',
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec: { finalizers },
  });
  const finalize = (oldObject: JsonObject, object: JsonObject) =>
    request({ group: '', resource: 'namespaces', subresource: 'finalize', oldObject, object });
  test('that lets a dying Namespace go is its deletion', () => {
    expect(outcome(finalize(going(['kubernetes'], 't'), going([], 't')), under)).toBe('needs approval to DELETE');
  });
  test('of a living one is not', () => {
    expect(outcome(finalize(going(['kubernetes']), going([])), under)).toBe('OutsideFields');
  });
});

describe("kubectl's record of what was applied", () => {
  const record = (value: Json) => annotated(applied, typeof value === 'string' ? value : JSON.stringify(value));
  const update = (to: JsonObject) => request({ oldObject: record({ spec: { replicas: 1 } }), object: to });
  const both = [policy({ actions: [whole] }), policy({ actions: [deploys] })];
  const honest = {
    apiVersion: 'apps/v1',
    metadata: { name: 'web', creationTimestamp: null, annotations: {} },
    spec: { replicas: 3, template: { spec: { containers: [{ image: 'web:1' }] } }, strategy: {} },
    status: {},
  };
  test('may change to what the object says', () => {
    expect(both.map((under) => outcome(update(record(honest)), under))).toEqual(['NoChange', 'OutsideFields']);
    expect(
      both.map((under) => outcome(update(deployment()), under)),
      'or go',
    ).toEqual(['NoChange', 'OutsideFields']);
  });
  test.each<readonly [string, Json]>([
    ['another value', { spec: { replicas: 4 } }],
    ['a field that is not there', { spec: { template: { spec: { hostNetwork: true } } } }],
    ['no JSON', '{'],
    ['no object', '[]'],
  ])('may not change to %s', (_, value) => {
    const want = 'needs approval to UPDATE';
    expect(both.map((under) => outcome(update(record(value)), under))).toEqual([want, want]);
    const fields = both.map((under) => attempt(update(record(value)), under).change.fields);
    expect(fields).toEqual([[lastApplied], [lastApplied]]);
  });
  test('may not say it under a key that JSON.parse reads as another (nodejs/node#63785)', () => {
    // After the former, JSON.parse takes the latter for it, which says nothing about spec.
    JSON.parse('{"unused":0,"\\\\u00":0}');
    const hidden = record('{"unused":0,"\\u0073pec":{"replicas":4}}');
    const want = 'needs approval to UPDATE';
    expect(both.map((under) => outcome(update(hidden), under))).toEqual([want, want]);
  });
});

describe('annotations of the deployment controller', () => {
  const revision = 'deployment.kubernetes.io/revision';
  const things: Action = { ...whole, apiGroups: ['example.dev'], resources: ['things'] };
  test('are noise on Deployments and content elsewhere', () => {
    const change = { oldObject: deployment(), object: annotated(revision, '2') };
    expect(outcome(request(change), policy({ actions: [whole] }))).toBe('NoChange');
    const elsewhere = request({ ...change, group: 'example.dev', resource: 'things' });
    expect(outcome(elsewhere, policy({ actions: [things] }))).toBe('needs approval to UPDATE');
  });
});

test('an item of a deletecollection is known by its old object, each by its own', () => {
  const under = policy({ actions: [onlyDeletion] });
  const item = (name: string, uid: string) =>
    attempt(deletion({ metadata: { name, uid, resourceVersion: '1' } }, { name: '' }), under);
  const [one, other] = [item('a', 'u1'), item('b', 'u2')];
  expect([one.action.name, other.action.name]).toEqual(['a', 'b']);
  expect(one.targetKey).not.toBe(other.targetKey);
});
