// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Decodes the body of a watch: one JSON event per line.
import { parseJson } from '../../lib/parse-json.ts';

/** One event of a watch, unchecked beyond its outer shape. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

/** An object is stored with at most 1.5 MiB in etcd; conversion and managed fields may add to that. */
const mostLineBytes = 8 * 1024 * 1024;
const newline = 0x0a;

/**
 * Yields the events of a watch in order. A line is decoded only when it is whole, so characters split between two
 * chunks stay whole too. What follows the last newline is half an event of a broken connection and is dropped.
 * Throws on a line longer than `maxLineBytes` and on a line that is no event.
 */
export async function* watchEvents(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes = mostLineBytes,
): AsyncGenerator<WatchEvent> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      parts.push(chunk.subarray(start, end));
      size += end - start;
      checkSize(size, maxLineBytes);
      start = end + 1;
      const line = Buffer.concat(parts, size).toString('utf8');
      parts = [];
      size = 0;
      if (line.trim() !== '') yield parseEvent(line);
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      size += chunk.length - start;
      checkSize(size, maxLineBytes);
    }
  }
}

function checkSize(size: number, maxLineBytes: number): void {
  if (size > maxLineBytes) throw new Error(`a watch event is larger than ${maxLineBytes} bytes`);
}

function parseEvent(line: string): WatchEvent {
  const event = parse(line);
  if (typeof event !== 'object' || event === null || !('type' in event) || !('object' in event)) {
    throw new Error('a line of a watch is not an event');
  }
  // Unknown types are left to the reader's switch.
  return event as WatchEvent;
}

function parse(line: string): unknown {
  try {
    return parseJson(line);
  } catch {
    // The parser's own message quotes the line, which may hold a Secret.
    throw new Error('a line of a watch is not JSON');
  }
}
