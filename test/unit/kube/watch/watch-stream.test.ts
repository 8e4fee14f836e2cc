// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The watch decoder: lines out of chunks, wherever they were cut.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type WatchEvent, watchEvents } from '../../../../src/kube/watch/watch-stream.ts';

const LINES = `${JSON.stringify({ type: 'ADDED', object: { name: 'é😀' } })}\n${JSON.stringify({ type: 'BOOKMARK', object: {} })}\n`;
const EVENTS = [
  { type: 'ADDED', object: { name: 'é😀' } },
  { type: 'BOOKMARK', object: {} },
];

async function decode(chunks: readonly Uint8Array[], maxLineBytes?: number): Promise<WatchEvent[]> {
  async function* stream() {
    yield* chunks;
  }
  const events: WatchEvent[] = [];
  for await (const event of watchEvents(stream(), maxLineBytes)) {
    events.push(event);
  }
  return events;
}

describe('watch stream', () => {
  test('wherever the bytes are cut, the same events come out', async () => {
    const bytes = Buffer.from(LINES);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = edges.slice(1).map((end, i) => bytes.subarray(edges[i], end));
        expect(await decode(chunks)).toEqual(EVENTS);
      }),
    );
  });

  test('half a line at the end is dropped', async () => {
    expect(await decode([Buffer.from(`${LINES}{"type":"ADD`)])).toEqual(EVENTS);
  });

  test('empty lines are no events', async () => {
    expect(await decode([Buffer.from(`\n${LINES}\n`)])).toEqual(EVENTS);
  });

  test.each([
    ['a line too long, ended', `${LINES}`, 10],
    ['a line too long, not ended', '{"type":"ADDED"', 10],
    ['not JSON', 'secret\n', 100],
    ['no event', '{"kind":"Status"}\n', 100],
  ])('%s is refused', async (_name, text, maxLineBytes) => {
    await expect(decode([Buffer.from(text)], maxLineBytes)).rejects.toThrow(/watch/);
  });

  test('a key that JSON.parse would misread is read as what it says (nodejs/node#63785)', async () => {
    const said =
      '{"type":"ADDED","object":{"watched":1,"\\\\":2}}\n{"type":"ADDED","object":{"watched":1,"\\u0062":2}}\n';
    const [, event] = await decode([Buffer.from(said)]);
    expect(event?.object).toEqual({ watched: 1, b: 2 });
  });

  test('what cannot be parsed is not quoted', async () => {
    await expect(decode([Buffer.from('secret\n')])).rejects.not.toThrow(/secret/);
  });
});
