// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Approvals as they lie in etcd, made by the product's own code: filed, decided and at rest, so that the operator has
// nothing to write on them, each with the review that it covers.
import { randomUUID } from 'node:crypto';
import { parseReview } from '../../../src/api/admission-review.ts';
import type { StepUpApproval, StepUpDecision } from '../../../src/api/kinds.ts';
import { SealedReader } from '../../../src/api/sealed-reader.ts';
import { attemptOf, targetLabelOf } from '../../../src/domain/change/attempt.ts';
import { describe } from '../../../src/domain/change/describe.ts';
import { draftOf } from '../../../src/domain/filing/draft.ts';
import { previewOf } from '../../../src/domain/filing/preview.ts';
import { previewHeader } from '../../../src/domain/filing/preview-header.ts';
import { summaryOf } from '../../../src/domain/lifecycle/approval-status.ts';
import { plan } from '../../../src/domain/lifecycle/plan.ts';
import type { ApprovalStatus } from '../../../src/domain/model/approval.ts';
import { targetLabel } from '../../../src/domain/model/labels.ts';
import type { Policy } from '../../../src/domain/model/policy.ts';
import type { Seals } from '../../../src/domain/model/seal-check.ts';
import { withSealedCreation, withSealedDecision } from '../../../src/domain/seals/seal.ts';
import type { Json, JsonObject } from '../../../src/lib/json.ts';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import type { Review } from './review.ts';
import { systemNamespace } from './stepup-process.ts';

export interface Stored {
  readonly approval: StepUpApproval;
  /** Absent where nobody has decided. */
  readonly decision?: StepUpDecision;
  /** A request that it covers. */
  readonly review: object;
}

export interface Wanted {
  readonly namespace: string;
  /** Of the target, and part of the approval's name. */
  readonly name: string;
  readonly createdAt: Date;
  /** When one of group approvers approved it. */
  readonly decidedAt?: Date;
}

const apiVersion = 'stepup.dev/v1alpha1';
const own = `system:serviceaccount:${systemNamespace}:stepup`;
const previewKey = new Uint8Array(32);

/** The recorded review, about another Deployment. */
function reviewAbout(recorded: Review, { namespace, name }: Pick<Wanted, 'namespace' | 'name'>): JsonObject {
  const review = recorded as unknown as { request: Record<string, JsonObject> } & JsonObject;
  const about = (object: JsonObject = {}) => ({
    ...object,
    metadata: { ...(object.metadata as JsonObject), namespace, name, uid: `uid-${namespace}-${name}` },
  });
  const { object, oldObject } = review.request;
  const asked = { ...review.request, uid: randomUUID(), namespace, name };
  return { ...review, request: { ...asked, object: about(object), oldObject: about(oldObject) } } as JsonObject;
}

/** What is filed for a review, decided as wanted. */
export function stored(recorded: Review, policy: Policy, wanted: Wanted, seals: Seals): Stored {
  const { namespace, name, createdAt, decidedAt } = wanted;
  const review = reviewAbout(recorded, wanted);
  const parsed = parseReview(review as Json);
  if (!parsed.ok) throw new Error(`read the review: ${parsed.problems.join(', ')}`);
  const described = describe(parsed.request, policy, { selectorKeys: [] });
  if (described.kind !== 'Privileged') throw new Error(`describe the review: ${described.reason}`);
  const attempt = attemptOf(policy.metadata.name, parsed.request, described.change);
  const header = previewHeader(attempt, parsed.request, policy, { reason: undefined, ticket: undefined });
  const preview = previewOf(parsed.request, previewKey, header);
  const spec = withSealedCreation(namespace, draftOf(attempt, parsed.request, policy, preview, own), seals);
  const metadata = { ...metadataOf(`${policy.metadata.name}-${name}`, namespace, createdAt) };
  const filed: StepUpApproval = {
    apiVersion,
    kind: 'StepUpApproval',
    metadata: { ...metadata, labels: { [targetLabel]: targetLabelOf(spec) } },
    spec: JSON.parse(JSON.stringify(spec)) as StepUpApproval['spec'],
  };
  const decision = decidedAt === undefined ? undefined : approves(filed, decidedAt, seals);
  const reader = new SealedReader(seals);
  const planned = plan({
    approval: reader.approval(filed),
    decisions: decision === undefined ? [] : [reader.decision(decision)],
    policy,
    policies: [policy],
    siblings: [],
    seen: { kind: 'Nothing' },
    retentionSeconds: 86_400,
    now: decidedAt ?? createdAt,
  });
  const approval = { ...filed, status: statusOf(planned.status) };
  return { approval, review, ...(decision === undefined ? {} : { decision }) };
}

/** The same once it has been used: what remains for the time of keeping. */
export function spent({ approval }: Stored, endedAt: Date): StepUpApproval {
  const use = {
    ...{ attemptKey: `sha256:${'0'.repeat(64)}`, digest: approval.spec.change?.digest ?? '', digestVersion: 'v2' },
    ...{ base: { kind: 'Generation', uid: 'uid', generation: 1 }, reservedAt: endedAt.toISOString(), votes: ['ada'] },
  } as const;
  const status = {
    ...approval.status,
    phase: 'Consumed',
    evidence: 'Observed',
    endedAt: endedAt.toISOString(),
    uses: [use],
  };
  return { ...approval, status: statusOf(status as ApprovalStatus) };
}

/** Many like one, each with a name, a UID, a requester, a target and a digest of its own. */
export function* likeOne(
  { approval: one, decision }: Pick<Stored, 'approval' | 'decision'>,
  count: number,
  namespaceOf: (index: number) => string,
  seals: Seals,
): Generator<{ readonly approval: KubeObject; readonly decision?: KubeObject }> {
  const [text, voted] = [JSON.stringify(one), decision === undefined ? undefined : JSON.stringify(decision)];
  const { name: target = '' } = one.spec.action;
  for (let index = 0; index < count; index++) {
    const uid = randomUUID();
    const own: readonly (readonly [string, string])[] = [
      [one.metadata.uid, uid],
      [one.spec.change?.digest ?? '-', `sha256:${uid.replaceAll('-', '').repeat(2)}`],
      [one.spec.requester.username, `system:serviceaccount:teams:team-${index % 1000}`],
      [`:${one.metadata.namespace}/`, `:${namespaceOf(index)}/`],
      [`"${one.metadata.namespace}"`, `"${namespaceOf(index)}"`],
      [`\\"${one.metadata.namespace}\\"`, `\\"${namespaceOf(index)}\\"`],
      [target, `t-${uid.slice(19)}`],
    ];
    const renamed = (whole: string) => own.reduce((so, [from, to]) => so.replaceAll(from, to), whole);
    const approval = JSON.parse(renamed(text)) as StepUpApproval;
    const labels = { [targetLabel]: targetLabelOf(approval.spec) };
    const { namespace } = approval.metadata;
    const spec = withSealedCreation(namespace, approval.spec, seals);
    const status = { ...approval.status, summary: summaryOf(approval) };
    yield {
      approval: { ...approval, spec, metadata: { ...approval.metadata, labels }, status } as unknown as KubeObject,
      ...(voted === undefined ? {} : { decision: sealed(JSON.parse(renamed(voted)) as StepUpDecision, seals) }),
    };
  }
}

function sealed(decision: StepUpDecision, seals: Seals): KubeObject {
  const spec = withSealedDecision(decision.metadata.namespace, decision.spec, seals);
  return { ...decision, spec } as unknown as KubeObject;
}

function approves({ metadata, spec }: StepUpApproval, at: Date, seals: Seals): StepUpDecision {
  const digest = spec.change?.digest;
  const said: StepUpDecision['spec'] = {
    approval: { name: metadata.name, uid: metadata.uid, ...(digest === undefined ? {} : { digest }) },
    verdict: 'Approve',
    decidedBy: { username: 'ada', groups: ['approvers'] },
    kind: 'Human',
    decidedAt: at.toISOString(),
  };
  return {
    apiVersion,
    kind: 'StepUpDecision',
    metadata: {
      ...metadataOf(`${metadata.name}-ada`, metadata.namespace, at),
      // Without its owner: it is written first, and the garbage collector would find it orphaned.
      labels: { 'stepup.dev/approval': metadata.uid },
    },
    spec: withSealedDecision(metadata.namespace, said, seals),
  };
}

function metadataOf(name: string, namespace: string, createdAt: Date) {
  // Whole seconds, as the API server writes them.
  const creationTimestamp = `${createdAt.toISOString().slice(0, 19)}Z`;
  return { name, namespace, uid: randomUUID(), creationTimestamp, generation: 1, resourceVersion: '' };
}

function statusOf(status: ApprovalStatus | undefined): NonNullable<StepUpApproval['status']> {
  return JSON.parse(JSON.stringify(status ?? {})) as NonNullable<StepUpApproval['status']>;
}
