// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What is stored of an approval that somebody submits: stepup itself writes, or drops, what only stepup can know.

import { isObject, type Json, type JsonObject } from '../../lib/json.ts';
import { digestVersion } from '../change/change-digest.ts';
import { recordedOwners } from '../model/owners.ts';
import { grantOf, type Policy } from '../model/policy.ts';
import type { Requester } from '../model/request.ts';

/** The requester: its owners are whom the account names, and its node is where the API server says that it runs. */
export function requesterToStore(
  value: Json | undefined,
  owners: readonly string[],
  node: Requester['node'],
): JsonObject {
  const { owners: _, node: _node, ...requester } = isObject(value) ? value : {};
  return {
    ...requester,
    ...(node === undefined ? {} : { node: { ...node } }),
    ...(recordedOwners(owners) as JsonObject),
  };
}

/** The change: what it looks like, and on which state it was asked, are believed only where our own identity files it. */
export function changeToStore(value: Json | undefined): JsonObject {
  const { preview: _, askedOn: _askedOn, ...change } = isObject(value) ? value : {};
  return change.digest === undefined ? change : { digestVersion, ...change };
}

/** May only shorten the policy's. What is no number is left for the schema to refuse. */
export function ttlToStore(value: Json | undefined, policy: Policy): Json {
  const { ttlSeconds } = grantOf(policy);
  if (typeof value === 'number') return Math.min(value, ttlSeconds);
  return typeof value === 'bigint' ? ttlSeconds : (value ?? ttlSeconds);
}
