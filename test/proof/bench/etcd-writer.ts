// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Objects of our kinds written straight into etcd, as the API server stores them (custom resources are JSON there): a
// hundred thousand in half a minute. Only for what is to be there before anything is measured.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import type { ControlPlane } from '../../support/control-plane/controlplane.ts';

const connections = 16;

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

  /**
   * Writes objects that are complete: name, namespace, UID and all. Each gets a revision of its own, as from the API
   * server: of several with one revision, a watch that is resumed in between never tells the rest.
   */
  async put(plural: string, objects: Iterable<KubeObject>): Promise<void> {
    const left = objects[Symbol.iterator]();
    const work = async () => {
      for (let next = left.next(); !next.done; next = left.next()) {
        const { namespace = '', name } = next.value.metadata;
        const key = base64(`${prefixOf(plural)}${namespace}/${name}`);
        await this.#call('/v3/kv/put', { key, value: base64(JSON.stringify(next.value)) });
      }
    };
    await Promise.all(Array.from({ length: connections }, work));
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
