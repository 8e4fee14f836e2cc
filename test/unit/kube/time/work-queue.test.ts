// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The work queue: order, once at a time, waiting, retrying, stopping.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DueKeys } from '../../../../src/kube/time/due-keys.ts';
import { WorkQueue } from '../../../../src/kube/time/work-queue.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

/** A queue that notes what it does; each key takes a second. */
function queueOf(options: { readonly concurrency?: number; readonly fail?: (key: string) => boolean } = {}) {
  const clock = fakeClock();
  const log: string[] = [];
  const stop = new AbortController();
  const queue = new WorkQueue({
    clock,
    concurrency: options.concurrency ?? 1,
    process: async (key) => {
      log.push(`${clock.monotonicMs()} ${key}`);
      await new Promise<void>((resolve) => clock.after(1_000, resolve));
      if (options.fail?.(key)) {
        throw new Error('refused');
      }
    },
    onError: (key, _error, failures) => log.push(`${clock.monotonicMs()} ${key} failed ${failures}`),
  });
  return { clock, log, queue, stop, running: queue.run(stop.signal) };
}

describe('work queue', () => {
  test('keys are processed in the order they were added, each once', async () => {
    const { clock, log, queue } = queueOf();
    for (const key of ['a', 'b', 'a', 'c', 'b']) {
      queue.add(key);
    }
    await clock.advance(10_000);
    expect(log).toEqual(['0 a', '1000 b', '2000 c']);
  });

  test('a key added while under way is processed once more, and never twice at a time', async () => {
    const { clock, log, queue } = queueOf({ concurrency: 4 });
    queue.add('a');
    await clock.advance(500);
    queue.add('a');
    queue.add('a');
    await clock.advance(10_000);
    expect(log).toEqual(['0 a', '1000 a']);
  });

  test('no more keys than allowed are under way', async () => {
    const { clock, log, queue } = queueOf({ concurrency: 2 });
    for (const key of ['a', 'b', 'c']) {
      queue.add(key);
    }
    await clock.advance(10_000);
    expect(log).toEqual(['0 a', '0 b', '1000 c']);
  });

  test('keys that need no I/O leave a turn of the event loop to others', async () => {
    const stop = new AbortController();
    let processed = 0;
    const queue = new WorkQueue({
      concurrency: 16,
      process: async () => {
        processed += 1;
      },
    });
    const running = queue.run(stop.signal);
    for (let key = 0; key < 1_000; key += 1) queue.add(String(key));
    const seen: number[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(processed);
    }
    expect(Math.max(...seen)).toBeLessThanOrEqual(4);
    expect(seen.at(-1)).toBeGreaterThan(0);
    stop.abort();
    await running;
  });

  test('of several waits for a key the earliest is kept', async () => {
    const { clock, log, queue } = queueOf();
    queue.addAfter('a', 5_000);
    queue.addAt('a', new Date(clock.now().getTime() + 3_000));
    queue.addAfter('a', 4_000);
    expect(queue.waiting).toBe(1);
    await clock.advance(10_000);
    expect(log).toEqual(['3000 a']);
    expect(clock.timers).toBe(0);
  });

  test('an instant that has passed is now', async () => {
    const { clock, log, queue } = queueOf();
    queue.addAt('a', new Date(0));
    await clock.advance(0);
    expect(log).toEqual(['0 a']);
  });

  test('an instant that is none is refused, and holds up nothing', async () => {
    const { clock, log, queue } = queueOf();
    expect(() => queue.addAt('a', new Date('never'))).toThrow(RangeError);
    queue.addAfter('b', 10);
    await clock.advance(10);
    expect(log).toEqual(['10 b']);
  });

  test('a wait longer than a timer can hold is kept', async () => {
    const { clock, log, queue } = queueOf();
    const days30 = 30 * 24 * 3_600_000;
    queue.addAfter('a', days30);
    await clock.advance(days30 - 1);
    expect(log).toEqual([]);
    await clock.advance(1);
    expect(log).toEqual([`${days30} a`]);
  });

  test('a failing key is retried with growing waits while others go on, and starts anew after success', async () => {
    let refusals = 2;
    const { clock, log, queue } = queueOf({ fail: (key) => key === 'a' && refusals-- > 0 });
    queue.add('a');
    queue.add('b');
    await clock.advance(60_000);
    refusals = 1;
    queue.add('a');
    await clock.advance(60_000);
    expect(log).toEqual([
      '0 a',
      '1000 a failed 1',
      '1000 b',
      '2000 a',
      '3000 a failed 2',
      '4000 a',
      '60000 a',
      '61000 a failed 1',
      '61500 a',
    ]);
  });

  test('stopping waits for what is under way and drops the rest', async () => {
    const { clock, log, queue, stop, running } = queueOf();
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 100_000);
    await clock.advance(500);
    stop.abort();
    await clock.advance(500);
    await running;
    expect(log).toEqual(['0 a']);
    expect([queue.size, queue.waiting, clock.timers]).toEqual([0, 0, 0]);
  });

  test('a queue that never ran stops at once', async () => {
    const queue = new WorkQueue({ process: async () => {} });
    queue.add('a');
    await queue.run(AbortSignal.abort());
    expect(queue.size).toBe(0);
  });
});

describe('due keys', () => {
  test('whatever is added in whatever order, each key is due once, at its earliest instant', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 1_000 }))), async (waits) => {
        const clock = fakeClock();
        const due: [string, number][] = [];
        const keys = new DueKeys(clock, (key) => due.push([key, clock.monotonicMs()]));
        const want = new Map<string, number>();
        for (const [id, atMs] of waits) {
          keys.add(`${id}`, atMs);
          want.set(`${id}`, Math.min(want.get(`${id}`) ?? Number.POSITIVE_INFINITY, atMs));
        }
        await clock.advance(1_000);
        expect(new Map(due)).toEqual(want);
        expect(due).toHaveLength(want.size);
        expect([keys.size, clock.timers]).toEqual([0, 0]);
      }),
    );
  });
});
