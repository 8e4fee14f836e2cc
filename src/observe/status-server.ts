// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Plain HTTP for probes and metrics, on a port of its own, so that clients need no certificate.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface StatusServerOptions {
  readonly address: string;
  readonly port: number;
  readonly registry: Registry;
  /** Why the process cannot serve yet; empty when it can. */
  readonly notReady: () => readonly string[];
}

export interface StatusServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves /healthz (alive), /readyz (will decide rightly) and /metrics. */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const server = createServer((request, response) => {
    void answer(request.url ?? '/', options).then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

async function answer(url: string, { registry, notReady }: StatusServerOptions) {
  const text = 'text/plain; charset=utf-8';
  switch (url.split('?')[0]) {
    case '/healthz':
      return { status: 200, type: text, body: 'ok\n' };
    case '/readyz': {
      const reasons = notReady();
      return reasons.length === 0
        ? { status: 200, type: text, body: 'ready\n' }
        : { status: 503, type: text, body: `${reasons.join('\n')}\n` };
    }
    case '/metrics':
      return { status: 200, type: registry.contentType, body: await registry.metrics() };
    default:
      return { status: 404, type: text, body: 'not found\n' };
  }
}
