// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Asks the same three things again and again, and measures the longest time without the right answer.
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, type Clients, deployments, imagePatch, type Told } from '../../support/traffic.ts';

/** What one kind of request was told. */
interface Probe {
  right: number;
  /** Every other answer, in words. */
  readonly wrong: string[];
  longestGapMs: number;
}

export interface Probes {
  readonly ungated: Probe;
  /** A gated account applies what is there already. */
  readonly unchanged: Probe;
  /** A change that nobody approves, which is to be denied with an approval to wait for. */
  readonly unapproved: Probe;
  /** Begins to measure anew; returns what was seen until now. */
  restart(): Measured;
  stop(): Promise<void>;
}

export interface Measured {
  readonly lastedMs: number;
  readonly requests: number;
  readonly longestGapMs: number;
}

const pauseMs = 60;

/** Needs the Deployments dev/probed and prod/probed, with image nginx:0. */
export function startProbes({ deployer }: Clients): Probes {
  const stopping = new AbortController();
  let startedAtMs = performance.now();
  let requests = 0;
  const fresh = (): Probe => ({ right: 0, wrong: [], longestGapMs: 0 });
  const probes = { ungated: fresh(), unchanged: fresh(), unapproved: fresh() };
  const loop = async (probe: Probe, isRight: (told: Told) => boolean, path: string, image: () => string) => {
    let lastRightAtMs = performance.now();
    while (!stopping.signal.aborted) {
      const told = await ask(deployer, 'PATCH', path, imagePatch(image()));
      requests += 1;
      if (isRight(told)) {
        probe.right += 1;
        const now = performance.now();
        // A gap that began before is measured from the beginning.
        probe.longestGapMs = Math.max(probe.longestGapMs, now - Math.max(lastRightAtMs, startedAtMs));
        lastRightAtMs = now;
      } else {
        probe.wrong.push(`${new Date().toISOString()} ${told.kind === 'passed' ? 'passed' : told.message}`);
      }
      await sleep(pauseMs);
    }
  };
  const passed = ({ kind }: Told) => kind === 'passed';
  const denied = ({ kind }: Told) => kind === 'denied';
  const loops = [
    loop(probes.ungated, passed, `${deployments('dev')}/probed`, () => `nginx:${Math.round(performance.now())}`),
    loop(probes.unchanged, passed, `${deployments('prod')}/probed`, () => 'nginx:0'),
    loop(probes.unapproved, denied, `${deployments('prod')}/probed`, () => 'evil:1'),
  ];
  return {
    ...probes,
    restart: () => {
      const all = Object.values(probes);
      const lastedMs = performance.now() - startedAtMs;
      const seen = { lastedMs, requests, longestGapMs: Math.max(...all.map(({ longestGapMs }) => longestGapMs)) };
      for (const probe of all) probe.longestGapMs = 0;
      requests = 0;
      startedAtMs = performance.now();
      return seen;
    },
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}
