// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the whole body of a request, or says why it cannot: stepup never decides on a partial body.
import type { IncomingMessage } from 'node:http';

export type RequestBody =
  | { readonly kind: 'Whole'; readonly bytes: Buffer }
  | { readonly kind: 'TooLarge' }
  /** The sender went away or sent less than it said. */
  | { readonly kind: 'Truncated' };

export function readRequestBody(request: IncomingMessage, mostBytes: number): Promise<RequestBody> {
  const declared = request.headers['content-length'];
  const expected = declared === undefined ? undefined : Number(declared);
  if (expected !== undefined && expected > mostBytes) return Promise.resolve({ kind: 'TooLarge' });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= mostBytes) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      resolve({ kind: 'TooLarge' });
    });
    request.once('end', () => {
      const isWhole = request.complete && !request.aborted && (expected === undefined || expected === size);
      const [first] = chunks;
      const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, size);
      resolve(isWhole ? { kind: 'Whole', bytes } : { kind: 'Truncated' });
    });
    // An aborted request ends with an error and no end (measured).
    request.on('error', () => resolve({ kind: 'Truncated' }));
    request.once('close', () => resolve({ kind: 'Truncated' }));
  });
}
