// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// An HTTPS server on loopback that answers as a test wants, for what a real API server cannot be made to do.

import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Credentials } from '../../../src/kube/http/credentials.ts';
import { createAuthority } from '../control-plane/certificates.ts';

export interface FakeServer {
  readonly server: Server;
  readonly credentials: Credentials;
  /** TLS connections accepted so far. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** The credentials' token is `token-0`, and one higher after each reload. */
export async function startFakeServer(listener: RequestListener): Promise<FakeServer> {
  const authority = await createAuthority('test');
  const leaf = await authority.issueServer({ commonName: 'api' }, { dns: [], ips: ['127.0.0.1'] });
  const server = createServer({ ...leaf }, listener);
  let connections = 0;
  server.on('secureConnection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  let reloads = 0;
  return {
    server,
    credentials: {
      server: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`),
      tls: { ca: authority.cert },
      namespace: undefined,
      async headers(options) {
        reloads += options?.reload ? 1 : 0;
        return { Authorization: `Bearer token-${reloads}` };
      },
    },
    get connections() {
      return connections;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
