// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Objects of our kinds written straight into etcd, as the API server stores them (custom resources are JSON there): a
// hundred thousand in half a minute. Only for what is to be there before anything is measured.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import type { KubeObject } from '../controlplane/admin-client.ts';
import type { ControlPlane } from '../controlplane/controlplane.ts';

/** etcd takes so many operations in one transaction (--max-txn-ops). */
const mostAtOnce = 100;
const connections = 4;

const prefixOf = (plural: string) => `/registry/stepup.dev/${plural}/`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

export class Etcd {
  readonly #url: string;
  readonly #agent: Agent;

  constructor({ etcdAccess }: ControlPlane) {
    const { url, ca, cert, key } = etcdAccess;
    this.#url = url;
    this.#agent = new Agent({ ca, cert, key, keepAlive: true, maxSockets: connections });
  }

  /** Writes objects that are complete: name, namespace, UID and all. */
  async put(plural: string, objects: Iterable<KubeObject>): Promise<number> {
    let written = 0;
    const running = new Set<Promise<unknown>>();
    let batch: object[] = [];
    const flush = async () => {
      if (batch.length === 0) return;
      const sent: Promise<unknown> = this.#call('/v3/kv/txn', { success: batch }).finally(() => running.delete(sent));
      running.add(sent);
      batch = [];
      if (running.size >= connections) await Promise.race(running);
    };
    for (const object of objects) {
      const { namespace = '', name } = object.metadata;
      const key = base64(`${prefixOf(plural)}${namespace}/${name}`);
      batch.push({ requestPut: { key, value: base64(JSON.stringify(object)) } });
      written += 1;
      if (batch.length === mostAtOnce) await flush();
    }
    await flush();
    await Promise.all(running);
    return written;
  }

  /** Removes all whose namespace begins like this. */
  async remove(plural: string, namespacePrefix: string): Promise<void> {
    const from = `${prefixOf(plural)}${namespacePrefix}`;
    const end = `${from.slice(0, -1)}${String.fromCharCode(from.charCodeAt(from.length - 1) + 1)}`;
    await this.#call('/v3/kv/deleterange', { key: base64(from), rangeEnd: base64(end) });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #call(path: string, body: object): Promise<void> {
    const sent = request(`${this.#url}${path}`, { method: 'POST', agent: this.#agent });
    sent.end(JSON.stringify(body));
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const text = await textOf(answer);
    if (answer.statusCode !== 200) throw new Error(`${path} of etcd: ${answer.statusCode} ${text.slice(0, 300)}`);
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
