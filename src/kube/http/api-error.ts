// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Errors of calls to the API server, as one class whose kinds callers can tell apart.
import { isRecord } from '../../lib/json.ts';

/**
 * - `status`: the API server answered with an HTTP status of 400 or more
 * - `network`: no whole answer arrived; a write may or may not have happened
 * - `deadline`: no whole answer arrived in time; a write may or may not have happened
 * - `aborted`: the caller's signal was aborted; a write may or may not have happened
 * - `answer`: an answer arrived that cannot be used (too large, not JSON); a write has happened
 */
export type ApiErrorKind = 'status' | 'network' | 'deadline' | 'aborted' | 'answer';

/** `details` of a Kubernetes Status. */
export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
  readonly retryAfterSeconds?: number;
}

interface ApiErrorFields {
  readonly kind: ApiErrorKind;
  /** What was attempted: `create stepupapprovals prod/x`. */
  readonly attempt: string;
  /** Why it failed, without the attempt. */
  readonly detail: string;
  readonly status?: number;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** A call to the API server that did not succeed. The message names the attempt and never holds a body of ours. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly kind: ApiErrorKind;
  /** The HTTP status; 0 when there was none. */
  readonly status: number;
  /** The Status' reason (`NotFound`, `Conflict` …); empty when there was none. */
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  /** How long the API server asked to wait, for 429 and some 5xx. */
  readonly retryAfterSeconds: number | undefined;

  constructor(fields: ApiErrorFields) {
    super(`${fields.attempt}: ${fields.detail}`, { cause: fields.cause });
    this.kind = fields.kind;
    this.status = fields.status ?? 0;
    this.reason = fields.reason ?? '';
    this.details = fields.details;
    this.retryAfterSeconds = fields.retryAfterSeconds;
  }
}

/** Reads a Kubernetes Status, from an HTTP body or from an ERROR event of a watch. */
export function statusError(attempt: string, httpStatus: number, body: unknown, retryAfterHeader?: string): ApiError {
  const status = isRecord(body) && body.kind === 'Status' ? body : {};
  const code = typeof status.code === 'number' ? status.code : httpStatus;
  const reason = typeof status.reason === 'string' ? status.reason : '';
  const message = typeof status.message === 'string' ? status.message : '';
  // Every field is optional and only shown or compared, so a details object of another shape does no harm.
  const details = isRecord(status.details) ? (status.details as StatusDetails) : undefined;
  const retryAfterSeconds = seconds(retryAfterHeader) ?? details?.retryAfterSeconds;
  return new ApiError({
    kind: 'status',
    attempt,
    detail: [[code, reason].filter(Boolean).join(' '), message].filter(Boolean).join(': '),
    status: code,
    reason,
    ...(details && { details }),
    ...(typeof retryAfterSeconds === 'number' && { retryAfterSeconds }),
  });
}

export const isNotFound = (error: unknown): boolean => hasStatus(error, 404);
/** The resourceVersion or UID given was not the stored one: read again and decide again. */
export const isConflict = (error: unknown): boolean => hasStatus(error, 409) && !isAlreadyExists(error);
export const isAlreadyExists = (error: unknown): boolean => hasStatus(error, 409) && error.reason === 'AlreadyExists';
/** The resourceVersion or continue token is older than what the API server keeps: list again. */
export const isGone = (error: unknown): boolean => hasStatus(error, 410);
export const isForbidden = (error: unknown): boolean => hasStatus(error, 403);
/** The object is not valid: trying again cannot help. */
export const isInvalid = (error: unknown): boolean => hasStatus(error, 422) || hasStatus(error, 400);
/** The API server has not looked at the call: it is too busy, or replaces the kind's definition this very moment. */
export const isThrottled = (error: unknown): boolean => hasStatus(error, 429);
/** Nobody can tell whether the call took effect: read before it is tried again. */
export const isUncertain = (error: unknown): boolean =>
  error instanceof ApiError && (error.kind === 'network' || error.kind === 'deadline' || error.kind === 'aborted');
/** Worth another attempt later: the network, a deadline, 429 or a 5xx. */
export const isTransient = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.kind === 'network' || error.kind === 'deadline' || error.status === 429 || error.status >= 500);

/** What the call resolves with, or undefined where it rejects because there is no such object or resource. */
export async function unlessNotFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function hasStatus(error: unknown, status: number): error is ApiError {
  return error instanceof ApiError && error.status === status;
}

function seconds(header: string | undefined): number | undefined {
  return header !== undefined && /^\d+$/.test(header) ? Number(header) : undefined;
}
