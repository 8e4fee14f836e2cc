// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// An authenticated caller, as approvals and votes record it.

import { defined, type JsonObject } from '../../lib/json.ts';
import type { Stamp } from './approval.ts';
import type { Policy } from './policy.ts';
import type { Requester } from './request.ts';

/** The schema's limit. */
const mostGroups = 64;

/** What the API server reports about a bound service account token (docs/facts.md, B20). */
export const extraKeys = {
  podName: 'authentication.kubernetes.io/pod-name',
  podUID: 'authentication.kubernetes.io/pod-uid',
  nodeName: 'authentication.kubernetes.io/node-name',
  nodeUID: 'authentication.kubernetes.io/node-uid',
  credential: 'authentication.kubernetes.io/credential-id',
} as const;

/** The caller as it is stored, with only the groups that policies name: others never count. */
export function stampOf(caller: Requester, policies: readonly Policy[]): Stamp & JsonObject {
  const named = policies.map(groupsOf);
  const required = new Set(named.flatMap(({ approvers }) => approvers));
  const subjects = new Set(named.flatMap(({ subjects: names }) => names));
  const groups = [
    ...caller.groups.filter((group) => required.has(group)).sort(),
    ...caller.groups.filter((group) => !required.has(group) && subjects.has(group)).sort(),
  ].slice(0, mostGroups);
  return stamped(caller, groups);
}

/** The caller with all its groups, for checks before it is stored. */
export function unabridged(caller: Requester): Stamp & JsonObject {
  return stamped(caller, [...caller.groups]);
}

/** A caller that requests for itself is stored as it was authenticated: its own statements about its pod are not verified. */
export function requesterOf({ username, uid, pod, credential }: Requester): JsonObject {
  return {
    username,
    ...(uid === '' ? {} : { uid }),
    ...defined({ pod, credential }),
  };
}

/** The stamp with how the requester could have cast this vote itself, if it could. */
export function exposedTo(stamp: Stamp & JsonObject, requesterMay: string | undefined): Stamp & JsonObject {
  return requesterMay === undefined ? stamp : { ...stamp, requesterMay };
}

function stamped({ username, uid, pod, credential }: Requester, groups: string[]): Stamp & JsonObject {
  const extra = {
    ...(pod === undefined ? {} : { [extraKeys.podName]: [pod.name], [extraKeys.podUID]: [pod.uid] }),
    ...(credential === undefined ? {} : { [extraKeys.credential]: [credential] }),
  };
  return {
    username,
    ...(uid === '' ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** Groups of approvers, and groups of gated or exempt subjects: both are needed again when votes are counted. */
function groupsOf(policy: Policy) {
  const { include = [], exclude = [] } = policy.spec.subjects ?? {};
  return {
    approvers: (policy.spec.approval.require ?? []).flatMap((requirement) => requirement.approvers?.groups ?? []),
    subjects: [...include, ...exclude].flatMap(({ kind, name }) => (kind === 'Group' ? [name] : [])),
  };
}
