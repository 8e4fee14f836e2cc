// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One who attacks, with a token of his own: every attack is one call or a few, and what the API server said.
import { readFileSync } from 'node:fs';
import { type AdminClient, createAdminClient, type PatchType } from '../../support/control-plane/admin-client.ts';

export interface Said {
  readonly code: number;
  readonly message: string;
  readonly body: unknown;
}

export type Headers = Readonly<Record<string, string>>;

export class Attacker {
  readonly username: string;
  readonly #client: AdminClient;

  /** Takes the credentials of a kubeconfig file of the harness, which is JSON. */
  constructor(username: string, kubeconfig: string) {
    const { clusters, users } = JSON.parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig;
    const [{ cluster }] = clusters;
    const [{ user }] = users;
    const decoded = (text = '') => Buffer.from(text, 'base64').toString();
    this.username = username;
    this.#client = createAdminClient({
      server: cluster.server,
      ca: decoded(cluster['certificate-authority-data']),
      ...(user.token === undefined ? {} : { token: user.token }),
      ...(user['client-certificate-data'] === undefined
        ? {}
        : { cert: decoded(user['client-certificate-data']), key: decoded(user['client-key-data']) }),
    });
  }

  get(path: string, headers: Headers = {}): Promise<Said> {
    return this.#send('GET', path, { headers });
  }

  post(path: string, body: object, headers: Headers = {}): Promise<Said> {
    return this.#send('POST', path, { body, headers });
  }

  patch(path: string, body: object, type: PatchType = 'merge'): Promise<Said> {
    const contentType = type === 'json' ? 'application/json-patch+json' : 'application/merge-patch+json';
    return this.#send('PATCH', path, { body, contentType });
  }

  delete(path: string): Promise<Said> {
    return this.#send('DELETE', path, {});
  }

  close(): void {
    this.#client.close();
  }

  async #send(method: string, path: string, options: Parameters<AdminClient['send']>[2]): Promise<Said> {
    const { code, body } = await this.#client.send(method, path, options);
    const { message = '' } = typeof body === 'object' && body !== null ? (body as { message?: string }) : {};
    return { code, message, body };
  }
}

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } },
  ];
  readonly users: readonly [
    {
      readonly user: {
        readonly token?: string;
        readonly 'client-certificate-data'?: string;
        readonly 'client-key-data'?: string;
      };
    },
  ];
}
