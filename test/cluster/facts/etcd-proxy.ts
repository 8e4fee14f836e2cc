// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The way from an API server to etcd, as something that a test can hold: events, so that its watch cache stays behind,
// and single writes, so that they land after everybody has given up on them.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  type ClientHttp2Stream,
  connect,
  constants,
  createSecureServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { EtcdEndpoint } from '../../support/control-plane/boot.ts';
import { eventually } from '../../support/eventually.ts';

interface HeldWrites {
  /** Resolves once so many writes are held. */
  arrived(count?: number): Promise<void>;
  /** Lets them go to etcd, also those that their senders have given up. */
  release(): void;
}

export interface EtcdProxy {
  readonly port: number;
  /** Keeps back what etcd tells watchers, until the returned function is called. */
  holdWatches(): () => void;
  /** Keeps back writes to keys that contain this text. */
  holdWrites(key: string): HeldWrites;
  close(): void;
}

interface HeldBy {
  readonly key: string;
  readonly held: (() => void)[];
}

const watchPath = '/etcdserverpb.Watch/Watch';
const writePath = '/etcdserverpb.KV/Txn';

/** Speaks gRPC, which is HTTP/2 with trailers, to both sides; what is not held passes as it is. */
export async function startEtcdProxy(etcd: EtcdEndpoint): Promise<EtcdProxy> {
  const file = (name: string) => readFileSync(etcd.file(name));
  const upstream = connect(`https://127.0.0.1:${etcd.port}`, {
    ca: file('ca.crt'),
    cert: file('etcd-client.crt'),
    key: file('etcd-client.key'),
    maxSessionMemory: 100,
  });
  upstream.on('error', () => {}); // what is on the way fails by itself
  const holds = new Set<HeldBy>();
  const sessions = new Set<Http2Session>();
  const waiting: (() => void)[] = [];
  let isHoldingWatches = false;

  const pass = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body?: Buffer) => {
    const asked = upstream.request(headers);
    if (body !== undefined) asked.end(body);
    else {
      stream.pipe(asked);
      stream.on('aborted', () => asked.close(constants.NGHTTP2_CANCEL));
    }
    const isWatch = headers[':path'] === watchPath;
    answer(stream, asked, (write) => {
      if (isWatch && isHoldingWatches) waiting.push(write);
      else write();
    });
  };

  const server = createSecureServer({
    ca: file('ca.crt'),
    cert: file('etcd-server.crt'),
    key: file('etcd-server.key'),
    requestCert: true,
    rejectUnauthorized: true,
    maxSessionMemory: 100,
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] !== writePath || holds.size === 0) return pass(stream, headers);
    void wholeOf(stream).then((body) => {
      const holding = [...holds].find(({ key }) => body.includes(key));
      if (holding === undefined) return pass(stream, headers, body);
      // Whoever sent it may give up meanwhile. That never reaches etcd, as when it is etcd that hangs.
      const { 'grpc-timeout': _, ...patient } = headers;
      holding.held.push(() => pass(stream, patient, body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('listen on a port: there is none');

  return {
    port: address.port,
    holdWatches: () => {
      isHoldingWatches = true;
      return () => {
        isHoldingWatches = false;
        for (const write of waiting.splice(0)) write();
      };
    },
    holdWrites: (key) => {
      const hold: HeldBy = { key, held: [] };
      holds.add(hold);
      return {
        arrived: async (count = 1) => {
          await eventually(`${count} writes to ${key} to be held`, () => hold.held.length >= count);
        },
        release: () => {
          holds.delete(hold);
          for (const send of hold.held.splice(0)) send();
        },
      };
    },
    close: () => {
      server.close();
      for (const session of sessions) session.destroy();
      upstream.destroy();
    },
  };
}

/** Sends etcd's answer on; `inTurn` says when each piece may go. */
function answer(stream: ServerHttp2Stream, asked: ClientHttp2Stream, inTurn: (write: () => void) => void): void {
  const ifOpen = (write: () => void) => inTurn(() => !stream.destroyed && write());
  let trailers: IncomingHttpHeaders = {};
  asked.on('error', () => {});
  asked.on('response', (headers, flags) => {
    const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    ifOpen(() => stream.respond(headers, isAll ? { endStream: true } : { waitForTrailers: true }));
  });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  asked.on('trailers', (given) => {
    trailers = given;
  });
  asked.on('data', (chunk: Buffer) => ifOpen(() => stream.write(chunk)));
  asked.on('end', () => ifOpen(() => stream.headersSent && stream.end()));
  asked.on('close', () => {
    if (asked.rstCode !== constants.NGHTTP2_NO_ERROR) ifOpen(() => stream.close(asked.rstCode));
  });
}

/** Also of a stream that its sender resets before the end. */
async function wholeOf(stream: ServerHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
