// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Raw JSON calls to the API server over one pool of kept-alive connections, each with a deadline and a size limit.

import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import { addAbortSignal } from 'node:stream';
import { parseJson } from '../../lib/parse-json.ts';
import { ApiError, statusError } from './api-error.ts';
import { withinLimit } from './call-limit.ts';
import type { Credentials } from './credentials.ts';
import { open, readBody, TooLargeError } from './http-exchange.ts';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As built by resource.ts, without the query. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Default `application/json`. */
  readonly accept?: string;
  /** How long the whole call may take, with waiting for a connection; for a stream until its head. Default 10 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** What is attempted, for the message: `create stepupapprovals prod/x`. Default: method and path. */
  readonly attempt?: string;
  /** Told the warnings of an answer, also of one that refuses. */
  readonly onWarnings?: (warnings: readonly string[]) => void;
}

export interface RestClientOptions {
  readonly credentials: Credentials;
  /** Connections for calls at most, default 16. Watches have connections of their own. */
  readonly maxSockets?: number;
  /** Default 10 s. */
  readonly deadlineMs?: number;
  /** Default 32 MiB: a page of a list, not a whole one. */
  readonly maxAnswerBytes?: number;
  /** Default `stepup`. */
  readonly userAgent?: string;
}

/** The API server closes idle connections after 90 s: we do so first, so that a write does not meet a closing one. */
const idleConnectionMs = 60_000;
const tcpKeepAliveMs = 15_000;
/** An API server that is only slow must not have its watchers come again at each call that it did not answer in time. */
const streamsDropMs = 15_000;
/** The API server refuses larger ones (`limitedReadBody`). */
const mostRequestBytes = 3 * 1024 * 1024;
const mostStatusBytes = 1024 * 1024;

export class RestClient {
  readonly #credentials: Credentials;
  readonly #calls: Agent;
  readonly #streams: Agent;
  readonly #deadlineMs: number;
  readonly #maxAnswerBytes: number;
  readonly #userAgent: string;
  #acceptedAtMs = performance.now();
  #streamsDroppedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: RestClientOptions) {
    this.#credentials = options.credentials;
    this.#deadlineMs = options.deadlineMs ?? 10_000;
    this.#maxAnswerBytes = options.maxAnswerBytes ?? 32 * 1024 * 1024;
    this.#userAgent = options.userAgent ?? 'stepup';
    const connection = {
      ...options.credentials.tls,
      keepAlive: true,
      keepAliveMsecs: tcpKeepAliveMs,
      timeout: idleConnectionMs,
    };
    const maxSockets = options.maxSockets ?? 16;
    this.#calls = new Agent({ ...connection, maxSockets, maxFreeSockets: maxSockets });
    this.#streams = new Agent({ ...connection, maxSockets: Number.POSITIVE_INFINITY });
  }

  /**
   * Resolves with the parsed JSON of a 2xx answer. Rejects with ApiError only; 429 is reported, not waited for.
   * Writes are never sent twice, save after 401: such a request was not executed.
   */
  async request(request: ApiRequest): Promise<unknown> {
    const attempt = attemptText(request);
    const limit = { attempt, deadlineMs: request.deadlineMs ?? this.#deadlineMs, signal: request.signal };
    try {
      return await withinLimit(limit, async (signal) => {
        const answer = await this.#send(this.#calls, request, signal);
        const body = await readBody(answer, this.#maxAnswerBytes);
        return parsedBody(body);
      });
    } catch (error) {
      const failure = asApiError(attempt, error);
      if (failure.kind === 'deadline') this.#dropConnections();
      throw failure;
    }
  }

  /**
   * Resolves with the body of a 2xx answer as it arrives: for watches. The signal ends it at any time; reading it then
   * throws. Rejects with ApiError.
   */
  async stream(request: ApiRequest): Promise<IncomingMessage> {
    const attempt = attemptText(request);
    const limit = { attempt, deadlineMs: request.deadlineMs ?? this.#deadlineMs, signal: request.signal };
    try {
      const answer = await withinLimit(limit, (signal) => this.#send(this.#streams, request, signal));
      return request.signal === undefined ? answer : addAbortSignal(request.signal, answer);
    } catch (error) {
      throw asApiError(attempt, error);
    }
  }

  /**
   * When the API server last answered one whom it knows: any answer but 401 counts, since 429 or 500 is no fault of the
   * way to it or of our credentials. A monotonic instant (`performance.now`), at first that of the construction.
   */
  get acceptedAtMs(): number {
    return this.#acceptedAtMs;
  }

  /** Closes all connections; calls under way fail. */
  close(): void {
    this.#calls.destroy();
    this.#streams.destroy();
  }

  /** Resolves with a 2xx answer whose body is unread. */
  async #send(agent: Agent, request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const body = encodeBody(request);
    const exchange = {
      agent,
      server: this.#credentials.server,
      method: request.method,
      path: `${request.path}${encodeQuery(request.query)}`,
      body,
      signal,
    };
    const fixedHeaders = {
      Accept: request.accept ?? 'application/json',
      'User-Agent': this.#userAgent,
      ...(body && { 'Content-Type': request.contentType ?? 'application/json', 'Content-Length': body.length }),
    };
    const authentication = await this.#credentials.headers();
    let answer = await open({ ...exchange, headers: { ...fixedHeaders, ...authentication } });
    if (answer.statusCode === 401 && 'Authorization' in authentication) {
      await readBody(answer, mostStatusBytes);
      const renewed = await this.#credentials.headers({ reload: true });
      answer = await open({ ...exchange, headers: { ...fixedHeaders, ...renewed } });
    }
    const status = answer.statusCode ?? 0;
    if (status !== 401) this.#acceptedAtMs = performance.now();
    request.onWarnings?.(warningsIn(answer.headersDistinct.warning ?? []));
    if (status >= 200 && status < 300) return answer;
    const text = await readBody(answer, mostStatusBytes);
    throw statusError(attemptText(request), status, tryJson(text), answer.headers['retry-after']);
  }

  /**
   * When the API server or the way to it died silently, every connection is dead. Without this each following call
   * would find that out by a deadline of its own, and each watch only after a silence longer than that between two
   * bookmarks. A watch that was alive after all resumes where it was.
   */
  #dropConnections(): void {
    for (const socket of Object.values(this.#calls.freeSockets).flat()) socket?.destroy();
    const nowMs = performance.now();
    if (nowMs - this.#streamsDroppedAtMs < streamsDropMs) return;
    this.#streamsDroppedAtMs = nowMs;
    for (const socket of Object.values(this.#streams.sockets).flat()) socket?.destroy();
  }
}

function attemptText(request: ApiRequest): string {
  return request.attempt ?? `${request.method} ${request.path}`;
}

/** The texts of Warning headers as the API server writes them: `299 - "text"` (RFC 7234, 5.5). */
function warningsIn(headers: readonly string[]): readonly string[] {
  return headers.flatMap((header) => {
    const [, text] = /^299 \S+ "((?:[^"\\]|\\.)*)"/.exec(header) ?? [];
    return text === undefined ? [] : [text.replaceAll(/\\(.)/g, '$1')];
  });
}

function encodeBody(request: ApiRequest): Buffer | undefined {
  if (request.body === undefined) return undefined;
  const body = Buffer.from(JSON.stringify(request.body));
  if (body.length > mostRequestBytes) {
    const detail = `the request is larger than ${mostRequestBytes} bytes`;
    throw new ApiError({ kind: 'status', attempt: attemptText(request), status: 413, detail });
  }
  return body;
}

function encodeQuery(query: ApiRequest['query']): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) parameters.set(name, String(value));
  return parameters.size === 0 ? '' : `?${parameters}`;
}

class MalformedError extends Error {}

function parsedBody(body: Buffer): unknown {
  try {
    return parseJson(body.toString('utf8'));
  } catch {
    // The parser's own message quotes the body, which may be a Secret.
    throw new MalformedError('the answer is not JSON');
  }
}

/** A proxy in between answers in HTML: its status still tells something. */
function tryJson(body: Buffer): unknown {
  try {
    return parseJson(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function asApiError(attempt: string, error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const kind = error instanceof TooLargeError || error instanceof MalformedError ? 'answer' : 'network';
  return new ApiError({ kind, attempt, detail: error instanceof Error ? error.message : String(error), cause: error });
}
