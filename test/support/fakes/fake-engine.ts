// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// An engine on loopback that answers as a test tells it to, honestly or not, and remembers what it was asked.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Door {
  readonly url: string;
  /** Paths and bodies of all requests. */
  readonly asked: readonly { readonly path: string; readonly body: string }[];
  /** How it answers from now on. */
  answer: (response: ServerResponse) => void;
  stop(): Promise<void>;
}

export const json = { 'content-type': 'application/json' };

/** One that answers with this status, these headers and this text. */
export function answering(status: number, headers: Readonly<Record<string, string>>, text: string): Door['answer'] {
  return (response) => response.writeHead(status, headers).end(text);
}

export const approving = answering(200, json, '{"verdict":"Approve","reason":"as told","rule":"r1"}');

export async function startDoor(): Promise<Door> {
  const asked: { path: string; body: string }[] = [];
  const listen = (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      asked.push({ path: request.url ?? '', body });
      // Where a redirect leads there is an approval to be had.
      if (request.url === '/elsewhere') approving(response);
      else door.answer(response);
    });
  };
  const server = createServer(listen);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const door: Door = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/review`,
    asked,
    answer: approving,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return door;
}
