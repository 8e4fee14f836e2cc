// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Credentials for the API server, and how its own identity is verified.

import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { defined } from '../../lib/json.ts';
import type { Clock } from '../time/clock.ts';
import { systemClock } from '../time/clock.ts';

/** Where credentials come from. */
export type CredentialSource =
  | {
      readonly kind: 'kubeconfig';
      /** Files, merged as kubectl merges `KUBECONFIG`. */
      readonly paths: readonly string[];
      /** Default: the files' current-context. */
      readonly context?: string;
    }
  | {
      readonly kind: 'inCluster';
      /** `KUBERNETES_SERVICE_HOST`. */
      readonly host: string;
      /** `KUBERNETES_SERVICE_PORT`. */
      readonly port: number | string;
      /** The folder that holds `token`, `ca.crt` and `namespace`. */
      readonly folder: string;
    };

export type TlsMaterial = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'pfx' | 'passphrase' | 'servername' | 'rejectUnauthorized'
>;

export interface Credentials {
  /** May have a path, which every request path is appended to. */
  readonly server: URL;
  readonly tls: TlsMaterial;
  /** The namespace of the pod or of the kubeconfig context. */
  readonly namespace: string | undefined;
  /**
   * The headers that authenticate a request: `Authorization`, and `Impersonate-User` where a kubeconfig asks for it.
   * Empty when the client certificate does it. `reload` looks for a newer token now instead of every 10 s.
   */
  headers(options?: { readonly reload?: boolean }): Promise<Readonly<Record<string, string>>>;
}

/** Bound tokens are replaced at 80 % of their life, an hour by default, so seconds are early enough. */
const rereadMs = 10_000;

/** Loads credentials. Rejects when a file is missing or unreadable, naming it. */
export async function loadCredentials(source: CredentialSource, clock: Clock = systemClock): Promise<Credentials> {
  switch (source.kind) {
    case 'kubeconfig':
      return fromKubeConfig(source.paths, source.context, clock);
    case 'inCluster':
      return fromServiceAccount(source.host, source.port, source.folder, clock);
  }
}

async function fromServiceAccount(
  host: string,
  port: number | string,
  folder: string,
  clock: Clock,
): Promise<Credentials> {
  const tokenFile = join(folder, 'token');
  const readHeaders = async () => ({ Authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` });
  const [ca, namespace, first] = await Promise.all([
    readFile(join(folder, 'ca.crt')),
    readFile(join(folder, 'namespace'), 'utf8').catch(() => undefined),
    readHeaders(),
  ]);
  return {
    server: new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`),
    tls: { ca },
    namespace: namespace?.trim(),
    headers: rereading(first, readHeaders, clock),
  };
}

async function fromKubeConfig(paths: readonly string[], context: string | undefined, clock: Clock) {
  const { httpsOptions, loadKubeConfig } = await import('./kubeconfig.ts');
  const kubeConfig = loadKubeConfig(paths, context);
  const cluster = kubeConfig.getCurrentCluster();
  const server = new URL(cluster?.server ?? '');
  if (server.protocol !== 'https:') {
    throw new Error(`read kubeconfig ${paths.join(', ')}: server ${server.origin} is not https`);
  }
  if (cluster?.proxyUrl) throw new Error(`read kubeconfig ${paths.join(', ')}: proxy-url is not supported`);
  const readHeaders = async () => authenticationHeaders(await httpsOptions(kubeConfig));
  const options = await httpsOptions(kubeConfig);
  return {
    server,
    tls: tlsMaterial(options),
    namespace: kubeConfig.getContextObject(kubeConfig.getCurrentContext())?.namespace,
    headers: rereading(authenticationHeaders(options), readHeaders, clock),
  } satisfies Credentials;
}

type Headers = Readonly<Record<string, string>>;

/** Keeps the last headers for a while; when a re-read fails, they are used on: the token may live longer than the file. */
function rereading(first: Headers, read: () => Promise<Headers>, clock: Clock): Credentials['headers'] {
  let current = first;
  let readAtMs = clock.monotonicMs();
  return async (options) => {
    if (options?.reload || clock.monotonicMs() - readAtMs >= rereadMs) {
      readAtMs = clock.monotonicMs();
      current = await read().catch(() => current);
    }
    return current;
  };
}

function authenticationHeaders(options: RequestOptions): Headers {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
  if (options.auth) headers.Authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return headers;
}

function tlsMaterial({ ca, cert, key, pfx, passphrase, servername, rejectUnauthorized }: TlsMaterial): TlsMaterial {
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(pfx && { pfx }),
    ...(passphrase && { passphrase }),
    ...(servername && { servername }),
    ...defined({ rejectUnauthorized }),
  };
}
