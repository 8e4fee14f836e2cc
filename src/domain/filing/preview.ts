// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What an approver reads: the change as a unified diff with a size limit, and secret values only as keyed hashes.
import { createHmac } from 'node:crypto';
import { createTwoFilesPatch } from 'diff';
import { dump } from 'js-yaml';
import { isObject, type Json, type JsonObject, sameJson, textAt, without } from '../../lib/json.ts';
import { visibleLines } from '../../lib/visible-text.ts';
import { partOf } from '../change/content.ts';
import { lastApplied } from '../change/last-applied.ts';
import type { Preview } from '../model/approval.ts';
import type { AdmissionRequest } from '../model/request.ts';

/** Bytes of a diff that are kept. */
export const mostPreviewBytes = 32 * 1024;

/** Changed lines up to which a diff is searched for: the search is quadratic in them, and whoever is gated chooses them
 *  (8,000 changed lines held the process for 10 s). */
const mostChangedLines = 500;

/**
 * The header and below it the difference a request makes. Values of Secrets appear as HMAC-SHA-256 under the key, so
 * that equal ones look equal. fields: those that make the request privileged.
 */
export function previewOf(
  request: AdmissionRequest,
  key: Uint8Array,
  header: readonly string[] = [],
  fields: readonly string[] = [],
): Preview {
  const above = header.map((line) => `${line}\n`).join('');
  const most = mostPreviewBytes - Buffer.byteLength(above) - Buffer.byteLength(cutLine);
  const shown = (object: JsonObject) => redacted(readable(object, request, fields), request, key);
  const { diff, truncated } = differenceOf(request, shown, most);
  return { diff: above + (truncated ? cutLine : '') + diff, truncated };
}

/** Whoever is gated chooses what comes first, and so what is cut. */
const cutLine = '# truncated: the change is larger, and an approval also covers what is not shown\n';

function differenceOf(request: AdmissionRequest, shown: (object: JsonObject) => Json, most: number): Preview {
  const textOf = (object: JsonObject | undefined) => (object === undefined ? '' : visibleLines(yamlOf(shown(object))));
  const from = request.operation === 'CREATE' ? undefined : request.oldObject;
  const to = request.operation === 'DELETE' ? undefined : request.object;
  const [before, after] = [textOf(from), textOf(to)];
  const options = { context: 3, maxEditLength: mostChangedLines };
  const patch = createTwoFilesPatch('before', 'after', before, after, '', '', options);
  if (patch === undefined) return replacement(before, after, most);
  const lines = patch.split('\n').filter((line) => !line.startsWith('====') && line !== '\\ No newline at end of file');
  return cutPreview(lines.join('\n'), most);
}

/** Everything old and everything new, where too much differs to search for what stayed. */
function replacement(before: string, after: string, mostBytes: number): Preview {
  const header = '--- before\n+++ after\n';
  const left = mostBytes - header.length;
  // One more byte parts them, where the cut took the line break.
  const most = before === '' || after === '' ? left : Math.floor(left / 2) - 1;
  const removed = cutPreview(prefixed('-', before), most);
  const added = cutPreview(prefixed('+', after), most);
  const between = removed.diff === '' || removed.diff.endsWith('\n') ? '' : '\n';
  return {
    diff: header + removed.diff + between + added.diff,
    truncated: removed.truncated || added.truncated,
  };
}

function prefixed(sign: string, text: string): string {
  return text.replace(/^.*\n/gm, (line) => sign + line);
}

/** Without noise, but for what the request is about: a status that it changes, kubectl's record where that is privileged. */
function readable(object: JsonObject, request: AdmissionRequest, fields: readonly string[]): Json {
  const { operation, object: to, oldObject: from } = request;
  const whole = partOf(object, { kind: 'ObjectAndStatus' });
  const isStatusChanged = operation === 'UPDATE' && !sameJson(to?.status, from?.status);
  const plain = isStatusChanged ? whole : (without(whole, ['/status']) ?? null);
  const record = textAt(object, lastApplied);
  return fields.includes(lastApplied) && isObject(plain) ? { ...plain, [recordKey]: record } : plain;
}

const recordKey = 'kubectl.kubernetes.io/last-applied-configuration';

function redacted(object: Json, request: AdmissionRequest, key: Uint8Array): Json {
  const isSecret = request.group === '' && request.resource === 'secrets';
  if (!isSecret || !isObject(object)) return object;
  const hidden = (values: Json | undefined): Json =>
    isObject(values)
      ? Object.fromEntries(Object.entries(values).map(([name, value]) => [name, hashed(value, key)]))
      : (values ?? null);
  return {
    ...object,
    // It repeats the data.
    ...(object[recordKey] === undefined ? {} : { [recordKey]: hashed(object[recordKey], key) }),
    ...(object.data === undefined ? {} : { data: hidden(object.data) }),
    ...(object.stringData === undefined ? {} : { stringData: hidden(object.stringData) }),
  };
}

function hashed(value: Json | undefined, key: Uint8Array): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
  return `hidden:${createHmac('sha256', key).update(text).digest('hex').slice(0, 16)}`;
}

function yamlOf(value: Json): string {
  return dump(forYaml(value), { noRefs: true, lineWidth: -1, sortKeys: true });
}

/** Without what the YAML writer does not know. */
function forYaml(value: Json): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(forYaml);
  if (!isObject(value)) return value;
  const members = Object.entries(value).flatMap(([key, member]) =>
    member === undefined ? [] : [[key, forYaml(member)]],
  );
  return Object.fromEntries(members);
}

function cutPreview(text: string, mostBytes: number): Preview {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= mostBytes) return { diff: text, truncated: false };
  // A cut inside a character leaves a replacement character at the end; it goes.
  return {
    diff: bytes
      .subarray(0, mostBytes)
      .toString('utf8')
      .replace(/\uFFFD+$/, ''),
    truncated: true,
  };
}
