// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Valid objects of the domain; a test overrides only what it is about.

import { type Attempt, attemptOf } from '../../../src/domain/change/attempt.ts';
import type { Change, ChangeContext } from '../../../src/domain/change/change.ts';
import { changeOf } from '../../../src/domain/change/change-of.ts';
import { describe, describer } from '../../../src/domain/change/describe.ts';
import { type CoverageRow, rowsFor } from '../../../src/domain/coverage/coverage.ts';
import type { Question } from '../../../src/domain/decision/candidate.ts';
import { decide, type Outcome } from '../../../src/domain/decision/decide.ts';
import { draftOf } from '../../../src/domain/filing/draft.ts';
import type { Plan, Situation } from '../../../src/domain/lifecycle/plan.ts';
import { plan } from '../../../src/domain/lifecycle/plan.ts';
import type { Approval, ApprovalStatus, Decision } from '../../../src/domain/model/approval.ts';
import type { Labels } from '../../../src/domain/model/label-selector.ts';
import type { Action, Policy, PolicySpec } from '../../../src/domain/model/policy.ts';
import type { AdmissionRequest, Requester } from '../../../src/domain/model/request.ts';
import { isObject, type Json, type JsonObject } from '../../../src/lib/json.ts';

export const start = new Date('2026-01-01T12:00:00Z');

// The instants of a test's approval, in seconds after it is filed. Written out, so that a test notices when a default
// of the product changes.
/** A vote is cast. */
export const voteSeconds = 60;
/** A request is decided, and an approval looked at. */
export const decisionSeconds = 120;
/** For so long an approval can be used after its vote. */
export const useSeconds = 900;
/** For so long an approval waits for votes. */
export const pendingSeconds = 3600;
/** For so long an ended approval is kept. */
export const retentionSeconds = 3600;
/** For so long a request that was admitted may still write. */
export const requestCapSeconds = 34;

/** So many seconds after an approval is filed. */
export function at(seconds: number): Date {
  return new Date(start.getTime() + seconds * 1000);
}

export const context: ChangeContext = { selectorKeys: [] };

export const deploys: Action = {
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  apiGroups: ['apps'],
  resources: ['deployments'],
  fields: ['/spec/template', '/spec/replicas'],
  digestIgnore: ['/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt'],
};

export function policy(spec: Partial<PolicySpec> = {}, name = 'production-deploys'): Policy {
  return {
    metadata: { name, uid: `uid-${name}`, generation: 3 },
    spec: {
      actions: [deploys],
      approval: { require: [{ name: 'approvers', count: 1, approvers: { groups: ['approvers'] } }] },
      ...spec,
    },
    status: { conditions: [{ type: 'Ready', status: 'True', observedGeneration: 3 }] },
  };
}

export const deployer: Requester = {
  username: 'system:serviceaccount:ci:deployer',
  uid: 'uid-deployer',
  groups: ['system:serviceaccounts'],
};

/** A copy with the value at a path of keys replaced; undefined removes it. */
export function set(object: JsonObject, path: readonly string[], value: Json | undefined): JsonObject {
  const [key = '', ...rest] = path;
  const { [key]: old, ...others } = object;
  if (rest.length === 0) return value === undefined ? others : { ...object, [key]: value };
  const child = isObject(old) ? old : {};
  return { ...object, [key]: set(child, rest, value) };
}

export function deployment(image = 'web:1', generation = 1): JsonObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'prod', uid: 'uid-web', resourceVersion: String(100 + generation), generation },
    spec: {
      replicas: 3,
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }] } },
    },
    status: { replicas: 3 },
  };
}

/** deployer sets the image web:2 in prod/web. */
export function request(overrides: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    uid: 'review-1',
    operation: 'UPDATE',
    group: 'apps',
    version: 'v1',
    kind: 'Deployment',
    resource: 'deployments',
    subresource: '',
    namespace: 'prod',
    name: 'web',
    requester: deployer,
    dryRun: false,
    oldObject: deployment('web:1', 1),
    object: deployment('web:2', 2),
    ...overrides,
  };
}

export function creation(object: JsonObject, overrides: Partial<AdmissionRequest> = {}): AdmissionRequest {
  const { oldObject: _, ...rest } = request({ operation: 'CREATE', object, ...overrides });
  return rest;
}

export function deletion(oldObject: JsonObject, overrides: Partial<AdmissionRequest> = {}): AdmissionRequest {
  const { object: _, ...rest } = request({ operation: 'DELETE', oldObject, ...overrides });
  return rest;
}

export function attempt(asked = request(), under = policy(), given = context): Attempt {
  const described = describe(asked, under, given);
  if (described.kind !== 'Privileged') throw new Error(`not privileged: ${described.kind} ${described.reason}`);
  return attemptOf(under.metadata.name, asked, described.change);
}

/** The change a request is by its own action; the word for it when it is harmless. */
export function change(asked: AdmissionRequest, action: Action = deploys, given = context) {
  const row: CoverageRow = { ...action, shape: 'Action', reach: 'Selected', action };
  return changeOf(row, asked, given);
}

export function privileged(asked: AdmissionRequest, action: Action = deploys, given = context): Change {
  const found = change(asked, action, given);
  if (typeof found === 'string') throw new Error(`harmless: ${found}`);
  return found;
}

/** The approval that is filed for a request. */
export function approval(
  asked = request(),
  under = policy(),
  overrides: {
    name?: string;
    uid?: string;
    spec?: Partial<Approval['spec']>;
    status?: ApprovalStatus;
    created?: Date;
  } = {},
): Approval {
  const { name = 'production-deploys-1', uid = 'uid-approval-1', created = start } = overrides;
  const preview = { diff: '', truncated: false };
  return sealed({
    metadata: { name, namespace: 'prod', uid, resourceVersion: '500', creationTimestamp: created.toISOString() },
    spec: { ...draftOf(attempt(asked, under), asked, under, preview, 'stepup'), ...overrides.spec },
    ...(overrides.status === undefined ? {} : { status: overrides.status }),
  });
}

/** The approval with a seal on all that needs one. */
export function sealed(of: Omit<Approval, 'seals'>): Approval {
  const releases = (of.status?.releases ?? []).map(() => 'Sealed' as const);
  return { ...of, seals: { creation: 'Sealed', releases, preview: 'Sealed' } };
}

/** What stamping writes on an approval that somebody applies by hand, by default alice, an approver. */
export function byHand(username = 'alice', nonce = 'nonce-1', stampedAt = start): Partial<Approval['spec']> {
  return {
    origin: 'Applied',
    createdBy: { username, groups: ['approvers'], stampedAt: stampedAt.toISOString(), nonce },
  };
}

/** alice, of group approvers, approves. */
export function word(on: Approval, spec: Partial<Decision['spec']> = {}, uid = 'uid-word-1'): Decision {
  const digest = on.spec.change?.digest;
  const { name, uid: of } = on.metadata;
  return {
    metadata: { name: uid, namespace: on.metadata.namespace, uid, creationTimestamp: at(voteSeconds).toISOString() },
    spec: {
      approval: { name, uid: of, ...(digest === undefined ? {} : { digest }) },
      verdict: 'Approve',
      decidedBy: { username: 'alice', groups: ['approvers'] },
      decidedAt: at(voteSeconds).toISOString(),
      ...spec,
    },
    seal: 'Sealed',
  };
}

export interface Case {
  readonly request?: AdmissionRequest;
  readonly policy?: Policy;
  readonly policies?: readonly Policy[];
  readonly approvals?: readonly Approval[];
  readonly words?: readonly Decision[];
  readonly context?: ChangeContext;
  readonly seconds?: number;
  readonly isLive?: boolean;
  readonly watchedSince?: Date;
  readonly namespaceLabels?: Labels;
  readonly refusedFor?: readonly string[];
  readonly autoOpen?: ReadonlySet<string>;
}

export function question(given: Case = {}): Question {
  const { request: asked = request(), policy: under = policy(), context: of = context } = given;
  const { approvals = [], words = [], seconds = decisionSeconds, policies = [under], isLive = true } = given;
  const { namespaceLabels, refusedFor, watchedSince, autoOpen } = given;
  const view = { approvals, decisions: words, isLive, ...(watchedSince === undefined ? {} : { watchedSince }) };
  return {
    request: asked,
    attempt: attempt(asked, under, of),
    policy: under,
    policies,
    describeUnder: describer(asked, of.live),
    view,
    ownNamespace: 'stepup-system',
    ...(namespaceLabels === undefined ? {} : { namespaceLabels }),
    ...(refusedFor === undefined ? {} : { refusedFor: new Set(refusedFor) }),
    ...(autoOpen === undefined ? {} : { autoOpen }),
    now: at(seconds),
  };
}

export function decided(given: Case = {}): Outcome {
  return decide(question(given));
}

/** Outcome and reason alone, for tables. */
export function answer(given: Case = {}): string {
  const { outcome, reason } = decided(given);
  return `${outcome} ${reason}`;
}

/** The approval as it is stored once a case has reserved it. */
export function reserved(given: Case): Approval {
  const decision = decided(given);
  if (decision.outcome !== 'Allowed' || decision.reason !== 'Reserved')
    throw new Error(`not reserved: ${decision.reason}`);
  return sealed({ ...decision.approval, status: decision.status });
}

export function situation(on: Approval, overrides: Partial<Situation> = {}): Situation {
  const under = overrides.policy ?? policy();
  return {
    approval: on,
    decisions: [],
    policy: under,
    policies: [under],
    siblings: [],
    seen: { kind: 'Nothing' },
    retentionSeconds,
    now: at(decisionSeconds),
    ...overrides,
  };
}

/** The approval after its plan has been written, as the API server gives it back. */
export function written(on: Approval, planned: Plan): Approval {
  return planned.status === undefined ? on : sealed({ ...on, status: JSON.parse(JSON.stringify(planned.status)) });
}

export { plan, rowsFor };
