// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What admission writes on approvals and votes that people create, and which of them it rejects.

import { isObject, type Json, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import { isNameOfAttempt, targetLabelOf } from '../change/attempt.ts';
import { digestVersion, isKnownVersion, previousDigestVersion } from '../change/change-digest.ts';
import { hasTargetChanged } from '../lifecycle/target-drift.ts';
import { type Approval, type ApprovalAction, type Decision, isEnded, type Verdict } from '../model/approval.ts';
import { after } from '../model/deadlines.ts';
import { approvalLabel, targetLabel } from '../model/labels.ts';
import { ownedBy } from '../model/owners.ts';
import { grantOf, type Policy, requestRulesOf } from '../model/policy.ts';
import { deniedReasons } from '../model/reason.ts';
import type { Operation, Requester } from '../model/request.ts';
import type { Seen } from '../model/seen.ts';
import { exposedTo, requesterOf, stampOf, unabridged } from '../model/stamp.ts';
import { objectionTo } from '../votes/eligibility.ts';
import { objectionToExposure } from '../votes/exposure.ts';
import { tally } from '../votes/tally.ts';
import type { Tally } from '../votes/vote.ts';
import type { Right } from './rbac-verb.ts';
import { mismatchOf, type Speakers, speakersOf } from './speakers.ts';
import { changeToStore, requesterToStore, ttlToStore } from './submitted-spec.ts';

/** What becomes of an object that somebody creates. */
export type Stamping =
  | {
      readonly kind: 'Stamped';
      /** The whole spec to store. */
      readonly spec: JsonObject;
      /** Labels to set; others stay. */
      readonly labels: Readonly<Record<string, string>>;
      /** The object to be owned by, with which this one goes. */
      readonly owner?: { readonly name: string; readonly uid: string };
      readonly warnings: readonly string[];
    }
  /** message: one sentence, without full stop. */
  | { readonly kind: 'Refused'; readonly message: string };

export interface SubmittedApproval {
  readonly object: JsonObject;
  readonly namespace: string;
  readonly caller: Requester;
  /** The policy it names; absent when there is none of that name. */
  readonly policy?: Policy;
  readonly policies: readonly Policy[];
  /** Where approvals of cluster-scoped targets live. */
  readonly ownNamespace: string;
  readonly now: Date;
  /** Drawn for this object alone. */
  readonly nonce: string;
  /** Undecided approvals under the policy that the caller would be the requester of. */
  readonly pending: number;
  /** What RBAC says of the caller's verb on the policy. */
  readonly right: Right;
  /** Whom the requesting account names as its owners, read live. */
  readonly owners: readonly string[];
  /** What the requester may do to speak as the caller, in words. */
  readonly requesterMay?: string | undefined;
}

export interface SubmittedDecision {
  readonly object: JsonObject;
  readonly namespace: string;
  readonly caller: Requester;
  /** The approval of the name it gives in its namespace, read live; absent when there is none. */
  readonly approval?: Approval;
  /** The words about the approval so far. */
  readonly decisions: readonly Decision[];
  /** The policy of the approval; absent when there is none of that name. */
  readonly policy?: Policy;
  readonly policies: readonly Policy[];
  readonly now: Date;
  /** What RBAC says of the caller's verb on the policy. */
  readonly right: Right;
  /** Whom the requesting account names as its owners, read live. */
  readonly owners: readonly string[];
  readonly requesterMay?: string | undefined;
  /** What was seen of the approval's target just now. */
  readonly seen: Seen;
}

const copySentence = 'this is a copy of another approval; leave status, createdBy and origin out';
const nameSentence = 'metadata.name: names of this form are for approvals that stepup files; choose another one';

function refused(message: string): Stamping {
  return { kind: 'Refused', message };
}

export function stampApproval(submitted: SubmittedApproval): Stamping {
  const { object, namespace, caller, policy, policies, ownNamespace, now, nonce, right, owners } = submitted;
  const read = claimOf(object);
  if (typeof read === 'string') return refused(read);
  const { action, username, spec } = read;

  const status = valueAt(object, '/status');
  if (isObject(status) && Object.keys(status).length > 0) return refused(copySentence);
  const claimed = textAt(spec, '/createdBy/username');
  const isStamped =
    valueAt(spec, '/createdBy/nonce') !== undefined || valueAt(spec, '/createdBy/stampedAt') !== undefined;
  if (spec.use !== undefined || (spec.createdBy !== undefined && (isStamped || claimed !== caller.username)))
    return refused(copySentence);
  if (policy === undefined) return refused(`there is no StepUpPolicy ${read.policyName}; correct spec.policy.name`);

  const home = (action.namespace ?? '') || ownNamespace;
  if (namespace !== home) return refused(homeSentence(action, home));
  const unbound = problemOfBinding(spec, policy);
  if (unbound !== undefined) return refused(unbound);

  const origin = caller.username === username ? 'Asked' : 'Applied';
  if (origin === 'Applied') {
    const objection =
      objectionTo(unabridged(caller), { spec: { requester: { username, owners } } }, policy, policies) ??
      objectionToExposure(exposedTo(stampOf(caller, policies), submitted.requesterMay), policy);
    if (objection !== undefined) return refused(objection);
    if (!right.isGranted) return refused(right.why);
  }
  if (spec.origin !== undefined && spec.origin !== origin) return refused(copySentence);
  // Under the name that somebody else's refused request will print, it would be approved in its place.
  const names = policies.map(({ metadata }) => metadata.name);
  if (isNameOfAttempt(textAt(object, '/metadata/name'), names)) return refused(nameSentence);
  if (origin === 'Asked' && submitted.pending >= requestRulesOf(policy).maxPendingPerRequester) {
    return refused(`${deniedReasons.TooManyPending}; have some decided, or wait until they time out`);
  }

  const labels = { [targetLabel]: targetLabelOf({ requester: { username }, action }) };
  return {
    kind: 'Stamped',
    spec: {
      ...spec,
      policy: { name: read.policyName, uid: policy.metadata.uid, generation: policy.metadata.generation },
      requester:
        origin === 'Asked'
          ? requesterToStore(requesterOf(caller), owners, caller.node)
          : requesterToStore(spec.requester, owners, undefined),
      change: changeToStore(spec.change),
      ttlSeconds: ttlToStore(spec.ttlSeconds, policy),
      origin,
      createdBy: {
        ...exposedTo(stampOf(caller, policies), submitted.requesterMay),
        stampedAt: now.toISOString(),
        nonce,
      },
    },
    labels,
    warnings: origin === 'Asked' ? [] : votesWarning(submitted, spec, policy),
  };
}

/** The members of the spec that stamping hangs on, or a sentence on what is wrong with them. */
function claimOf(object: JsonObject) {
  const spec = object.spec;
  if (!isObject(spec)) return 'spec: must be an object';
  const policyName = textAt(spec, '/policy/name');
  const username = textAt(spec, '/requester/username');
  if (policyName === '') return 'spec.policy.name: must name a StepUpPolicy';
  if (username === '') return 'spec.requester.username: must be the user who can use the approval';
  const action = actionOf(spec.action);
  if (typeof action === 'string') return action;
  return { spec, policyName, username, action };
}

const operations: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

function actionOf(value: Json | undefined): ApprovalAction | string {
  if (!isObject(value)) return 'spec.action: must be an object';
  const wrong = Object.entries(value).find(([, member]) => member !== undefined && typeof member !== 'string');
  if (wrong !== undefined) return `spec.action.${wrong[0]}: must be a string`;
  const operation = operations.find((one) => one === value.operation);
  if (operation === undefined) return `spec.action.operation: must be one of ${operations.join(', ')}`;
  const missing = ['version', 'resource', 'name'].find((name) => textAt(value, `/${name}`) === '');
  if (missing !== undefined) return `spec.action.${missing}: must not be empty`;
  const action = {
    operation,
    group: textAt(value, '/group'),
    version: textAt(value, '/version'),
    resource: textAt(value, '/resource'),
    subresource: textAt(value, '/subresource'),
    namespace: textAt(value, '/namespace'),
    name: textAt(value, '/name'),
  };
  if (action.group === '' && action.resource === 'namespaces' && action.namespace !== '') {
    return 'spec.action.namespace: a Namespace is cluster-scoped; leave it out';
  }
  return action;
}

function homeSentence(action: ApprovalAction, home: string): string {
  const targets = action.namespace ? `targets in namespace ${action.namespace}` : 'cluster-scoped targets';
  return `approvals for ${targets} belong in namespace ${home}; create it there`;
}

/** Why the approval binds to too little or to what is not known, undefined when it does not. */
function problemOfBinding(spec: JsonObject, policy: Policy): string | undefined {
  const version = valueAt(spec, '/change/digestVersion');
  if (version !== undefined && !isKnownVersion(version)) {
    return `spec.change.digestVersion: must be ${digestVersion}, the default, or ${previousDigestVersion}`;
  }
  if (valueAt(spec, '/change/digest') !== undefined || grantOf(policy).binding === 'Target') return undefined;
  return (
    `policy ${policy.metadata.name} binds approvals to the exact content, so spec.change.digest is required: ` +
    'approve the pending approval by its name, or set the digest that a server-side dry run prints'
  );
}

/** Creating it was the creator's vote: says what is missing besides. */
function votesWarning(submitted: SubmittedApproval, spec: JsonObject, policy: Policy): readonly string[] {
  const { caller, policies, namespace, now, nonce } = submitted;
  const instant = now.toISOString();
  const approval: Approval = {
    metadata: { name: '', namespace, uid: '', resourceVersion: '', creationTimestamp: instant },
    spec: {
      policy: { name: policy.metadata.name },
      requester: { username: textAt(spec, '/requester/username') },
      action: { operation: 'CREATE', version: '', resource: '', name: '' },
      origin: 'Applied',
      createdBy: { ...exposedTo(unabridged(caller), submitted.requesterMay), stampedAt: instant, nonce },
    },
    seals: { creation: 'Sealed', releases: [] },
  };
  return missingWarning(tally(approval, [], policy, policies, []));
}

function missingWarning(votes: Pick<Tally, 'required' | 'received' | 'missing'>): readonly string[] {
  if (votes.missing === '') return [];
  const { required, received, missing } = votes;
  const approvals = required === 1 ? 'approval' : 'approvals';
  return [`stepup: ${received} of ${required} ${approvals} so far; ${missing} missing`.slice(0, 250)];
}

const verdicts: readonly Verdict[] = ['Approve', 'Deny', 'Revoke', 'Withdraw', 'Review'];

export function stampDecision(submitted: SubmittedDecision): Stamping {
  const { object, namespace, caller, approval, policy, now, right, owners } = submitted;
  const spec = object.spec;
  if (!isObject(spec)) return refused('spec: must be an object');
  const verdict = verdicts.find((one) => one === spec.verdict);
  if (verdict === undefined) {
    return refused(`spec.verdict: must be one of ${verdicts.join(', ')}, not ${textAt(spec, '/verdict').slice(0, 32)}`);
  }
  if (spec.decidedBy !== undefined && textAt(spec, '/decidedBy/username') !== caller.username) {
    return refused('spec.decidedBy: stepup sets it to the user who creates the decision; leave it out');
  }
  const mismatch = mismatchOf(spec, namespace, approval);
  if (mismatch !== undefined) return refused(mismatch);
  if (approval === undefined) return refused('there is no such approval');
  if (isEnded(approval) && verdict !== 'Review') {
    return refused(`the approval has ended; its phase is ${approval.status?.phase}`);
  }
  if (policy === undefined) {
    return refused(`there is no StepUpPolicy ${approval.spec.policy.name}, so no vote can count; create it first`);
  }
  const asked = { ...approval, spec: { ...approval.spec, requester: ownedBy(approval.spec.requester, owners) } };
  const speakers = speakersOf({ ...submitted, verdict, spec, approval: asked, policy });
  if (typeof speakers === 'string') return refused(speakers);
  if (!right.isGranted) return refused(right.why);

  // decidedVia is written here or not at all.
  const { decidedVia: _, ...own } = spec;
  const stamped = { ...own, ...speakers, decidedAt: now.toISOString() };
  return {
    kind: 'Stamped',
    spec: stamped,
    labels: { [approvalLabel]: approval.metadata.uid },
    owner: { name: approval.metadata.name, uid: approval.metadata.uid },
    warnings: verdict === 'Approve' ? approveWarnings(submitted, speakers, approval, policy) : [],
  };
}

const changedWarning =
  'stepup: the target has changed since the approval was requested, so its preview may be out of date; look again';

function approveWarnings(
  submitted: SubmittedDecision,
  speakers: Speakers,
  approval: Approval,
  policy: Policy,
): readonly string[] {
  const { object, decisions, policies, namespace, now } = submitted;
  const pendingUntil = after(new Date(approval.metadata.creationTimestamp), requestRulesOf(policy).pendingTTLSeconds);
  const { name, uid } = approval.metadata;
  const digest = approval.spec.change?.digest;
  const word: Decision = {
    metadata: { name: '', namespace, uid: '', creationTimestamp: now.toISOString() },
    spec: {
      approval: { name, uid, ...(digest === undefined ? {} : { digest }) },
      verdict: 'Approve',
      ...speakers,
      bypass: valueAt(object, '/spec/bypass') === true,
      decidedAt: now.toISOString(),
    },
    seal: 'Sealed',
  };
  const votes = tally(approval, [...decisions, word], policy, policies, []);
  const isLate = votes.approvedAt !== undefined && votes.approvedAt > pendingUntil;
  if (isLate) return [`stepup: too late: the approval had to be decided by ${pendingUntil.toISOString()}`];
  return [...(hasTargetChanged(approval, submitted.seen) === true ? [changedWarning] : []), ...missingWarning(votes)];
}
