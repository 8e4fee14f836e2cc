// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The REST client against connections that break in every way.

import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import type { ApiError } from '../../../../src/kube/http/api-error.ts';
import { RestClient, type RestClientOptions } from '../../../../src/kube/http/rest.ts';
import { type FakeServer, startFakeServer } from '../../../support/fakes/fake-server.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

async function setup(
  listener: RequestListener,
  options: Partial<RestClientOptions> = {},
): Promise<{ server: FakeServer; rest: RestClient }> {
  const server = await startFakeServer(listener);
  const rest = new RestClient({ credentials: server.credentials, ...options });
  cleanups.push(
    () => server.stop(),
    () => rest.close(),
  );
  return { server, rest };
}

/** What a call rejected with. */
async function failure(call: Promise<unknown>): Promise<Pick<ApiError, 'kind' | 'status' | 'reason' | 'message'>> {
  const error = await call.then(
    () => expect.fail('the call succeeded'),
    (reason: ApiError) => reason,
  );
  return { kind: error.kind, status: error.status, reason: error.reason, message: error.message };
}

describe('rest client', () => {
  test('sends method, path below the prefix, query, JSON and credentials', async () => {
    const { rest } = await setup((request, response) => {
      const { method, url, headers } = request;
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        const { 'content-type': contentType, authorization, accept } = headers;
        const body = Buffer.concat(chunks).toString();
        response.end(JSON.stringify({ method, url, contentType, authorization, accept, body }));
      });
    });
    const query = { a: 'x y', b: undefined, c: true };
    expect(
      await rest.request({ method: 'PATCH', path: '/api', query, body: { é: 1 }, contentType: 'application/x' }),
    ).toEqual({
      method: 'PATCH',
      url: '/prefix/api?a=x+y&c=true',
      contentType: 'application/x',
      authorization: 'Bearer token-0',
      accept: 'application/json',
      body: '{"é":1}',
    });
  });

  test('50 calls in a row use one connection', async () => {
    const { rest, server } = await setup((_request, response) => response.end('{}'));
    for (let i = 0; i < 50; i += 1) {
      await rest.request({ method: 'GET', path: '/' });
    }
    expect(server.connections).toBe(1);
  });

  test('50 calls at once use as many connections as allowed', async () => {
    const { rest, server } = await setup((_request, response) => setTimeout(() => response.end('{}'), 5), {
      maxSockets: 4,
    });
    await Promise.all(Array.from({ length: 50 }, () => rest.request({ method: 'GET', path: '/' })));
    expect(server.connections).toBe(4);
  });

  test('streams do not use up the connections of calls', async () => {
    const { rest } = await setup(
      (request, response) => {
        response.writeHead(200);
        response.flushHeaders();
        if (!request.url?.endsWith('watch')) {
          response.end('{}');
        }
      },
      { maxSockets: 1 },
    );
    const signal = new AbortController();
    cleanups.push(() => signal.abort());
    await Promise.all([1, 2].map(() => rest.stream({ method: 'GET', path: '/watch', signal: signal.signal })));
    expect(await rest.request({ method: 'GET', path: '/' })).toEqual({});
  });

  test('401 is tried once more with a reloaded token, also for a write', async () => {
    const tokens: unknown[] = [];
    const { rest } = await setup((request, response) => {
      tokens.push(request.headers.authorization);
      response.statusCode = request.headers.authorization === 'Bearer token-1' ? 200 : 401;
      response.end('{}');
    });
    expect(await rest.request({ method: 'POST', path: '/', body: {} })).toEqual({});
    expect(tokens).toEqual(['Bearer token-0', 'Bearer token-1']);
  });

  test('a second 401 is reported', async () => {
    const { rest } = await setup((_request, response) => response.writeHead(401).end('{}'));
    expect(await failure(rest.request({ method: 'GET', path: '/x' }))).toMatchObject({ kind: 'status', status: 401 });
  });

  test('429 is reported with how long to wait, not waited for', async () => {
    let calls = 0;
    const { rest } = await setup((_request, response) => {
      calls += 1;
      response.writeHead(429, { 'Retry-After': '3' }).end('{"kind":"Status","code":429,"reason":"TooManyRequests"}');
    });
    const error = await rest.request({ method: 'GET', path: '/x' }).catch((reason: ApiError) => reason);
    expect(error).toMatchObject({ status: 429, retryAfterSeconds: 3, message: 'GET /x: 429 TooManyRequests' });
    expect(calls).toBe(1);
  });

  describe('a kept-alive connection that is reset before any answer', () => {
    async function afterReset(method: 'GET' | 'POST') {
      let calls = 0;
      const { rest } = await setup((request, response) => {
        calls += 1;
        if (calls === 2) {
          request.socket.destroy();
          return;
        }
        response.end('{}');
      });
      await rest.request({ method: 'GET', path: '/' });
      const outcome = await rest.request({ method, path: '/' }).then(
        () => 'succeeded',
        (error: ApiError) => error.kind,
      );
      return { outcome, calls };
    }

    test('is tried again once for a GET', async () => {
      expect(await afterReset('GET')).toEqual({ outcome: 'succeeded', calls: 3 });
    });

    test('is reported for a write', async () => {
      expect(await afterReset('POST')).toEqual({ outcome: 'network', calls: 2 });
    });
  });

  test('a fresh connection that is reset is reported, also for a GET', async () => {
    let calls = 0;
    const { rest } = await setup((request) => {
      calls += 1;
      request.socket.destroy();
    });
    expect(await failure(rest.request({ method: 'GET', path: '/' }))).toMatchObject({ kind: 'network' });
    expect(calls).toBe(1);
  });

  test.each([
    ['no head', () => {}],
    ['half a body', (_request, response) => response.write('{"a":')],
  ] satisfies [string, RequestListener][])('the deadline covers an answer with %s', async (_name, listener) => {
    const { rest } = await setup(listener as RequestListener);
    expect(await failure(rest.request({ method: 'GET', path: '/x', deadlineMs: 50 }))).toEqual({
      kind: 'deadline',
      status: 0,
      reason: '',
      message: 'GET /x: no answer within 50 ms',
    });
  });

  test('the deadline covers waiting for a connection', async () => {
    const { rest } = await setup(() => {}, { maxSockets: 1 });
    const calls = [1, 2].map(() => failure(rest.request({ method: 'GET', path: '/', deadlineMs: 50 })));
    expect((await Promise.all(calls)).map(({ kind }) => kind)).toEqual(['deadline', 'deadline']);
  });

  test('after a deadline no idle connection is used again, since they died together', async () => {
    const { rest, server } = await setup((request, response) => {
      if (!request.url?.endsWith('hang')) {
        setTimeout(() => response.end('{}'), 5);
      }
    });
    const get = (path: string, deadlineMs = 10_000) => rest.request({ method: 'GET', path, deadlineMs });
    await Promise.all([get('/'), get('/'), get('/')]);
    await failure(get('/hang', 100));
    await get('/');
    expect(server.connections).toBe(4);
  });

  test('the signal ends a call', async () => {
    const { rest } = await setup(() => {});
    const signal = AbortSignal.timeout(20);
    expect(await failure(rest.request({ method: 'GET', path: '/', signal }))).toMatchObject({ kind: 'aborted' });
    expect(await failure(rest.request({ method: 'GET', path: '/', signal }))).toMatchObject({ kind: 'aborted' });
  });

  test('an answer too large is refused', async () => {
    const { rest } = await setup((_request, response) => response.end(`"${'x'.repeat(100)}"`), { maxAnswerBytes: 50 });
    expect(await failure(rest.request({ method: 'GET', path: '/x' }))).toEqual({
      kind: 'answer',
      status: 0,
      reason: '',
      message: 'GET /x: the answer is larger than 50 bytes',
    });
  });

  test('a request too large is not sent', async () => {
    const { rest, server } = await setup((_request, response) => response.end('{}'));
    const body = 'x'.repeat(3 * 1024 * 1024);
    expect(await failure(rest.request({ method: 'POST', path: '/x', body }))).toMatchObject({ status: 413 });
    expect(server.connections).toBe(0);
  });

  test('an answer that is not JSON is refused without being quoted', async () => {
    const { rest } = await setup((_request, response) => response.end('secret'));
    expect(await failure(rest.request({ method: 'GET', path: '/x' }))).toMatchObject({
      kind: 'answer',
      message: 'GET /x: the answer is not JSON',
    });
  });

  test('a key that JSON.parse would misread is read as what it says (nodejs/node#63785)', async () => {
    const said = ['{"answer":1,"\\\\":2}', '{"answer":1,"\\u0062":2}'];
    const { rest } = await setup((_request, response) => response.end(said.shift()));
    await rest.request({ method: 'GET', path: '/x' });
    expect(await rest.request({ method: 'GET', path: '/x' })).toEqual({ answer: 1, b: 2 });
  });

  test('a body cut off is reported, never half an answer', async () => {
    const { rest } = await setup((request, response) => {
      response.writeHead(200, { 'Content-Length': '100' });
      response.write('{}', () => request.socket.destroy());
    });
    expect(await failure(rest.request({ method: 'GET', path: '/x' }))).toMatchObject({ kind: 'network' });
  });

  test('a server with a certificate of another authority is not spoken to', async () => {
    let calls = 0;
    const { server } = await setup(() => {
      calls += 1;
    });
    const other = await startFakeServer(() => {});
    const rest = new RestClient({ credentials: { ...server.credentials, tls: other.credentials.tls } });
    cleanups.push(
      () => other.stop(),
      () => rest.close(),
    );
    expect(await failure(rest.request({ method: 'GET', path: '/' }))).toMatchObject({ kind: 'network' });
    expect(calls).toBe(0);
  });

  test('a stream is read as it arrives and ends with its signal', async () => {
    const { rest } = await setup((_request, response) => response.write('one'));
    const controller = new AbortController();
    const stream = await rest.stream({ method: 'GET', path: '/', signal: controller.signal });
    const read = async () => {
      for await (const chunk of stream) {
        expect(String(chunk)).toBe('one');
        controller.abort();
      }
    };
    await expect(read()).rejects.toThrow(/abort/);
  });

  test('a stream whose head does not come meets the deadline', async () => {
    const { rest } = await setup(() => {});
    expect(await failure(rest.stream({ method: 'GET', path: '/x', deadlineMs: 50 }))).toMatchObject({
      kind: 'deadline',
    });
  });
});

describe('warnings', () => {
  test('are told as they were meant, of answers and of refusals', async () => {
    const { rest } = await setup((request, response) => {
      response.setHeader('Warning', ['299 - "one, \\"two\\""', '299 kube "three"', '199 - "no"', 'nonsense']);
      response.statusCode = request.url?.endsWith('/refused') ? 403 : 200;
      response.end('{}');
    });
    const told: string[][] = [];
    const onWarnings = (warnings: readonly string[]) => told.push([...warnings]);
    await rest.request({ method: 'POST', path: '/fine', onWarnings });
    await failure(rest.request({ method: 'POST', path: '/refused', onWarnings }));
    expect(told).toEqual([
      ['one, "two"', 'three'],
      ['one, "two"', 'three'],
    ]);
  });
});
