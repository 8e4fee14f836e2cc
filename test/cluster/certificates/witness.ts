// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Looks on while certificates rotate: what is registered, what the Secret holds, what each replica serves, and since when.

import type { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { authorityOf, certificatesIn } from '../../../src/lib/certificate-chain.ts';
import type { AdminClient, KubeObject } from '../../support/control-plane/admin-client.ts';
import type { StandinNode } from '../../support/stand-in-node/node.ts';

interface Configuration extends KubeObject {
  readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

interface SecretObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export const secretPath = '/api/v1/namespaces/stepup-system/secrets/stepup-tls';

/** What was seen of one authority, by the monotonic clock. */
export interface Reign {
  readonly name: string;
  /** In every configuration. */
  registeredAtMs?: number;
  /** Every replica serves by it. */
  servedAtMs?: number;
  /** No other is registered any more. */
  aloneAtMs?: number;
}

export interface Witness {
  readonly reigns: readonly Reign[];
  /** What was wrong at some moment, each a sentence. */
  readonly wrong: readonly string[];
  stop(): Promise<void>;
}

const pauseMs = 100;

export function startWitness(admin: AdminClient, node: StandinNode): Witness {
  const reigns: Reign[] = [];
  const wrong: string[] = [];
  let isStopping = false;
  const look = async () => {
    const before = await registeredBundles(admin);
    const served = await Promise.all(node.pods().flatMap(({ ip, isReady }) => (isReady ? [servedBy(ip)] : [])));
    const after = await registeredBundles(admin);
    // What changed while we looked says nothing of one moment.
    if (before.join() !== after.join() || served.length === 0 || after.length === 0) return;
    const bundles = after.map((bundle) => certificatesIn(Buffer.from(bundle, 'base64').toString()));
    const atMs = performance.now();
    for (const leaf of served) {
      if (leaf !== undefined && bundles.some((bundle) => authorityOf([leaf], bundle, new Date()) === undefined)) {
        wrong.push(`a replica serves ${leaf.serialNumber}, for which a configuration names no authority`);
      }
    }
    const [first] = bundles[0] ?? [];
    if (first === undefined || bundles.some(([one]) => one?.serialNumber !== first.serialNumber)) return;
    const name = first.subject.replace(/^CN=/, '');
    let reign = reigns.find((one) => one.name === name);
    if (reign === undefined) {
      reign = { name };
      reigns.push(reign);
    }
    reign.registeredAtMs ??= atMs;
    const isServed = served.every((leaf) => leaf !== undefined && authorityOf([leaf], [first], new Date()) === first);
    if (isServed) reign.servedAtMs ??= atMs;
    if (isServed && bundles.every(({ length }) => length === 1)) reign.aloneAtMs ??= atMs;
  };
  const run = async () => {
    while (!isStopping) {
      await look().catch((failure: unknown) => wrong.push(String(failure)));
      await sleep(pauseMs);
    }
  };
  const running = run();
  return {
    reigns,
    wrong,
    stop: async () => {
      isStopping = true;
      await running;
    },
  };
}

/** The bundles of all our configurations, in base64, in the order of their names. */
async function registeredBundles(admin: AdminClient): Promise<readonly string[]> {
  const all = await configurations(admin);
  return all.flatMap(({ webhooks = [] }) => webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? ''));
}

/** Has every configuration of ours trust this authority and no other, as an admin might. */
export async function registerEverywhere(admin: AdminClient, authority: string): Promise<void> {
  const caBundle = Buffer.from(authority).toString('base64');
  for (const { path, webhooks = [], ...configuration } of await configurations(admin)) {
    const changed = webhooks.map((webhook) => ({ ...webhook, clientConfig: { ...webhook.clientConfig, caBundle } }));
    await admin.put(`${path}/${configuration.metadata.name}`, { ...configuration, webhooks: changed });
  }
}

async function configurations(admin: AdminClient) {
  const kinds = ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'];
  const lists = await Promise.all(
    kinds.map(async (kind) => {
      const path = `/apis/admissionregistration.k8s.io/v1/${kind}`;
      const { items } = await admin.list<Configuration>(`${path}?labelSelector=stepup.dev/managed=true`);
      return items.map((item) => ({ ...item, path }));
    }),
  );
  return lists.flat();
}

/** The certificate that a new connection to a pod is shown; undefined when there is none. */
function servedBy(host: string): Promise<X509Certificate | undefined> {
  return new Promise((resolve) => {
    const socket = connect(
      { host, port: 8443, servername: 'stepup.stepup-system.svc', rejectUnauthorized: false },
      () => {
        resolve(socket.getPeerX509Certificate());
        socket.destroy();
      },
    );
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on('error', () => undefined).on('close', () => resolve(undefined));
  });
}

/** The PEM texts that the Secret holds, by key. */
export async function secretTexts(admin: AdminClient): Promise<Readonly<Record<string, string>>> {
  const { data = {} } = await admin.get<SecretObject>(secretPath);
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

/** The same in base64, for a write; null takes a key away. */
export function secretData(texts: Readonly<Record<string, string | null>>): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, text === null ? null : Buffer.from(text).toString('base64')]),
  );
}
