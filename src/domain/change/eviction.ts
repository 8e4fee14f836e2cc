// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// An eviction is judged by the pod it finds and carried out by name, on whatever pod bears it by then, unless it names the
// UID: so ours has to (docs/adr/0010-evictions-by-name.md).
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
