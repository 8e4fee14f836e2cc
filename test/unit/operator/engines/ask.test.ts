// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One question over real HTTP and TLS, answered well and badly: only an answer of the contract decides.
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EngineReview } from '../../../../src/domain/engines/engine-review.ts';
import { ask } from '../../../../src/operator/engines/ask.ts';
import type { Engine } from '../../../../src/operator/engines/engine-settings.ts';
import { createAuthority } from '../../../support/control-plane/certificates.ts';
import { answering, approving, type Door, json, startDoor } from '../../../support/fakes/fake-engine.ts';

const review = { kind: 'EngineReview', engine: 'e' } as EngineReview;
const engineAt = (url: string, over: Partial<Engine> = {}): Engine => ({
  name: 'e',
  url: new URL(url),
  format: 'stepup',
  timeoutSeconds: 0.2,
  ...over,
});
const never = new AbortController().signal;

let door: Door;
beforeAll(async () => {
  door = await startDoor();
});
beforeEach(() => {
  door.answer = approving;
});
afterAll(() => door.stop());

const asked = async (answer: Door['answer']) => {
  door.answer = answer;
  return ask(engineAt(door.url), review, never);
};

describe('over HTTP on loopback', () => {
  test('an answer decides, and the question is the review', async () => {
    expect(await asked(approving)).toEqual({
      result: 'Approve',
      answer: { verdict: 'Approve', reason: 'as told', rule: 'r1' },
    });
    expect(door.asked.at(-1)).toEqual({ path: '/review', body: JSON.stringify(review) });
  });

  const yes = '{"verdict":"Approve","reason":"as told","rule":"r1"}';
  test.each<[string, Door['answer'], string, string]>([
    ['redirect', answering(302, { location: '/elsewhere' }, yes), 'Redirect', 'it answered 302, and redirects'],
    ['an error', answering(503, json, yes), 'BadStatus', 'it answered 503'],
    ['201', answering(201, json, yes), 'BadStatus', 'it answered 201'],
    ['another media type', answering(200, { 'content-type': 'text/plain' }, yes), 'BadAnswer', 'application/json'],
    ['no media type', answering(200, {}, yes), 'BadAnswer', 'application/json'],
    ['packed', answering(200, { ...json, 'content-encoding': 'gzip' }, yes), 'BadAnswer', 'application/json'],
    ['no JSON', answering(200, json, 'Approve'), 'BadAnswer', 'cannot be read'],
    ['too much', answering(200, json, `${' '.repeat(65_536)}${yes}`), 'TooLarge', 'larger than 64 KiB'],
    ['cut off', answering(200, { ...json, 'content-length': '9999' }, yes), 'Unreachable', 'cannot be reached'],
    ['nothing', () => {}, 'Timeout', 'no answer within 0.2 s'],
    ['half, for ever', (response) => void response.writeHead(200, json).write('{'), 'Timeout', 'no answer within'],
    ['hung up', (response) => void response.destroy(), 'Unreachable', 'cannot be reached (ECONNRESET)'],
    [
      'hung up half-way',
      (response) =>
        void response.writeHead(200, { ...json, 'content-length': '999' }).write('{', () => response.destroy()),
      'Unreachable',
      'cannot be reached',
    ],
  ])('%s is an abstention', async (_, answer, result, why) => {
    const { answer: given, result: got } = await asked(answer);
    expect({ got, given }).toEqual({ got: result, given: { verdict: 'Abstain', why: expect.stringContaining(why) } });
    expect(door.asked.map(({ path }) => path)).not.toContain('/elsewhere');
  });

  test('no server is an abstention', async () => {
    const server = createTcpServer();
    const port = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await ask(engineAt(`http://127.0.0.1:${port}/`), review, never)).toEqual({
      result: 'Unreachable',
      answer: { verdict: 'Abstain', why: 'it cannot be reached (ECONNREFUSED)' },
    });
  });

  test('a leader that ends takes no answer', async () => {
    door.answer = () => {};
    await expect(ask(engineAt(door.url), review, AbortSignal.timeout(50))).rejects.toThrow();
  });
});

describe('over TLS', () => {
  let authority: Awaited<ReturnType<typeof createAuthority>>;
  let server: Server;
  let port: number;
  let questions = 0;
  beforeAll(async () => {
    authority = await createAuthority('engines');
    const leaf = await authority.issueServer({ commonName: 'e' }, { dns: [], ips: ['127.0.0.1'] });
    server = createTlsServer(leaf, (_, response) => {
      questions += 1;
      approving(response);
    });
    port = await listening(server);
  });
  afterAll(() => server.close());

  test('an answer under the configured authority decides', async () => {
    const engine = engineAt(`https://127.0.0.1:${port}/`, { caBundle: authority.cert, timeoutSeconds: 2 });
    expect((await ask(engine, review, never)).result).toBe('Approve');
  });

  test.each<[string, string, () => Promise<string | undefined>]>([
    ['no authority', '127.0.0.1', async () => undefined],
    ['another authority of the same name', '127.0.0.1', async () => (await createAuthority('engines')).cert],
    ['another host', 'localhost', async () => authority.cert],
  ])('under %s nothing is even asked', async (_, host, bundle) => {
    const before = questions;
    const caBundle = await bundle();
    const over = { timeoutSeconds: 2, ...(caBundle === undefined ? {} : { caBundle }) };
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      const { result, answer } = await ask(engineAt(`https://${host}:${port}/`, over), review, never);
      expect([result, answer.verdict]).toEqual(['TLS', 'Abstain']);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
    expect(questions).toBe(before);
  });

  test('a plain server is none', async () => {
    const engine = engineAt(door.url.replace('http:', 'https:'), { timeoutSeconds: 2 });
    expect((await ask(engine, review, never)).result).toBe('TLS');
  });
});

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
