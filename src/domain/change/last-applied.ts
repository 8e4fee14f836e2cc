// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// kubectl's last-applied annotation: if it differs from the object, the next kubectl apply of somebody else deletes
// fields (docs/clients.md).
import { isObject, type Json, type JsonObject, mayBeMisread, sameJson, valueAt } from '../../lib/json.ts';
import type { AdmissionRequest } from '../model/request.ts';

export const lastApplied = '/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration';

/** True when the request changes the record to one that says what the object, within these fields, does not. */
export function isMisleadingApply(request: AdmissionRequest, fields: readonly string[] | undefined): boolean {
  const { object = {}, oldObject } = request;
  const record = valueAt(object, lastApplied);
  // Without a record kubectl apply deletes nothing.
  if (record === undefined || sameJson(record, valueAt(oldObject, lastApplied))) return false;
  const said = parsed(record);
  if (said === undefined) return true;
  if (fields !== undefined)
    return !fields.every((field) => isWithinRecord(valueAt(said, field), valueAt(object, field)));
  // The same content may be written in another version; stringData becomes data when it is stored.
  const { apiVersion: _, kind: __, stringData: ___, status: ____, ...content } = said;
  return !isWithinRecord(content, object);
}

function parsed(record: Json): JsonObject | undefined {
  if (typeof record !== 'string') return undefined;
  try {
    const value: Json = JSON.parse(record);
    return isObject(value) && !mayBeMisread(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** True when the whole says all that the part says. Null and what is empty say nothing; lists are read as sets. */
function isWithinRecord(part: Json | undefined, whole: Json | undefined): boolean {
  if (isEmptyRecord(part)) return true;
  if (Array.isArray(part)) {
    return Array.isArray(whole) && part.every((item: Json) => whole.some((one: Json) => isWithinRecord(item, one)));
  }
  if (isObject(part)) return isObject(whole) && Object.keys(part).every((key) => isWithinRecord(part[key], whole[key]));
  return sameJson(part, whole);
}

function isEmptyRecord(value: Json | undefined): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.every(isEmptyRecord);
  return isObject(value) && Object.values(value).every(isEmptyRecord);
}
