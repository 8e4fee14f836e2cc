// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Evictions. stepup judges an eviction by the pod that exists now, but the API server evicts whichever pod has the name
// later, unless the eviction has the UID. stepup therefore requires the UID (docs/adr/0010-evictions-by-name.md).
import { isObject, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import type { AdmissionRequest } from '../model/request.ts';

export function isEviction(
  request: Pick<AdmissionRequest, 'operation' | 'group' | 'resource' | 'subresource'>,
): boolean {
  const { operation, group, resource, subresource } = request;
  return operation === 'CREATE' && group === '' && resource === 'pods' && subresource === 'eviction';
}

/** The UID that the API server will hold the pod against; empty when it looks at the name alone. */
export function uidNamedBy({ object }: AdmissionRequest): string {
  return textAt(object, '/deleteOptions/preconditions/uid');
}

/** RFC 6902 operations by which the eviction names this UID and keeps all else. */
export function withUidNamed({ object }: AdmissionRequest, uid: string): readonly object[] {
  const has = (pointer: string) => isObject(valueAt(object, pointer));
  if (has('/deleteOptions/preconditions')) return [add('/deleteOptions/preconditions/uid', uid)];
  if (has('/deleteOptions')) return [add('/deleteOptions/preconditions', { uid })];
  return [add('/deleteOptions', { preconditions: { uid } })];
}

function add(path: string, value: string | JsonObject): object {
  return { op: 'add', path, value };
}
