// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The reflector's loop against a scripted source: silence, failures, selectors, handlers that throw.

import { describe, expect, test } from 'vitest';
import { statusError } from '../../../../src/kube/http/api-error.ts';
import type { KubeObject } from '../../../../src/kube/objects/objects.ts';
import { ObjectStore } from '../../../../src/kube/watch/object-store.ts';
import {
  type ListWatch,
  Reflector,
  type ReflectorOptions,
  type WatchEnd,
} from '../../../../src/kube/watch/reflector.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

interface Thing extends KubeObject {
  readonly color?: string;
}

function thing(name: string, resourceVersion: number, color = 'red'): Thing {
  const metadata = {
    namespace: 'prod',
    name,
    uid: `uid-${name}`,
    resourceVersion: `${resourceVersion}`,
    creationTimestamp: '2026-01-01T00:00:00Z',
  };
  return { apiVersion: 'v1', kind: 'Thing', metadata, color };
}

const added = (object: Thing) => ({ type: 'ADDED', object });
const deleted = (object: Thing) => ({ type: 'DELETED', object });
const bookmark = (resourceVersion: number) => ({ type: 'BOOKMARK', object: thing('', resourceVersion) });
const expired = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } };

interface WatchScript {
  readonly events?: readonly object[];
  /** After the events: nothing more until the watch is dropped, or the server closes it. */
  readonly finish: 'silence' | 'close';
}

interface Script {
  /** The last one is repeated. */
  readonly lists: readonly (readonly Thing[] | { readonly fail: unknown })[];
  readonly watches?: readonly WatchScript[];
}

/** A started reflector over a script; `calls` says what it asked and when. */
function start(script: Script, options: Partial<ReflectorOptions<Thing, 'color'>> = {}) {
  const clock = fakeClock();
  const calls: string[] = [];
  let lists = 0;
  let watches = 0;
  const source: ListWatch<Thing> = {
    async page() {
      calls.push(`${clock.monotonicMs()} list`);
      const list = script.lists[Math.min(lists, script.lists.length - 1)] ?? [];
      lists += 1;
      if ('fail' in list) {
        throw list.fail;
      }
      return { metadata: { resourceVersion: `${lists * 100}` }, items: list };
    },
    async watch({ resourceVersion, signal }) {
      calls.push(`${clock.monotonicMs()} watch ${resourceVersion}`);
      const watch = script.watches?.[watches] ?? { finish: 'silence' };
      watches += 1;
      return play(watch, signal!);
    },
  };
  const changes: string[] = [];
  const errors: unknown[] = [];
  const ends: WatchEnd[] = [];
  const reflector = new Reflector<Thing, 'color'>({
    source,
    clock,
    indexBy: { color: ({ color }) => (color === undefined ? [] : [color]) },
    onError: (error) => errors.push(error),
    observer: { watchClosed: (end) => ends.push(end) },
    ...options,
  });
  reflector.onChange(({ type, object, previous }) =>
    changes.push([type, object.metadata.name, object.color, 'was', previous?.color].join(' ')),
  );
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  return { clock, calls, changes, errors, ends, reflector, stop, running };
}

async function* play({ events = [], finish }: WatchScript, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (const event of events) {
    yield Buffer.from(`${JSON.stringify(event)}\n`);
  }
  if (finish === 'close') {
    return;
  }
  await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

describe('reflector', () => {
  test('applies a list and events, and resumes where a watch ended', async () => {
    const events = [added(thing('a', 101, 'blue')), added(thing('b', 102)), deleted(thing('a', 103)), bookmark(150)];
    const { clock, calls, changes, reflector } = start({
      lists: [[thing('a', 1)]],
      watches: [{ events, finish: 'close' }],
    });
    await clock.advance(100);
    expect(calls).toEqual(['0 list', '0 watch 100', '100 watch 150']);
    expect(changes).toEqual(['set a red was ', 'set a blue was red', 'set b red was ', 'delete a red was blue']);
    expect([...reflector.objects.values()]).toEqual([thing('b', 102)]);
    expect(reflector.hasSynced).toBe(true);
  });

  test('what is known already is not reported again', async () => {
    const { clock, changes } = start({
      lists: [[thing('a', 1)]],
      watches: [{ events: [added(thing('a', 1))], finish: 'silence' }],
    });
    await clock.advance(0);
    expect(changes).toEqual(['set a red was ']);
  });

  test('410 in a watch leads to a new list, which reports what is gone', async () => {
    const { clock, calls, changes, ends } = start({
      lists: [[thing('a', 1), thing('b', 2)], [thing('b', 2)]],
      watches: [{ events: [expired], finish: 'silence' }],
    });
    await clock.advance(100);
    expect(calls).toEqual(['0 list', '0 watch 100', '100 list', '100 watch 200']);
    expect(changes).toEqual(['set a red was ', 'set b red was ', 'delete a red was red']);
    expect(ends).toEqual(['gone']);
  });

  test('a silent watch is opened again where it was; a second silent one leads to a list', async () => {
    const { clock, calls, ends } = start({ lists: [[]] });
    await clock.advance(181_000);
    expect(calls).toEqual(['0 list', '0 watch 100', '90100 watch 100', '180200 list', '180200 watch 200']);
    expect(ends).toEqual(['silent', 'silent']);
  });

  test('a server that closes every watch at once is asked ever less often', async () => {
    const watches = Array.from({ length: 100 }, () => ({ finish: 'close' as const }));
    const { clock, calls } = start({ lists: [[]], watches });
    await clock.advance(60_000);
    expect(calls.length).toBeLessThan(25);
    expect(calls.slice(1, 5)).toEqual(['0 watch 100', '100 watch 100', '300 watch 100', '700 watch 100']);
  });

  test('a list that fails is tried for ever, at least every 5 s', async () => {
    const { clock, calls, errors, reflector } = start({ lists: [{ fail: statusError('list', 500, {}) }] });
    await clock.advance(3_600_000);
    expect(calls.length).toBeGreaterThan(700);
    expect(errors).toHaveLength(calls.length);
    expect(reflector.hasSynced).toBe(false);
  });

  test('Retry-After is kept to, up to 5 s', async () => {
    const fail = (seconds: string) => ({ fail: statusError('list', 429, {}, seconds) });
    const { clock, calls } = start({ lists: [fail('2'), fail('600'), []] });
    await clock.advance(10_000);
    expect(calls).toEqual(['0 list', '2000 list', '7000 list', '7000 watch 300']);
  });

  test('a handler that throws is reported and stops nothing', async () => {
    const { clock, changes, errors, reflector } = start({
      lists: [[thing('a', 1)]],
      watches: [{ events: [added(thing('b', 2))], finish: 'silence' }],
    });
    const failure = new Error('handler');
    reflector.onChange(() => {
      throw failure;
    });
    await clock.advance(0);
    expect(changes).toEqual(['set a red was ', 'set b red was ']);
    expect(errors).toEqual([failure, failure]);
  });

  test('activity is noted with every bookmark', async () => {
    const { clock, reflector } = start({ lists: [[]], watches: [{ events: [bookmark(120)], finish: 'silence' }] });
    await clock.advance(5_000);
    expect(reflector.lastActivityAtMs).toBe(0);
    const later = start({ lists: [{ fail: statusError('list', 500, {}) }, []] });
    await later.clock.advance(5_000);
    expect(later.reflector.lastActivityAtMs).toBe(100);
  });

  test('objects are kept as transformed', async () => {
    const { clock, reflector } = start(
      { lists: [[thing('a', 1)]], watches: [{ events: [added(thing('b', 2))], finish: 'silence' }] },
      { transform: ({ color: _, ...kept }) => kept },
    );
    await clock.advance(0);
    expect([...reflector.objects.values()].map((object) => 'color' in object)).toEqual([false, false]);
  });

  test('stopping ends the loop and the wait for the first list', async () => {
    const { clock, stop, running, reflector, calls } = start({ lists: [{ fail: new Error('down') }] });
    await clock.advance(50);
    stop.abort();
    await running;
    await expect(reflector.synced).rejects.toThrow('stopped before the first list');
    await clock.advance(60_000);
    expect(calls).toEqual(['0 list']);
    expect(clock.timers).toBe(0);
  });
});

describe('object store', () => {
  test('an index follows changes and deletions', () => {
    const store = new ObjectStore<Thing, 'color'>({ color: ({ color }) => (color ? [color] : []) });
    const named = (color: string) => store.byIndex('color', color).map(({ metadata }) => metadata.name);
    store.set(thing('a', 1, 'red'));
    store.set(thing('b', 2, 'red'));
    expect([named('red'), named('blue')]).toEqual([['a', 'b'], []]);
    expect(store.set(thing('a', 3, 'blue'))).toEqual(thing('a', 1, 'red'));
    expect([named('red'), named('blue')]).toEqual([['b'], ['a']]);
    expect(store.delete({ namespace: 'prod', name: 'b' })).toEqual(thing('b', 2, 'red'));
    expect([named('red'), named('blue'), store.size]).toEqual([[], ['a'], 1]);
    expect(store.delete({ namespace: 'other', name: 'a' })).toBeUndefined();
  });
});
