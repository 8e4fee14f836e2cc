// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One HTTP request and its answer over a pooled connection, without knowledge of Kubernetes.

import type { IncomingMessage } from 'node:http';
import { type Agent, request as httpsRequest } from 'node:https';

export interface Exchange {
  readonly agent: Agent;
  readonly server: URL;
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | undefined;
  readonly signal: AbortSignal;
}

/** The answer is larger than the reader wants to hold. */
export class TooLargeError extends Error {}

/**
 * Sends the request and resolves with the answer when its head has arrived.
 * A kept-alive connection may be closed by the server just as we write to it. A GET that meets this before any byte of
 * an answer is sent again once; a write is not, because nobody can tell whether it was executed.
 */
export async function open(exchange: Exchange): Promise<IncomingMessage> {
  try {
    return await openOnce(exchange);
  } catch (error) {
    if (error instanceof StaleConnection && exchange.method === 'GET') return openOnce(exchange).catch(unwrap);
    return unwrap(error);
  }
}

/** Reads the whole body; rejects with TooLargeError beyond `maxBytes`, and when the connection ends before the body. */
export function readBody(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    answer.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        answer.destroy(new TooLargeError(`the answer is larger than ${maxBytes} bytes`));
        return;
      }
      chunks.push(chunk);
    });
    answer.once('end', () => resolve(Buffer.concat(chunks, size)));
    answer.on('error', reject);
    answer.once('close', () => reject(new Error('the connection closed before the answer ended')));
  });
}

class StaleConnection extends Error {}

function openOnce(exchange: Exchange): Promise<IncomingMessage> {
  const { agent, server, method, path, headers, body, signal } = exchange;
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      agent,
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port || 443,
      method,
      path: `${server.pathname.replace(/\/$/, '')}${path}`,
      headers,
      signal,
    });
    request.once('response', resolve);
    // Not `once`: a second 'error' without a listener would end the process.
    request.on('error', (error: NodeJS.ErrnoException) => {
      const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(stale ? new StaleConnection(error.message, { cause: error }) : error);
    });
    request.end(body);
  });
}

function unwrap(error: unknown): never {
  throw error instanceof StaleConnection ? error.cause : error;
}
