// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The webhook's small parts on a clock of their own: shared reads, memory of uses, limits.
import { describe, expect, test } from 'vitest';
import type { Approval } from '../../../src/domain/model/approval.ts';
import { RequesterLimit } from '../../../src/webhook/gate/requester-limit.ts';
import { UseMemory } from '../../../src/webhook/gate/use-memory.ts';
import { SharedReads } from '../../../src/webhook/reads/shared-reads.ts';
import { fakeClock } from '../../support/fakes/fake-clock.ts';

describe('shared reads', () => {
  test('begin after they are asked for, one at a time, ten a second at most, and are forgotten', async () => {
    const clock = fakeClock();
    const reads = new SharedReads<number>(clock);
    const began: number[] = [];
    let running = 0;
    const begin = () =>
      new Promise<number>((resolve) => {
        expect(running).toBe(0);
        running += 1;
        began.push(clock.monotonicMs());
        clock.after(2, () => {
          running -= 1;
          resolve(began.length);
        });
      });
    const asked: { readonly atMs: number; readonly nth: Promise<number> }[] = [];
    for (let ms = 0; ms < 2_000; ms += 1) {
      asked.push({ atMs: clock.monotonicMs(), nth: reads.read('a', begin) });
      await clock.advance(1);
    }
    await clock.advance(1_000);
    for (const { atMs, nth } of asked) expect(began[(await nth) - 1]).toBeGreaterThanOrEqual(atMs);
    for (const at of began) expect(began.filter((one) => one >= at && one < at + 1_000).length).toBeLessThanOrEqual(10);
    expect(began.slice(0, 4)).toEqual([0, 2, 4, 6]);
    expect([reads.size, clock.timers]).toEqual([0, 0]);
  });

  test('of different keys do not wait for each other, and a failure reaches everybody', async () => {
    const reads = new SharedReads<string>(fakeClock());
    const stuck = reads.read('a', () => new Promise(() => undefined));
    expect(await reads.read('b', async () => 'b')).toBe('b');
    const fails = reads.read('c', () => Promise.reject(new Error('lost')));
    await expect(fails).rejects.toThrow('lost');
    void stuck;
  });
});

describe('the memory of uses', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  const approval = (uid: string, status: Approval['status'] = {}): Approval => ({
    metadata: { name: uid, namespace: 'prod', uid, resourceVersion: '1', creationTimestamp: now.toISOString() },
    spec: {
      policy: { name: 'p' },
      requester: { username: 'u' },
      action: { operation: 'DELETE', version: 'v1', resource: 'x', name: 'n' },
    },
    status,
    seals: { creation: 'Sealed', releases: [] },
  });
  const use = { attemptKey: 'k', digest: 'd', base: { kind: 'Deletion' }, reservedAt: now.toISOString() } as const;

  test('knows fewer uses and a lost end, once they were known before the read', () => {
    const memory = new UseMemory();
    memory.note(approval('a', { uses: [use, use] }), { now, monotonicMs: 5 });
    memory.note(approval('b', { phase: 'Denied' }), { now, monotonicMs: 5 });
    memory.note(approval('c', {}), { now, monotonicMs: 5 });
    expect(memory.knowsMore(approval('a', { uses: [use] }), 6)).toBe(true);
    expect(memory.knowsMore(approval('a', { uses: [use] }), 5)).toBe(false);
    expect(memory.knowsMore(approval('a', { uses: [use, use] }), 6)).toBe(false);
    expect(memory.knowsMore(approval('b', { phase: 'Approved' }), 6)).toBe(true);
    expect(memory.knowsMore(approval('b', { phase: 'Denied' }), 6)).toBe(false);
    expect(memory.knowsMore(approval('c'), 6)).toBe(false);
  });

  test('never forgets to an older state, and forgets the oldest when full', () => {
    const memory = new UseMemory(2);
    memory.note(approval('a', { uses: [use, use] }), { now, monotonicMs: 1 });
    memory.note(approval('a', { uses: [use] }), { now, monotonicMs: 2 });
    expect(memory.knowsMore(approval('a', { uses: [use] }), 3)).toBe(true);
    memory.note(approval('b', { uses: [use] }), { now, monotonicMs: 3 });
    memory.note(approval('c', { uses: [use] }), { now, monotonicMs: 4 });
    expect(['a', 'b', 'c'].map((uid) => memory.knowsMore(approval(uid), 9))).toEqual([false, true, true]);
  });

  test('forgets what nobody can use any more', () => {
    const memory = new UseMemory();
    const usableUntil = new Date(now.getTime() + 1_000).toISOString();
    memory.note(approval('a', { uses: [use], usableUntil }), { now, monotonicMs: 1 });
    const later = new Date(now.getTime() + 36_000);
    memory.note(approval('b', { uses: [use] }), { now: later, monotonicMs: 2 });
    expect(['a', 'b'].map((uid) => memory.knowsMore(approval(uid), 9))).toEqual([false, true]);
  });
});

describe('the limit per requester', () => {
  test('is fifty at once and ten a second', async () => {
    const clock = fakeClock();
    const limit = new RequesterLimit(clock);
    const taken = (requester: string) =>
      Array.from({ length: 100 }, () => limit.take(requester)).filter(Boolean).length;
    expect([taken('a'), taken('a'), taken('b')]).toEqual([50, 0, 50]);
    await clock.advance(1_000);
    expect(taken('a')).toBe(10);
    await clock.advance(60_000);
    expect(taken('a')).toBe(50);
  });
});
