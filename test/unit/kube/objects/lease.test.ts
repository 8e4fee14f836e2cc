// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Leader election on a Lease in memory, with a clock that tests move: who may lead when, and who must stop when.

import { describe, expect, test } from 'vitest';
import { statusError } from '../../../../src/kube/http/api-error.ts';
import { LeaderElector, type LeaderElectorOptions, type Lease } from '../../../../src/kube/objects/lease.ts';
import { type FakeClock, fakeClock } from '../../../support/fakes/fake-clock.ts';

const KEY = { namespace: 'stepup', name: 'operator' };

/** One stored Lease with the API server's compare-and-swap. */
function fakeLeases() {
  let stored: Lease | undefined;
  let version = 0;
  const store = (spec: Lease['spec']): Lease => {
    version += 1;
    stored = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { ...KEY, uid: 'uid', resourceVersion: `${version}`, creationTimestamp: '2026-01-01T00:00:00Z' },
      ...(spec && { spec }),
    };
    return stored;
  };
  const leases: LeaderElectorOptions['leases'] = {
    async get() {
      return stored ?? Promise.reject(statusError('get', 404, {}));
    },
    async create({ spec }) {
      return stored === undefined
        ? store(spec)
        : Promise.reject(statusError('create', 409, { kind: 'Status', reason: 'AlreadyExists' }));
    },
    async replace({ metadata, spec }) {
      if (stored === undefined) {
        throw statusError('replace', 404, {});
      }
      return metadata.resourceVersion === stored.metadata.resourceVersion
        ? store(spec)
        : Promise.reject(statusError('replace', 409, {}));
    },
  };
  return {
    leases,
    /** As somebody else's write would: a new version of the same. */
    touch: () => store(stored?.spec),
    remove: () => {
      stored = undefined;
    },
    get spec() {
      return stored?.spec;
    },
  };
}

interface Candidate {
  readonly elector: LeaderElector;
  readonly running: Promise<void>;
  readonly controller: AbortController;
}

function candidate(
  identity: string,
  clock: FakeClock,
  log: string[],
  leases: LeaderElectorOptions['leases'],
  lead?: (signal: AbortSignal) => Promise<void>,
): Candidate {
  const controller = new AbortController();
  const elector = new LeaderElector({ leases, lease: KEY, identity, clock });
  const untilAborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  const running = elector.run(controller.signal, async (signal) => {
    log.push(`${clock.monotonicMs()} ${identity} leads`);
    await (lead ?? untilAborted)(signal);
    log.push(`${clock.monotonicMs()} ${identity} stops`);
  });
  return { elector, running, controller };
}

/** The same Lease by a connection that can be cut. */
function cuttable(leases: LeaderElectorOptions['leases']) {
  let cut = false;
  const guard = async <T>(call: () => Promise<T>): Promise<T> => {
    if (cut) {
      throw statusError('call', 503, {});
    }
    return call();
  };
  return {
    cut: () => {
      cut = true;
    },
    leases: {
      get: (key) => guard(() => leases.get(key)),
      create: (object) => guard(() => leases.create(object)),
      replace: (object) => guard(() => leases.replace(object)),
    } satisfies LeaderElectorOptions['leases'],
  };
}

describe('leader election', () => {
  test('a leader that cannot renew stops at the renew deadline, and another leads only after the lease', async () => {
    const clock = fakeClock();
    const log: string[] = [];
    const lease = fakeLeases();
    const line = cuttable(lease.leases);
    candidate('one', clock, log, line.leases);
    await clock.advance(1_000);
    candidate('two', clock, log, lease.leases);
    await clock.advance(20_000);
    line.cut();
    await clock.advance(40_000);
    // Renewed last at 20 s, seen by two up to 2.4 s later.
    expect(log.slice(0, 2)).toEqual(['0 one leads', '30000 one stops']);
    expect(log[2]).toMatch(/^3[5-9]\d{3} two leads$/);
    expect(log).toHaveLength(3);
  });

  test('a renewal that hangs does not delay stepping down', async () => {
    const clock = fakeClock();
    const log: string[] = [];
    const { leases } = fakeLeases();
    candidate('one', clock, log, { ...leases, replace: () => new Promise(() => {}) });
    await clock.advance(60_000);
    expect(log).toEqual(['0 one leads', '10000 one stops']);
  });

  test('a Lease whose instants lie in the future is taken after its duration all the same', async () => {
    const clock = fakeClock();
    const log: string[] = [];
    const { leases } = fakeLeases();
    const spec = { holderIdentity: 'gone', leaseDurationSeconds: 15, renewTime: '2099-01-01T00:00:00.000000Z' };
    await leases.create({ metadata: KEY, spec });
    candidate('one', clock, log, leases);
    await clock.advance(14_000);
    expect(log).toEqual([]);
    await clock.advance(4_000);
    expect(log).toHaveLength(1);
  });

  test('a label set on the Lease does not end a term', async () => {
    const clock = fakeClock();
    const log: string[] = [];
    const lease = fakeLeases();
    candidate('one', clock, log, lease.leases);
    await clock.advance(1_000);
    lease.touch();
    await clock.advance(60_000);
    expect(log).toEqual(['0 one leads']);
  });

  test('a Lease that was deleted ends the term before it is made anew', async () => {
    const clock = fakeClock();
    const log: string[] = [];
    const lease = fakeLeases();
    candidate('one', clock, log, lease.leases);
    await clock.advance(1_000);
    lease.remove();
    await clock.advance(10_000);
    expect(log).toEqual(['0 one leads', '2000 one stops', '2000 one leads']);
  });

  test('the Lease is released only after the work has stopped', async () => {
    const clock = fakeClock();
    const log: string[] = [];
    const lease = fakeLeases();
    const slowly = (signal: AbortSignal) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', () => clock.after(3_000, resolve)));
    const one = candidate('one', clock, log, lease.leases, slowly);
    await clock.advance(1_000);
    one.controller.abort();
    await clock.advance(2_000);
    expect(lease.spec?.holderIdentity).toBe('one');
    await clock.advance(1_000);
    await one.running;
    expect(lease.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 });
    expect([one.elector.isLeader, clock.timers]).toEqual([false, 0]);
  });

  test('work that fails releases the Lease and ends the run with its reason', async () => {
    const clock = fakeClock();
    const lease = fakeLeases();
    const failure = new Error('broken');
    const one = candidate('one', clock, [], lease.leases, () => Promise.reject(failure));
    await expect(one.running).rejects.toBe(failure);
    expect(lease.spec?.holderIdentity).toBe('');
  });

  test('work that ends by itself ends the run', async () => {
    const lease = fakeLeases();
    await candidate('one', fakeClock(), [], lease.leases, async () => {}).running;
    expect(lease.spec?.holderIdentity).toBe('');
  });

  test('durations under which two could lead are refused', () => {
    const { leases } = fakeLeases();
    const options = { leases, lease: KEY, identity: 'one' };
    expect(() => new LeaderElector({ ...options, renewDeadlineMs: 15_000 })).toThrow(RangeError);
    expect(() => new LeaderElector({ ...options, retryPeriodMs: 10_000 })).toThrow(RangeError);
  });
});
