// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writers that all ask at once, over and over. The API server keeps 25 idle connections to a webhook: what is asked beyond that
// makes new ones, so every wave has TLS handshakes with whatever is served and trusted at that moment.

import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient } from '../../support/control-plane/admin-client.ts';
import { ask, deployments, type Failure, imagePatch } from '../../support/traffic.ts';

export interface Waves {
  /** Governed requests that were denied as they should be, or answered otherwise. */
  readonly denied: () => number;
  /** Ungated ones of the same kind, by the same account. */
  readonly passed: () => number;
  readonly failures: readonly Failure[];
  stop(): Promise<void>;
}

const governed = 40;
const ungated = 4;
const pauseMs = 250;

/** Starts waves of changes that nobody approves, with a few where nothing is governed. */
export function startWaves(deployer: AdminClient): Waves {
  const failures: Failure[] = [];
  let [denied, passed, isStopping] = [0, 0, false];
  const write = async (namespace: string, name: string, want: 'denied' | 'passed') => {
    const atMs = performance.now();
    const image = want === 'denied' ? 'evil:1' : `nginx:${Math.round(atMs)}`;
    const told = await ask(deployer, 'PATCH', `${deployments(namespace)}/${name}`, imagePatch(image));
    if (told.kind !== want) {
      failures.push({ atMs, message: `${want} was wanted, ${'message' in told ? told.message : told.kind}` });
    } else if (want === 'denied') denied += 1;
    else passed += 1;
  };
  const run = async () => {
    while (!isStopping) {
      await Promise.all([
        ...Array.from({ length: governed }, () => write('prod', 'guarded', 'denied')),
        ...Array.from({ length: ungated }, (_, n) => write('dev', `free-${n}`, 'passed')),
      ]);
      await sleep(pauseMs);
    }
  };
  const running = run();
  return {
    denied: () => denied,
    passed: () => passed,
    failures,
    stop: async () => {
      isStopping = true;
      await running;
    },
  };
}

export const freeDeployments = Array.from({ length: ungated }, (_, n) => `free-${n}`);
