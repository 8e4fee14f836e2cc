// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What an approver reads: the change as a unified diff, bounded, with secret values as keyed hashes only.
import { createHmac } from 'node:crypto';
import { createTwoFilesPatch } from 'diff';
import { dump } from 'js-yaml';
import { partOf } from './content.ts';
import { isObject, type Json, type JsonObject, without } from './json.ts';
import type { AdmissionRequest } from './request.ts';

/** Bytes of a diff that are kept. */
export const mostPreviewBytes = 32 * 1024;

export interface Preview {
  readonly diff: string;
  readonly truncated: boolean;
}

/** The difference a request makes. Values of Secrets appear as HMAC-SHA-256 under the key, so that equal ones look equal. */
export function previewOf(request: AdmissionRequest, key: Uint8Array): Preview {
  const shown = (object: JsonObject | undefined) =>
    object === undefined ? '' : yamlOf(redacted(readable(object), request, key));
  const from = request.operation === 'CREATE' ? undefined : request.oldObject;
  const to = request.operation === 'DELETE' ? undefined : request.object;
  const patch = createTwoFilesPatch('before', 'after', shown(from), shown(to), '', '', { context: 3 });
  const lines = patch.split('\n').filter((line) => !line.startsWith('====') && line !== '\\ No newline at end of file');
  return cut(lines.join('\n'));
}

function readable(object: JsonObject): Json {
  return without(partOf(object, { kind: 'ObjectAndStatus' }), ['/status']) ?? null;
}

function redacted(object: Json, request: AdmissionRequest, key: Uint8Array): Json {
  const isSecret = request.group === '' && request.resource === 'secrets';
  if (!isSecret || !isObject(object)) return object;
  const hidden = (values: Json | undefined): Json =>
    isObject(values)
      ? Object.fromEntries(Object.entries(values).map(([name, value]) => [name, hashed(value, key)]))
      : (values ?? null);
  return {
    ...object,
    ...(object.data === undefined ? {} : { data: hidden(object.data) }),
    ...(object.stringData === undefined ? {} : { stringData: hidden(object.stringData) }),
  };
}

function hashed(value: Json | undefined, key: Uint8Array): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
  return `hidden:${createHmac('sha256', key).update(text).digest('hex').slice(0, 16)}`;
}

function yamlOf(value: Json): string {
  const plain: unknown = JSON.parse(
    JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? member.toString() : member)),
  );
  return dump(plain, { noRefs: true, lineWidth: -1, sortKeys: true });
}

function cut(text: string): Preview {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= mostPreviewBytes) return { diff: text, truncated: false };
  // A cut inside a character leaves a replacement character at the end; it goes.
  return {
    diff: bytes
      .subarray(0, mostPreviewBytes)
      .toString('utf8')
      .replace(/\uFFFD+$/, ''),
    truncated: true,
  };
}
