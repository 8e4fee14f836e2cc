// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A client that sends reviews to a webhook on a loopback port as the API server does, and reads its answers.
import { Agent, request as httpsRequest } from 'node:https';
import { expect } from 'vitest';
import { problemsOf } from '../answers/contract.ts';
import { createAuthority, type PemPair } from '../control-plane/certificates.ts';

const authority = await createAuthority('test');

/** A serving certificate that the client trusts. */
export function issueLeaf(commonName: string): Promise<PemPair> {
  return authority.issueServer({ commonName }, { dns: ['localhost'], ips: ['127.0.0.1'] });
}

export interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: {
    readonly code: number;
    readonly reason: string;
    readonly message: string;
    readonly details?: { readonly name?: string; readonly retryAfterSeconds?: number };
  };
  readonly warnings?: readonly string[];
  readonly auditAnnotations?: Readonly<Record<string, string>>;
  readonly patch?: string;
  readonly patchType?: string;
}

export interface WebhookClient {
  readonly agent: Agent;
  /** Sends the review to the webhook of the policy, by default deploys. */
  ask(review: object, policy?: string): Promise<Response>;
  stamp(review: object): Promise<Response>;
  pin(review: object): Promise<Response>;
  post(
    path: string,
    body: string | Buffer,
    headers?: object,
  ): Promise<{ readonly status: number; readonly text: string }>;
  /** Closes the connections that `post` keeps. */
  hangUp(): void;
}

export function webhookClient(port: number): WebhookClient {
  const agent = new Agent({ ca: authority.cert, keepAlive: true, maxSockets: 64 });
  const post: WebhookClient['post'] = (path, body, headers = { 'content-type': 'application/json' }) =>
    new Promise((resolve, reject) => {
      const options = { agent, host: '127.0.0.1', port, path, method: 'POST', headers: { ...headers } };
      const outgoing = httpsRequest(options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  const respond = async (path: string, review: object): Promise<Response> => {
    const { status: code, text } = await post(path, JSON.stringify(review));
    if (code !== 200) throw new Error(`${code}: ${text}`);
    return (JSON.parse(text) as { response: Response }).response;
  };
  return {
    agent,
    post,
    ask: async (review, policy = 'deploys') => {
      const answer = await respond(`/gate/${policy}?timeout=5s`, review);
      if (!answer.allowed) expect(problemsOf(answer.status?.details)).toEqual([]);
      return answer;
    },
    stamp: (review) => respond('/stamp?timeout=5s', review),
    pin: (review) => respond('/pin?timeout=5s', review),
    hangUp: () => agent.destroy(),
  };
}

/** The approval that a denial names. */
export const nameIn = ({ status }: Response): string => status?.details?.name ?? '';

/** Outcome and reason alone, such as "Denied ApprovalRequired". */
export const reasonIn = ({ allowed, status, auditAnnotations }: Response): string =>
  `${allowed ? 'Allowed' : 'Denied'} ${auditAnnotations?.reason ?? status?.reason ?? 'NotGoverned'}`;
