// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What admission writes on an approval that somebody creates, and which it rejects.

import { isObject, type Json, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import { isNameOfAttempt, targetLabelOf } from '../change/attempt.ts';
import { digestVersion, isKnownVersion, previousDigestVersion } from '../change/change-digest.ts';
import type { Approval, ApprovalAction } from '../model/approval.ts';
import { targetLabel } from '../model/labels.ts';
import { grantOf, type Policy, requestRulesOf } from '../model/policy.ts';
import { deniedReasons } from '../model/reason.ts';
import type { Operation, Requester } from '../model/request.ts';
import { exposedTo, requesterOf, stampOf, unabridged } from '../model/stamp.ts';
import { tally } from '../votes/tally.ts';
import { objectionToCast } from './may-vote.ts';
import type { Right } from './rbac-verb.ts';
import { missingWarning, refused, type Stamping } from './stamping.ts';
import { changeToStore, requesterToStore, ttlToStore } from './submitted-spec.ts';

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
  /** What the requester may do to vote as the caller, as a phrase. */
  readonly requesterMay?: string | undefined;
}

const copySentence = 'this is a copy of another approval; leave status, createdBy and origin out';
const nameSentence = 'metadata.name: names of this form are for approvals that stepup files; choose another one';

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
    const vote = { verdict: 'Approve', decidedBy: exposedTo(unabridged(caller), submitted.requesterMay) } as const;
    const approval = { spec: { requester: { username, owners } } };
    const objection = objectionToCast(vote, { approval, decisions: [], policy, policies, right });
    if (objection !== undefined) return refused(objection);
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
