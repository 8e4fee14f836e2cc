// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The way from the replicas to the API server, as something that a test can cut, block or let go silent.

import { connect, createServer, type Socket } from 'node:net';

export interface ApiProxy {
  readonly port: number;
  /** Resets every connection; new ones work. */
  cut(): void;
  /** Connections and new ones stay open and nothing passes, as when a firewall forgets them. */
  silence(): void;
  /** New connections work again; those from before stay silent for ever. */
  speak(): void;
  /** What the API server answers gets lost from now on; what it is asked still arrives. `admit` ends it for new connections. */
  deafen(): void;
  /** Resets every connection and refuses new ones until `admit`. */
  refuse(): void;
  admit(): void;
  close(): void;
}

type Mode = 'open' | 'silent' | 'deaf' | 'refusing';

export async function startApiProxy(server: URL): Promise<ApiProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: Mode = 'open';
  const listener = createServer({ noDelay: true }, (client) => {
    if (mode === 'refusing') {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: server.hostname, port: Number(server.port), noDelay: true });
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const [one, other] of [pair, [upstream, client] as const]) {
      one.on('error', () => other.resetAndDestroy());
      one.on('close', () => {
        pairs.delete(pair);
        other.destroySoon();
      });
      one.pipe(other);
    }
    if (mode === 'silent') mute(pair);
    if (mode === 'deaf') deafen(pair);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(0, '127.0.0.1', resolve);
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('listen on a port: there is none');
  const cut = () => {
    for (const [client, upstream] of pairs) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  };
  return {
    port: address.port,
    cut,
    silence: () => {
      mode = 'silent';
      for (const pair of pairs) mute(pair);
    },
    speak: () => {
      mode = 'open';
    },
    deafen: () => {
      mode = 'deaf';
      for (const pair of pairs) deafen(pair);
    },
    refuse: () => {
      mode = 'refusing';
      cut();
    },
    admit: () => {
      mode = 'open';
    },
    close: () => {
      listener.close();
      cut();
    },
  };
}

/** Helm values by which the replicas are told this address of the API server. Helm takes digits for a number, unless they start with 0. */
export function throughProxy({ port }: ApiProxy): readonly string[] {
  return [
    'extraEnv[0].name=KUBERNETES_SERVICE_HOST',
    'extraEnv[0].value=127.0.0.1',
    'extraEnv[1].name=KUBERNETES_SERVICE_PORT',
    `extraEnv[1].value=0${port}`,
  ];
}

/** What arrives is neither read nor passed on: not even the end of a connection is noticed. */
function mute([client, upstream]: readonly [Socket, Socket]): void {
  client.unpipe(upstream);
  upstream.unpipe(client);
  client.pause();
  upstream.pause();
}

function deafen([client, upstream]: readonly [Socket, Socket]): void {
  upstream.unpipe(client);
  upstream.pause();
}
