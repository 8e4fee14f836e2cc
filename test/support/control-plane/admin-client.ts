// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The harness's own client: raw JSON over keep-alive connections, so that nothing of the product is trusted to test it.

import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';

export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

interface ObjectMeta {
  name: string;
  namespace?: string;
  generateName?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
}

interface ObjectList<T = KubeObject> {
  metadata: { resourceVersion: string };
  items: T[];
}

export interface WatchEvent<T = KubeObject> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T;
}

export type PatchType = 'merge' | 'strategic' | 'json' | 'apply';

/** Paths are those of the API server, query included: `/api/v1/namespaces/default/pods?limit=5`. */
export interface AdminClient {
  get<T = KubeObject>(path: string): Promise<T>;
  list<T = KubeObject>(path: string): Promise<ObjectList<T>>;
  post<T = KubeObject>(path: string, body: unknown): Promise<T>;
  put<T = KubeObject>(path: string, body: unknown): Promise<T>;
  patch<T = KubeObject>(path: string, body: unknown, type?: PatchType): Promise<T>;
  delete<T = KubeObject>(path: string, options?: unknown): Promise<T>;
  /** The answer as it came, also when it is a refusal. */
  send(method: string, path: string, options?: SendOptions): Promise<Answer>;
  /** Events from `resourceVersion` (in the path) on, until the server ends the watch or `signal` aborts it. */
  watch<T = KubeObject>(path: string, signal: AbortSignal): AsyncGenerator<WatchEvent<T>>;
  close(): void;
}

interface SendOptions {
  readonly body?: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

/** The API server said no; `status` is its Status object where it sent one. */
export class ApiRefusal extends Error {
  readonly code: number;
  readonly status: unknown;

  constructor(method: string, path: string, { code, body }: Answer) {
    super(`${method} ${path}: ${code} ${messageOf(body)}`);
    this.name = 'ApiRefusal';
    this.code = code;
    this.status = body;
  }
}

export interface AdminClientOptions {
  readonly server: string;
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
}

const patchTypes: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

const defaultTimeoutMs = 60_000;

export function createAdminClient(options: AdminClientOptions): AdminClient {
  const { server, ca, cert, key, token } = options;
  const agent = new Agent({ keepAlive: true, maxSockets: 64, ca, ...(cert && key ? { cert, key } : {}) });
  // A watch would hold one of the shared connections for minutes.
  const watchAgent = new Agent({ keepAlive: false, ca, ...(cert && key ? { cert, key } : {}) });
  const authorization: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};

  const open = async (method: string, path: string, sent: SendOptions & { agent: Agent; signal?: AbortSignal }) => {
    const payload = sent.body === undefined ? undefined : JSON.stringify(sent.body);
    const req = request(new URL(path, server), {
      method,
      agent: sent.agent,
      ...(sent.signal ? { signal: sent.signal } : {}),
      headers: {
        accept: 'application/json',
        ...authorization,
        ...(payload === undefined ? {} : bodyHeaders(payload, sent.contentType)),
        ...sent.headers,
      },
    });
    const timeoutMs = sent.timeoutMs;
    if (timeoutMs) {
      req.setTimeout(timeoutMs, () => req.destroy(new Error(`${method} ${path}: no answer within ${timeoutMs} ms`)));
    }
    req.end(payload);
    const [response] = await once(req, 'response');
    return response as IncomingMessage;
  };

  const send = async (method: string, path: string, sent: SendOptions = {}): Promise<Answer> => {
    const response = await open(method, path, { timeoutMs: defaultTimeoutMs, ...sent, agent });
    const code = response.statusCode ?? 0;
    return { code, headers: response.headers, body: parseBody(await readText(response)) };
  };

  // The caller names the type it expects: in a test a wrong guess is a failed assertion, not a hazard.
  const expectOk = async <T>(method: string, path: string, sent: SendOptions = {}): Promise<T> => {
    const answer = await send(method, path, sent);
    if (answer.code < 200 || answer.code > 299) throw new ApiRefusal(method, path, answer);
    return answer.body as T;
  };

  return {
    send,
    get: (path) => expectOk('GET', path),
    list: (path) => expectOk('GET', path),
    post: (path, body) => expectOk('POST', path, { body }),
    put: (path, body) => expectOk('PUT', path, { body }),
    patch: (path, body, type = 'merge') => expectOk('PATCH', path, { body, contentType: patchTypes[type] }),
    delete: (path, body) => expectOk('DELETE', path, { body }),
    async *watch<T>(path: string, signal: AbortSignal) {
      const response = await open('GET', path, { agent: watchAgent, signal });
      if (response.statusCode !== 200) {
        const body = parseBody(await readText(response));
        throw new ApiRefusal('WATCH', path, { code: response.statusCode ?? 0, headers: response.headers, body });
      }
      for await (const line of linesOf(response)) yield JSON.parse(line) as WatchEvent<T>;
    },
    close: () => {
      agent.destroy();
      watchAgent.destroy();
    },
  };
}

function bodyHeaders(payload: string, contentType = 'application/json'): Record<string, string> {
  // Node gives the body of a DELETE no length by itself, and the server takes what follows for another request.
  return { 'content-type': contentType, 'content-length': String(Buffer.byteLength(payload)) };
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // health endpoints and proxies answer in plain text
  }
}

function messageOf(body: unknown): string {
  if (typeof body === 'object' && body && 'message' in body) return String(body.message);
  return String(body).slice(0, 200);
}
