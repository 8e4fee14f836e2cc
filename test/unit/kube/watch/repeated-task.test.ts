// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A repeated task is done at once, after each change, when it is asked for, and never twice at a time.
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { KubeObject } from '../../../../src/kube/objects/objects.ts';
import { RepeatedTask } from '../../../../src/kube/watch/repeated-task.ts';
import type { Watched } from '../../../../src/kube/watch/watched.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

function setUp() {
  const clock = fakeClock(new Date('2026-01-01T00:00:00Z'));
  const errors: unknown[] = [];
  const handlers: ((change: never) => void)[] = [];
  const watched: Watched<KubeObject> = {
    objects: { get: () => undefined, values: () => [].values(), size: 0 },
    synced: Promise.resolve(),
    onChange: (handler) => handlers.push(handler),
  };
  const done = { count: 0, atOnce: 0, most: 0, fail: false };
  const task = new RepeatedTask({
    process: async () => {
      done.count += 1;
      done.atOnce += 1;
      done.most = Math.max(done.most, done.atOnce);
      await turn();
      done.atOnce -= 1;
      if (done.fail) throw new Error('not now');
    },
    onError: (error) => errors.push(error),
    clock,
  });
  const settle = async () => {
    for (let turns = 0; turns < 10; turns++) await turn();
  };
  const change = () => {
    for (const handler of handlers) handler({ type: 'set', object: {} } as never);
  };
  return { clock, errors, watched, done, task, settle, change };
}

test('it is done at once, and again for each reason', async () => {
  const { clock, watched, done, task, settle, change } = setUp();
  const stop = new AbortController();
  const running = task.run(stop.signal, [watched]);
  await settle();
  expect(done.count).toBe(1);
  change();
  await settle();
  expect(done.count).toBe(2);
  task.checkAfter(1_000);
  await settle();
  expect(done.count).toBe(2);
  await clock.advance(1_000);
  await settle();
  expect(done.count).toBe(3);
  for (let reasons = 0; reasons < 5; reasons++) task.check();
  await settle();
  expect(done).toMatchObject({ count: 4, most: 1 });
  stop.abort();
  await running;
  change();
  await settle();
  expect(done.count).toBe(4);
});

test('what fails is told and done again', async () => {
  const { clock, errors, done, task, settle } = setUp();
  done.fail = true;
  const stop = new AbortController();
  const running = task.run(stop.signal);
  await settle();
  expect([done.count, errors]).toEqual([1, [new Error('not now')]]);
  done.fail = false;
  await clock.advance(500);
  await settle();
  expect(done.count).toBe(2);
  stop.abort();
  await running;
});
