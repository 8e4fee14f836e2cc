// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Forwards TCP connections on a Service's address to its ready pods in turn, as kube-proxy would.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { resetSocket } from '../control-plane/reset-socket.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface Balancer {
  close(): void;
}

/** Listens on the address; `targets` is asked for each connection, and none means that it is reset at once. */
export function startBalancer(listenOn: Target, targets: () => readonly Target[]): Promise<Balancer> {
  const open = new Set<Socket>();
  let turn = 0;
  const server: Server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
    const candidates = targets();
    const target = candidates[turn++ % candidates.length];
    if (!target) {
      resetSocket(client);
      return;
    }
    forward(client, target, open);
  });
  server.unref();
  return new Promise((resolve) => {
    // Below port 1024 for anybody but root: the chart's port is a value, so it can be set to another one.
    server.once('error', (cause) => {
      process.stderr.write(`stand-in node: listen on ${listenOn.host}:${listenOn.port}: ${cause.message}\n`);
      resolve({ close: () => {} });
    });
    server.listen(listenOn.port, listenOn.host, () =>
      resolve({
        close: () => {
          server.close();
          for (const socket of open) socket.destroy();
        },
      }),
    );
  });
}

function forward(client: Socket, target: Target, open: Set<Socket>): void {
  const upstream = connect({ ...target, noDelay: true });
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    open.add(socket);
    socket.on('error', () => resetSocket(other));
    socket.on('close', () => {
      open.delete(socket);
      other.destroySoon();
    });
  }
  client.pipe(upstream);
  upstream.pipe(client);
}
