// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A reset connection is closed for good, also when its end was under way already.

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { resetSocket } from './reset-socket.ts';

async function pair(): Promise<readonly [Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  server.close();
  accepted.resume();
  return [client, accepted];
}

test('a connection that is open is reset', async () => {
  const [client, accepted] = await pair();
  const broken = once(accepted, 'error');
  resetSocket(client);
  expect(await broken).toMatchObject([{ code: 'ECONNRESET' }]);
});

test('a connection that is ending is closed, and nothing is wrong', async () => {
  const [client] = await pair();
  const failures: unknown[] = [];
  client.on('error', (failure) => failures.push(failure));
  const closed = once(client, 'close');
  client.end();
  resetSocket(client);
  await closed;
  expect(failures).toEqual([]);
});
