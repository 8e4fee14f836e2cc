// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the REST client concludes from calls that met their deadline or were not accepted.

import type { RequestListener } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { RestClient } from '../../../../src/kube/http/rest.ts';
import { startFakeServer } from '../../../support/fakes/fake-server.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function restTo(listener: RequestListener): Promise<RestClient> {
  const server = await startFakeServer(listener);
  const rest = new RestClient({ credentials: server.credentials });
  cleanups.push(
    () => server.stop(),
    () => rest.close(),
  );
  return rest;
}

const call = (rest: RestClient, path: string) => rest.request({ method: 'GET', path, deadlineMs: 100 });

test('a call that met its deadline ends the watches, whose connections may be as dead', async () => {
  const rest = await restTo((request, response) => {
    if (request.url?.endsWith('watch')) response.write('one');
  });
  const stream = await rest.stream({ method: 'GET', path: '/watch' });
  const read = async () => {
    for await (const chunk of stream) expect(String(chunk)).toBe('one');
  };
  const reading = expect(read()).rejects.toThrow(/aborted|closed|reset/i);
  await expect(call(rest, '/hang')).rejects.toMatchObject({ kind: 'deadline' });
  await reading;
});

test('watches are not ended at each such call, since the API server may only be slow', async () => {
  const rest = await restTo((request, response) => {
    if (request.url?.endsWith('watch')) response.write('one');
  });
  await expect(call(rest, '/hang')).rejects.toMatchObject({ kind: 'deadline' });
  const stream = await rest.stream({ method: 'GET', path: '/watch' });
  await expect(call(rest, '/hang')).rejects.toMatchObject({ kind: 'deadline' });
  expect(stream.destroyed).toBe(false);
  stream.destroy();
});

test.each([
  ['200', 200, true],
  ['429', 429, true],
  ['500', 500, true],
  ['401', 401, false],
])('an answer of %s counts as accepted or not', async (_, status, isAccepted) => {
  const rest = await restTo((_request, response) => response.writeHead(status).end('{}'));
  const before = rest.acceptedAtMs;
  await call(rest, '/').catch(() => undefined);
  expect(rest.acceptedAtMs > before).toBe(isAccepted);
});

test('no answer does not count as accepted', async () => {
  const rest = await restTo(() => {});
  const before = rest.acceptedAtMs;
  await expect(call(rest, '/')).rejects.toMatchObject({ kind: 'deadline' });
  expect(rest.acceptedAtMs).toBe(before);
});
