// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The way from the replicas to the API server, as something that a test can cut, block or let go silent.

import { connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { resetSocket } from './control-plane/reset-socket.ts';

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
  /** What the API server says arrives so much later, piece by piece; 0 ends that. */
  delay(ms: number): void;
  close(): void;
}

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Lies between what the API server says and the client. */
  readonly late: Transform;
}

type Mode = 'open' | 'silent' | 'deaf' | 'refusing';

/** With several API servers, each connection goes to the next one, as a balancer in front of them does it. */
export async function startApiProxy(...servers: readonly URL[]): Promise<ApiProxy> {
  const pairs = new Set<Pair>();
  let mode: Mode = 'open';
  let delayMs = 0;
  let turn = 0;
  const listener = createServer({ noDelay: true }, (client) => {
    if (mode === 'refusing') {
      resetSocket(client);
      return;
    }
    const server = servers[turn++ % servers.length];
    const upstream = connect({ host: server?.hostname, port: Number(server?.port), noDelay: true });
    const late = lateBy(() => delayMs);
    const pair = { client, upstream, late };
    pairs.add(pair);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => resetSocket(other));
      one.on('close', () => {
        pairs.delete(pair);
        other.destroySoon();
      });
    }
    client.pipe(upstream);
    upstream.pipe(late).pipe(client);
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
    for (const { client, upstream } of pairs) {
      resetSocket(client);
      resetSocket(upstream);
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
    delay: (ms) => {
      delayMs = ms;
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
function mute({ client, upstream, late }: Pair): void {
  client.unpipe(upstream);
  upstream.unpipe(late);
  late.unpipe(client);
  client.pause();
  upstream.pause();
}

function deafen({ upstream, late }: Pair): void {
  upstream.unpipe(late);
  upstream.pause();
}

function lateBy(delayMs: () => number): Transform {
  return new Transform({
    transform: (chunk, _encoding, done) => {
      const ms = delayMs();
      if (ms === 0) done(null, chunk);
      else setTimeout(done, ms, null, chunk);
    },
  });
}
