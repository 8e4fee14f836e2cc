// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One attempt at a privileged change under one policy, with the keys that match attempts to approvals.

import { digestOf } from '../../lib/digest.ts';
import { lazy } from '../../lib/lazy.ts';
import type { ApprovalAction, ApprovalSpec } from '../model/approval.ts';
import { type AdmissionRequest, isNamespaceObject, type Requester } from '../model/request.ts';
import type { Change } from './change.ts';
import { type DigestVersion, digestVersion } from './change-digest.ts';
import { nameOf } from './normalise.ts';

export interface Attempt {
  /** The policy under which it asks. */
  readonly policy: string;
  readonly requestUID: string;
  readonly requester: Requester;
  readonly action: ApprovalAction;
  readonly change: Change;
  /** Finds candidate approvals and groups policies: leaves policy and content out. */
  readonly targetKey: string;
  /** The identity of the change under this policy: another try has the same, another change another. */
  readonly attemptKey: string;
  readonly attemptKeys: Readonly<Record<DigestVersion, string>>;
}

export function attemptOf(policy: string, request: AdmissionRequest, change: Change): Attempt {
  const action: ApprovalAction = {
    operation: change.operation,
    group: request.group,
    version: request.version,
    resource: request.resource,
    subresource: change.subresource,
    // A Namespace is judged as the cluster-scoped object it is, though its review names it as the namespace too (B14).
    namespace: isNamespaceObject(request) ? '' : request.namespace,
    name: nameOf(request),
    ...(change.operation === 'CREATE' || change.objectUID === undefined ? {} : { objectUID: change.objectUID }),
  };
  const objectUID = action.objectUID ?? '';
  // Made when they are asked for: a dry run needs none, and few are held against the previous digest version.
  const targetKey = lazy(() => targetKeyOf({ requester: request.requester, action }));
  const keyOver = (version: DigestVersion) =>
    lazy(() => digestOf([targetKey(), policy, objectUID, change.digests[version]]));
  const [v1, v2] = [keyOver('v1'), keyOver('v2')];
  const attemptKeys = {
    get v1() {
      return v1();
    },
    get v2() {
      return v2();
    },
  };
  return {
    policy,
    requestUID: request.uid,
    requester: request.requester,
    action,
    change,
    get targetKey() {
      return targetKey();
    },
    get attemptKey() {
      return attemptKeys[digestVersion];
    },
    attemptKeys,
  };
}

/** The target key of an attempt or of an approval's spec; the same however either came to be. */
export function targetKeyOf(of: {
  readonly requester: { readonly username: string };
  readonly action: ApprovalAction;
}): string {
  const { operation, group = '', resource, subresource = '', namespace = '', name } = of.action;
  return digestOf([of.requester.username, operation, group, resource, subresource, namespace, name]);
}

/** The target key as a label's value: label values have at most 63 characters, so the hash is cut, never trusted. */
export function targetLabelValue(key: string): string {
  return key.slice('sha256:'.length, 'sha256:'.length + 56);
}

export function targetLabelOf(spec: Pick<ApprovalSpec, 'requester' | 'action'>): string {
  return targetLabelValue(targetKeyOf(spec));
}

/**
 * The name of the approval that an attempt asks for. The same on every replica, and another one once the newest
 * approval of the same attempt can serve no more.
 */
export function approvalNameOf(policy: string, attemptKey: string, spentUID: string): string {
  return `${policy}-${digestOf([attemptKey, spentUID]).slice('sha256:'.length, 'sha256:'.length + 10)}`;
}

/** True for a name that a refused request may be told to wait for; whoever knows the request can compute it ahead. */
export function isNameOfAttempt(name: string, policies: readonly string[]): boolean {
  return policies.some(
    (policy) => name.startsWith(`${policy}-`) && /^[0-9a-f]{10}$/.test(name.slice(policy.length + 1)),
  );
}
