// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The clients of a storm: each account over kept-alive connections to each API server, and what an answer amounts to.
import { type AdminClient, type Answer, createAdminClient } from '../../support/control-plane/admin-client.ts';
import type { ControlPlane } from '../../support/control-plane/controlplane.ts';
import { requestToken } from '../../support/control-plane/service-account-token.ts';
import { textAt } from '../../support/traffic.ts';

/** deployer is the one whose changes are approved; stranger is gated too and sends the same. */
export type Account = 'deployer' | 'stranger';

export interface Request {
  readonly by: Account;
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Its effect is the approved one: for another account, name or content it is not. */
  readonly isIdentical: boolean;
}

export interface Told {
  readonly kind:
    | 'passed'
    /** Refused by a decision, for want of an approval. */
    | 'denied'
    /** Refused by the gate because it could not decide: to be asked again. */
    | 'undecided'
    /** 404, 409 and the like: the API server's own word about the object. */
    | 'conflict'
    /** No answer, or a failure of the API server or of its way to the webhook. */
    | 'failed';
  readonly approval: string;
  readonly message: string;
}

export interface Clients {
  /** Sends to the API server of that number, counted round. */
  send(request: Request, server: number): Promise<Told>;
  /** As an approver. */
  approve(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer>;
  close(): void;
}

const timeoutMs = 20_000;

export async function createClients(cluster: ControlPlane): Promise<Clients> {
  const { ca, admin, servers } = cluster;
  const of = async (account: string) => {
    const token = await requestToken(admin, account, { expirationSeconds: 24 * 3600, create: true });
    return servers.map((server) => createAdminClient({ server, ca, token }));
  };
  const clients: Record<Account, readonly AdminClient[]> = {
    deployer: await of('ci/deployer'),
    stranger: await of('ci/stranger'),
  };
  const headers = { 'impersonate-user': 'ada', 'impersonate-group': 'approvers' };
  return {
    send: async ({ by, method, path, body, contentType }, server) => {
      const client = clients[by][server % servers.length];
      if (client === undefined) throw new Error('send a request: there is no API server');
      const named =
        method === 'DELETE' ? path : `${path}?fieldManager=${by}${isApply(contentType) ? '&force=true' : ''}`;
      try {
        return toldBy(await client.send(method, named, { body, ...(contentType && { contentType }), timeoutMs }));
      } catch (failure) {
        return { kind: 'failed', approval: '', message: String(failure) };
      }
    },
    approve: (method, path, body) => admin.send(method, path, { body, headers, timeoutMs }),
    close: () => {
      for (const client of Object.values(clients).flat()) client.close();
    },
  };
}

function isApply(contentType = ''): boolean {
  return contentType.includes('apply-patch');
}

export function toldBy({ code, body }: Answer): Told {
  const message = `${code} ${textAt(body, 'message') || String(body)}`;
  const approval = /Approval ([a-z0-9-]+\/[a-z0-9.-]+)\./.exec(message)?.[1] ?? '';
  const kind = () => {
    if (code >= 200 && code < 300) return 'passed';
    if (/failed calling webhook/.test(message) || code >= 500 || code === 429) return 'failed';
    if (approval !== '') return 'denied';
    if (/stepup: /.test(message)) return 'undecided';
    return code === 403 ? 'failed' : 'conflict';
  };
  return { kind: kind(), approval, message };
}
