// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The HTTPS server: what is no review gets a clear error, and nothing but a whole review is ever decided.

import { Agent, request as httpsRequest } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../../../src/api/admission-review.ts';
import { WebhookServer } from '../../../../src/webhook/http/server.ts';
import { imageUpdate, review } from '../../../support/builders/reviews.ts';
import { issueLeaf } from '../../../support/fakes/webhook-client.ts';
import { counted, type Harness, startWebhook } from '../../../support/fakes/webhook-harness.ts';

let webhook: Harness;
beforeAll(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
});
afterAll(() => webhook.stop());

const gate = '/gate/deploys';

describe('what is no review', () => {
  const whole = JSON.stringify(imageUpdate());
  test.each<[string, string, string | Buffer, object | undefined]>([
    ['is not JSON', gate, '{"kind":', undefined],
    ['is empty', gate, '', undefined],
    ['is cut short', gate, whole.slice(0, -5), undefined],
    ['asks nothing', gate, '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', undefined],
    ['has a key twice', gate, whole.replace('{', '{"kind":"x",'), undefined],
    ['is too large', gate, Buffer.alloc(9 * 1024 * 1024, 'x'), undefined],
    [
      'says it is larger than it may be',
      '/stamp',
      Buffer.alloc(9 * 1024 * 1024, 'x'),
      { 'transfer-encoding': 'chunked' },
    ],
    ['is YAML', gate, 'kind: AdmissionReview', { 'content-type': 'application/yaml' }],
    ['has no content type', gate, whole, {}],
    ['comes to another path', '/elsewhere', whole, undefined],
    ['comes to a path below', `${gate}/more`, whole, undefined],
    ['comes to a path that cannot be decoded', '/gate/%zz', whole, undefined],
  ])('%s', async (_, path, body, headers) => {
    const given =
      headers === undefined || 'content-type' in headers ? headers : { 'content-type': 'application/json', ...headers };
    const answer = await webhook.post(path, body, Object.keys(headers ?? { x: 1 }).length === 0 ? {} : given);
    expect(answer).toMatchSnapshot();
  });

  test.each(['GET', 'PUT', 'HEAD'])('%s is not answered', async (method) => {
    const answer = await new Promise<number | undefined>((resolve, reject) => {
      const { agent, port } = webhook;
      httpsRequest({ agent, port, host: '127.0.0.1', path: gate, method }, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      })
        .on('error', reject)
        .end();
    });
    expect(answer).toBe(405);
  });

  test.each<[string, object]>([
    ['of an older version', { ...review(), apiVersion: 'admission.k8s.io/v1beta1' }],
    ['of another kind', { ...review(), kind: 'TokenReview' }],
    ['without requester', review({ userInfo: {} })],
    ['without object', review({ object: null })],
  ])('but a review %s is denied by its uid', async (_, asked) => {
    const answer = await webhook.ask(asked);
    expect(answer).toMatchObject({ allowed: false, status: { code: 400, reason: 'InvalidRequest' } });
    expect(answer.status?.message).toMatchSnapshot();
    expect(await webhook.stamp(asked)).toEqual(answer);
  });
});

describe('a body that does not come whole', () => {
  test('is not decided on, and the next review is', async () => {
    const before = await counted(webhook, 'stepup_decisions_total');
    const body = JSON.stringify(imageUpdate());
    const socket = await connected();
    socket.write(head(body.length));
    socket.write(body.slice(0, -10));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await counted(webhook, 'stepup_decisions_total')).toBe(before);
    expect((await webhook.ask(imageUpdate('nginx:1'))).allowed).toBe(true);
  });

  test('is read across many packets', async () => {
    const body = JSON.stringify(imageUpdate('nginx:1'));
    const socket = await connected();
    socket.write(head(body.length));
    for (let at = 0; at < body.length; at += 200) {
      socket.write(body.slice(at, at + 200));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(`${data}`)));
    socket.destroy();
    expect(answer).toContain('"allowed":true');
  });

  test('plain HTTP gets no decision', async () => {
    const socket = tcpConnect(webhook.port, '127.0.0.1');
    socket.write('POST /gate/deploys HTTP/1.1\r\n\r\n');
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (data) => {
        text += data;
      });
      socket.on('error', () => resolve(text));
      socket.on('close', () => resolve(text));
    });
    expect(answer).not.toContain('200');
  });

  const head = (length: number) =>
    `POST ${gate} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
});

function connected(options: object = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: webhook.port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () =>
      resolve(socket),
    );
    socket.on('error', reject);
  });
}

describe('TLS', () => {
  test('is not spoken below 1.2', async () => {
    await expect(connected({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).rejects.toThrow();
    const socket = await connected({ maxVersion: 'TLSv1.2' });
    expect(socket.getProtocol()).toBe('TLSv1.2');
    socket.destroy();
  });

  test('follows a new certificate without a new listener', async () => {
    const names = async () => {
      const socket = await connected();
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return subject.CN;
    };
    expect(await names()).toBe('stepup');
    webhook.server.setCertificate(await issueLeaf('renewed'));
    expect(await names()).toBe('renewed');
    expect(() => webhook.server.setCertificate({ cert: 'x', key: 'y' })).toThrow();
    expect(await names()).toBe('renewed');
    expect(await counted(webhook, 'stepup_certificate_expiry_timestamp_seconds')).toBeGreaterThan(Date.now() / 1000);
  });
});

describe('a server of its own', () => {
  async function start(gateReview: () => Promise<Answer>, limits: { mostReviews?: number; drainMs?: number } = {}) {
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const server = new WebhookServer({
      gate: { review: gateReview },
      stamper: { review: gateReview },
      pinner: { review: gateReview },
      metrics: { undecided() {}, review() {} },
      log,
      ...limits,
    });
    const agent = new Agent({ rejectUnauthorized: false, keepAlive: true });
    const listening = server.listen({ address: '127.0.0.1', port: 0 });
    expect(server.isListening).toBe(false);
    server.setCertificate(await issueLeaf('own'));
    const port = await listening;
    const ask = () =>
      new Promise<string>((resolve, reject) => {
        const headers = { 'content-type': 'application/json' };
        httpsRequest({ agent, port, host: '127.0.0.1', path: gate, method: 'POST', headers }, (response) => {
          let text = '';
          response.on('data', (data) => {
            text += data;
          });
          response.on('end', () => resolve(`${response.statusCode} ${text}`));
        })
          .on('error', reject)
          .end(JSON.stringify(imageUpdate()));
      });
    return { server, agent, ask };
  }

  test('refuses what is too much at once', async () => {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const { server, agent, ask } = await start(() => promise, { mostReviews: 3 });
    const asked = Array.from({ length: 6 }, ask);
    const refused = await Promise.race(asked);
    expect(refused).toContain('stepup is not ready to decide. Too many reviews at once');
    await new Promise((done) => setTimeout(done, 100));
    resolve({});
    const answers = await Promise.all(asked);
    expect(answers.filter((answer) => answer.includes('"allowed":true')).length).toBe(3);
    agent.destroy();
    await server.close();
  });

  test('does not allow when the gate breaks its promise', async () => {
    const { server, agent, ask } = await start(() => Promise.reject(new Error('broken')));
    expect(await ask()).toBe('500 {"message":"stepup: stepup failed; nothing was admitted"}');
    agent.destroy();
    await server.close();
  });

  test('finishes what it has begun when it closes, and takes nothing new after a while', async () => {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const { server, agent, ask } = await start(() => promise, { drainMs: 100 });
    const asked = ask();
    await new Promise((done) => setTimeout(done, 50));
    const closed = server.close();
    await new Promise((done) => setTimeout(done, 200));
    await expect(ask()).rejects.toThrow();
    resolve({});
    expect(await asked).toContain('"allowed":true');
    await closed;
    agent.destroy();
  });

  test('lets clients leave the connections they use before it cuts any: no review meets a closing one', async () => {
    const { server, agent, ask } = await start(() => Promise.resolve({}), { drainMs: 60_000 });
    await Promise.all(Array.from({ length: 4 }, ask));
    const closed = server.close();
    // Told by its answer, the client gives each connection up; when the last has gone, waiting ends.
    const answers = await Promise.all(Array.from({ length: 4 }, ask));
    expect(answers.filter((answer) => answer.startsWith('200')).length).toBe(4);
    await closed;
    await expect(ask()).rejects.toThrow();
    agent.destroy();
  });
});

test('is ready once caches have synced and it listens', async () => {
  expect(webhook.server.notReady()).toEqual([]);
  webhook.caches.hasSynced = false;
  expect(webhook.server.notReady()).toEqual(['the caches have not synced yet']);
  webhook.caches.hasSynced = true;
});
