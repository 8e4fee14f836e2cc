// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Parses AdmissionReview v1 into the request that the domain reads, and builds the answer that the API server accepts.

import type { AdmissionRequest, Operation, Requester } from '../domain/model/request.ts';
import { extraKeys } from '../domain/model/stamp.ts';
import { defined, isObject, type Json, type JsonObject } from '../lib/json.ts';

const apiVersion = 'admission.k8s.io/v1';
const kind = 'AdmissionReview';
const operations: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

export type ParsedReview =
  | { readonly ok: true; readonly request: AdmissionRequest }
  /** uid is given where it can be read, so that a denial can be addressed. Each problem starts with a field path. */
  | { readonly ok: false; readonly uid?: string; readonly problems: readonly string[] };

/** Reads a review; members that are not known are left alone. */
export function parseReview(review: Json): ParsedReview {
  if (!isObject(review)) return { ok: false, problems: ['must be an object'] };
  const fields = new ReviewFields(isObject(review.request) ? review.request : {}, 'request');
  const uid = fields.text('uid', 1);
  const problems: string[] = [];
  if (review.apiVersion !== apiVersion) problems.push(`apiVersion: must be ${apiVersion}`);
  if (review.kind !== kind) problems.push(`kind: must be ${kind}`);
  if (!isObject(review.request)) return { ok: false, problems: [...problems, 'request: must be an object'] };
  const request = requestOf(fields, uid);
  problems.push(...fields.problems);
  if (problems.length > 0) return { ok: false, ...(uid === '' ? {} : { uid }), problems };
  return { ok: true, request };
}

function requestOf(fields: ReviewFields, uid: string): AdmissionRequest {
  const resource = fields.object('resource');
  const operation = fields.text('operation', 1);
  const object = fields.optionalObject('object');
  const oldObject = fields.optionalObject('oldObject');
  const options = fields.optionalObject('options');
  const known = operations.find((one) => one === operation);
  const userInfo = fields.object('userInfo');
  if (known === undefined) fields.problem('operation', `must be one of ${operations.join(', ')}`);
  if (object === undefined && (known === 'CREATE' || known === 'UPDATE')) fields.problem('object', 'is required');
  if (oldObject === undefined && (known === 'UPDATE' || known === 'DELETE')) {
    fields.problem('oldObject', 'is required');
  }
  return {
    uid,
    operation: known ?? 'CONNECT',
    group: resource.text('group'),
    version: resource.text('version', 1),
    kind: fields.object('kind').text('kind', 1),
    resource: resource.text('resource', 1),
    subresource: fields.text('subResource'),
    namespace: fields.text('namespace'),
    name: fields.text('name'),
    requester: requesterOfReview(userInfo),
    ...extraOf(userInfo),
    dryRun: fields.flag('dryRun'),
    ...defined({ object, oldObject, options }),
  };
}

function requesterOfReview(user: ReviewFields): Requester {
  const extra = user.value.extra;
  const first = (key: string): string | undefined => {
    const values = isObject(extra) ? extra[key] : undefined;
    const [value] = Array.isArray(values) ? values : [];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const [name, uid, credential] = [first(extraKeys.podName), first(extraKeys.podUID), first(extraKeys.credential)];
  const [nodeName, nodeUID] = [first(extraKeys.nodeName), first(extraKeys.nodeUID)];
  return {
    username: user.text('username', 1),
    uid: user.text('uid'),
    groups: user.texts('groups'),
    ...(name === undefined || uid === undefined ? {} : { pod: { name, uid } }),
    ...(nodeName === undefined ? {} : { node: { name: nodeName, ...defined({ uid: nodeUID }) } }),
    ...defined({ credential }),
  };
}

function extraOf(user: ReviewFields): Pick<AdmissionRequest, 'extra'> {
  const { extra } = user.value;
  if (!isObject(extra)) return {};
  const texts = Object.entries(extra).map(([key, values]): [string, readonly string[]] => [
    key,
    Array.isArray(values) ? values.filter((value) => typeof value === 'string') : [],
  ]);
  return { extra: Object.fromEntries(texts) };
}

/** Reads members of an object and notes what is wrong with them. Absent and null are the same, as for the API server. */
class ReviewFields {
  readonly value: JsonObject;
  readonly problems: string[];
  readonly #path: string;

  constructor(value: JsonObject, path: string, problems: string[] = []) {
    this.value = value;
    this.problems = problems;
    this.#path = path;
  }

  problem(name: string, sentence: string): void {
    this.problems.push(`${this.#path}.${name}: ${sentence}`);
  }

  text(name: string, minLength = 0): string {
    const value = this.value[name] ?? '';
    if (typeof value === 'string' && value.length >= minLength) return value;
    this.problem(name, typeof value === 'string' ? 'must not be empty' : 'must be a string');
    return '';
  }

  texts(name: string): readonly string[] {
    const value = this.value[name] ?? [];
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    this.problem(name, 'must be a list of strings');
    return [];
  }

  flag(name: string): boolean {
    const value = this.value[name] ?? false;
    if (typeof value === 'boolean') return value;
    this.problem(name, 'must be true or false');
    return false;
  }

  optionalObject(name: string): JsonObject | undefined {
    const value = this.value[name] ?? undefined;
    if (value === undefined || isObject(value)) return value;
    this.problem(name, 'must be an object');
    return undefined;
  }

  object(name: string): ReviewFields {
    const value = this.value[name];
    if (!isObject(value)) this.problem(name, 'must be an object');
    // What lies within is not complained about twice.
    return new ReviewFields(
      isObject(value) ? value : {},
      `${this.#path}.${name}`,
      isObject(value) ? this.problems : [],
    );
  }
}

export interface Refusal {
  /** HTTP status code that the client gets. */
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly details?: object;
}

export interface Answer {
  /** Absent means allowed. */
  readonly refusal?: Refusal;
  readonly warnings?: readonly string[];
  /** Keys without prefix; the API server adds the webhook's name. */
  readonly auditAnnotations?: Readonly<Record<string, string>>;
  /** For mutating webhooks: RFC 6902 operations. */
  readonly patch?: readonly object[];
}

/** The body of an answer. The API server requires the exact uid and type; it gets nothing that it does not read. */
export function reviewAnswer(uid: string, answer: Answer): string {
  const { refusal, warnings = [], auditAnnotations, patch } = answer;
  const response = {
    uid,
    allowed: refusal === undefined,
    ...(refusal === undefined ? {} : { status: { status: 'Failure', ...refusal } }),
    ...(warnings.length === 0 ? {} : { warnings }),
    ...defined({ auditAnnotations }),
    ...(patch === undefined || refusal !== undefined
      ? {}
      : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch, bigIntAsNumber)).toString('base64') }),
  };
  return JSON.stringify({ apiVersion, kind, response });
}

/** TypeScript's library does not know it yet (ES2026, JSON.parse source text access). */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** Integers beyond 2^53 go out as they came in. */
function bigIntAsNumber(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJSON(value.toString()) : value;
}
