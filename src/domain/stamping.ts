// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What admission writes on approvals and decisions that people create, and what it refuses to let in.
import { type Approval, type ApprovalAction, type Decision, isEnded, type Verdict } from './approval.ts';
import { isNameOfAttempt, targetLabel, targetLabelOf } from './attempt.ts';
import { stampOf } from './caller-stamp.ts';
import { digestVersion, isKnownVersion, previousDigestVersion } from './change-digest.ts';
import { isObject, type Json, type JsonObject, textAt, valueAt } from './json.ts';
import { after } from './life.ts';
import { grantOf, type Policy, requestRulesOf } from './policy.ts';
import { deniedReasons } from './reason.ts';
import type { Operation, Requester } from './request.ts';
import { serviceAccountOf } from './subject.ts';
import { objectionTo, objectionToWord, tally } from './tally.ts';

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
}

export const approvalLabel = 'stepup.dev/approval';

const copySentence = 'this is a copy of an approval that lived elsewhere; leave status, createdBy and origin out';
const nameSentence = 'metadata.name: such names are for the approvals of refused requests; choose another one';

function refused(message: string): Stamping {
  return { kind: 'Refused', message };
}

export function stampApproval(submitted: SubmittedApproval): Stamping {
  const { object, namespace, caller, policy, policies, ownNamespace, now, nonce } = submitted;
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
  if (policy === undefined) return refused(`there is no StepUpPolicy ${read.policyName}`);

  const home = (action.namespace ?? '') || ownNamespace;
  if (namespace !== home) return refused(homeSentence(action, home));
  const unbound = problemOfBinding(spec, policy);
  if (unbound !== undefined) return refused(unbound);

  const origin = caller.username === username ? 'Asked' : 'Applied';
  // With all groups: the stamp keeps only those that policies name.
  const objection =
    origin === 'Asked' ? undefined : objectionTo(caller, { spec: { requester: { username } } }, policy, policies);
  if (objection !== undefined) return refused(objection);
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
      change: changeToStore(spec.change),
      ttlSeconds: ttlToStore(spec.ttlSeconds, policy),
      origin,
      createdBy: { ...stampOf(caller, policies), stampedAt: now.toISOString(), nonce },
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
  if (username === '') return 'spec.requester.username: must name who may use the approval';
  const action = actionOf(spec.action);
  if (typeof action === 'string') return action;
  return { spec, policyName, username, action };
}

const operations: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

function actionOf(value: Json | undefined): ApprovalAction | string {
  if (!isObject(value)) return 'spec.action: must be an object';
  const wrong = Object.entries(value).find(([, member]) => member !== undefined && typeof member !== 'string');
  if (wrong !== undefined) return `spec.action.${wrong[0]}: must be a text`;
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
  return `approvals of ${targets} live in namespace ${home}; create it there`;
}

/** Why the approval binds to too little or to what is not known, undefined when it does not. */
function problemOfBinding(spec: JsonObject, policy: Policy): string | undefined {
  const version = valueAt(spec, '/change/digestVersion');
  if (version !== undefined && !isKnownVersion(version)) {
    return `spec.change.digestVersion: must be ${digestVersion}, which is meant when it is left out, or ${previousDigestVersion}`;
  }
  if (valueAt(spec, '/change/digest') !== undefined || grantOf(policy).binding === 'Target') return undefined;
  return (
    `policy ${policy.metadata.name} binds approvals to the exact content, so spec.change.digest is needed; two ways ` +
    'work: approve the pending request by its name, or ask ahead with the digest that a server-side dry run prints'
  );
}

/** Previews are believed only where our own identity files them. */
function changeToStore(value: Json | undefined): JsonObject {
  const { preview: _, ...change } = isObject(value) ? value : {};
  return change.digest === undefined ? change : { digestVersion, ...change };
}

/** May only shorten the policy's. What is no number is left for the schema to refuse. */
function ttlToStore(value: Json | undefined, policy: Policy): Json {
  const { ttlSeconds } = grantOf(policy);
  if (typeof value === 'number') return Math.min(value, ttlSeconds);
  return typeof value === 'bigint' ? ttlSeconds : (value ?? ttlSeconds);
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
      createdBy: { ...caller, stampedAt: instant, nonce },
    },
    seals: { creation: 'Sealed', releases: [] },
  };
  return missingWarning(tally(approval, [], policy, policies, []));
}

function missingWarning(votes: { required: number; received: number; missing: string }): readonly string[] {
  if (votes.received >= votes.required) return [];
  const { required, received, missing } = votes;
  return [`stepup: ${received} of ${required} approvals so far; ${missing} missing`.slice(0, 250)];
}

const engineSentence = 'spec.kind: only stepup itself writes what an engine has decided; leave kind and engine out';
const notBuiltVerdicts: readonly string[] = ['Review'];
const verdicts: readonly Verdict[] = ['Approve', 'Deny', 'Revoke', 'Withdraw', 'Review'];

export function stampDecision(submitted: SubmittedDecision): Stamping {
  const { object, namespace, caller, approval, policy, policies, now } = submitted;
  const spec = object.spec;
  if (!isObject(spec)) return refused('spec: must be an object');
  const verdict = verdicts.find((one) => one === spec.verdict);
  if (verdict === undefined) {
    return refused(`spec.verdict: must be one of ${verdicts.join(', ')}, not ${textAt(spec, '/verdict').slice(0, 32)}`);
  }
  if (notBuiltVerdicts.includes(verdict)) return refused(`verdict ${verdict} is not available in this release`);
  if (spec.bypass !== undefined && spec.bypass !== false) return refused('bypass is not available in this release');
  if (spec.kind === 'Engine' || spec.engine !== undefined) return refused(engineSentence);
  if (spec.decidedBy !== undefined && textAt(spec, '/decidedBy/username') !== caller.username) {
    return refused('decidedBy is written from who creates the decision; leave it out');
  }
  const mismatch = mismatchOf(spec, namespace, approval);
  if (mismatch !== undefined) return refused(mismatch);
  if (approval === undefined) return refused('there is no such approval');
  if (isEnded(approval)) return refused(`the approval has ended; its phase is ${approval.status?.phase}`);
  if (policy === undefined) {
    return refused(`there is no StepUpPolicy ${approval.spec.policy.name}, so nobody can tell who approves`);
  }
  const isDelegate = isNamedAccount(caller.username, policy);
  if (spec.onBehalfOf !== undefined && !isDelegate) return refused('onBehalfOf is for delegates that the policy names');
  const objection = objectionToWord(verdict, caller, approval, policy, policies);
  if (objection !== undefined) return refused(objection);

  const decidedBy = stampOf(caller, policies);
  const kind = isDelegate ? 'Delegate' : 'Human';
  const stamped = { ...spec, decidedBy, kind, decidedAt: now.toISOString() };
  return {
    kind: 'Stamped',
    spec: stamped,
    labels: { [approvalLabel]: approval.metadata.uid },
    owner: { name: approval.metadata.name, uid: approval.metadata.uid },
    warnings: verdict === 'Approve' ? approveWarnings(submitted, approval, policy) : [],
  };
}

/** How the decision speaks of another approval than there is, undefined when it does not. */
function mismatchOf(spec: JsonObject, namespace: string, approval: Approval | undefined): string | undefined {
  const name = textAt(spec, '/approval/name');
  const uid = textAt(spec, '/approval/uid');
  if (name === '' || uid === '') return 'spec.approval: must carry name and uid of the approval';
  if (approval === undefined) return `there is no StepUpApproval ${namespace}/${name}`;
  if (approval.metadata.uid !== uid) {
    return `the uid differs: ${namespace}/${name} is another approval than the one that was looked at`;
  }
  const digest = valueAt(spec, '/approval/digest');
  const stored = approval.spec.change?.digest;
  if (digest === stored) return undefined;
  if (stored === undefined) return 'the digest differs: the approval has none, so the decision must have none';
  if (digest === undefined) return 'the digest is missing: the decision must carry the one of the approval';
  return 'the digest differs from the one of the approval, so another change was looked at';
}

function isNamedAccount(username: string, policy: Policy): boolean {
  const account = serviceAccountOf(username);
  return (policy.spec.approval.require ?? []).some((requirement) =>
    (requirement.approvers?.serviceAccounts ?? []).some(
      ({ namespace, name }) => account?.namespace === namespace && account.name === name,
    ),
  );
}

function approveWarnings(submitted: SubmittedDecision, approval: Approval, policy: Policy): readonly string[] {
  const { caller, decisions, policies, namespace, now } = submitted;
  const pendingUntil = after(new Date(approval.metadata.creationTimestamp), requestRulesOf(policy).pendingTTLSeconds);
  const { name, uid } = approval.metadata;
  const digest = approval.spec.change?.digest;
  const word: Decision = {
    metadata: { name: '', namespace, uid: '', creationTimestamp: now.toISOString() },
    spec: {
      approval: { name, uid, ...(digest === undefined ? {} : { digest }) },
      verdict: 'Approve',
      decidedBy: caller,
      decidedAt: now.toISOString(),
    },
    seal: 'Sealed',
  };
  const votes = tally(approval, [...decisions, word], policy, policies, []);
  const isLate = votes.approvedAt !== undefined && votes.approvedAt > pendingUntil;
  if (isLate) return [`stepup: too late: the approval was to be decided by ${pendingUntil.toISOString()}`];
  return missingWarning(votes);
}
