// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The watchdog on a clock that the test moves: what it counts, and when it tells people.
import { afterEach, expect, test } from 'vitest';
import { GateWatchdog } from '../../../../src/operator/integrity/gate-watchdog.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

const stop = { current: new AbortController() };
afterEach(() => stop.current.abort());

function start(policies: readonly string[]) {
  stop.current = new AbortController();
  const clock = fakeClock(new Date('2026-01-01T12:00:00Z'));
  const state = {
    policies,
    /** Gates that the API server does not call now. */
    out: new Set<string>(),
    error: undefined as Error | undefined,
    asked: [] as string[],
    told: [] as string[],
    logged: [] as string[],
    gates: {} as Record<string, boolean>,
    lookedAt: '',
  };
  const log = (_: object, message: string) => state.logged.push(message);
  const watchdog = new GateWatchdog({
    expected: () => state.policies.map((policy) => ({ policy, uid: `uid-of-${policy}` })),
    probe: async (names) => {
      state.asked.push(names.join(','));
      if (state.error !== undefined) throw state.error;
      return new Set(names.filter((name) => !state.out.has(name)));
    },
    everySeconds: 60,
    metrics: {
      gates: (found) => {
        state.gates = Object.fromEntries(found);
      },
      looked: (at) => {
        state.lookedAt = at.toISOString();
      },
    },
    events: { emit: ({ type, reason, regarding }) => state.told.push(`${type} ${reason} ${regarding.name}`) },
    log: { debug: log, info: log, warn: log, error: log },
    clock,
  });
  void watchdog.run(stop.current.signal);
  return { state, clock };
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

test('gates in the path are counted each minute, and nobody is told', async () => {
  const { state, clock } = start(['deploys', 'secrets']);
  await settle();
  expect(state).toMatchObject({ asked: ['deploys,secrets'], gates: { deploys: true, secrets: true }, told: [] });
  expect(state.lookedAt).toBe('2026-01-01T12:00:00.000Z');
  await clock.advance(60_000);
  await settle();
  expect(state.asked).toHaveLength(2);
});

test('a the API server is not calling the webhook is asked again, then told once; and once more when it is back', async () => {
  const { state, clock } = start(['deploys', 'secrets']);
  await settle();
  state.out.add('secrets');
  await clock.advance(60_000);
  await settle();
  expect({ asked: state.asked.at(-1), told: state.told }).toEqual({ asked: 'deploys,secrets', told: [] });
  await clock.advance(2_000);
  await settle();
  expect(state.asked.at(-1)).toBe('secrets');
  expect(state.gates).toEqual({ deploys: true, secrets: false });
  for (let minute = 0; minute < 3; minute++) {
    await clock.advance(62_000);
    await settle();
    await clock.advance(2_000);
    await settle();
  }
  expect(state.told).toEqual(['Warning GateOutOfPath secrets']);
  state.out.clear();
  await clock.advance(62_000);
  await settle();
  expect(state.told).toEqual(['Warning GateOutOfPath secrets', 'Normal GateInPath secrets']);
  expect(state.gates).toEqual({ deploys: true, secrets: true });
});

test('one that is new to the API server for a moment is told to nobody', async () => {
  const { state, clock } = start([]);
  await settle();
  state.policies = ['deploys'];
  state.out.add('deploys');
  await clock.advance(60_000);
  await settle();
  state.out.clear();
  await clock.advance(2_000);
  await settle();
  expect(state).toMatchObject({ gates: { deploys: true }, told: [] });
});

test('a gate whose policy goes meanwhile is not out of the path', async () => {
  const { state, clock } = start(['deploys']);
  await settle();
  state.out.add('deploys');
  await clock.advance(60_000);
  await settle();
  state.policies = [];
  await clock.advance(2_000);
  await settle();
  expect(state).toMatchObject({ gates: {}, told: [] });
});

test('where it cannot look it says so, and leaves what it knew', async () => {
  const { state, clock } = start(['deploys']);
  await settle();
  const { lookedAt } = state;
  state.error = new Error('no connection');
  await clock.advance(60_000);
  await settle();
  expect(state).toMatchObject({ gates: { deploys: true }, told: [], lookedAt });
  expect(state.logged).toEqual(['the watchdog cannot check the webhooks']);
});
