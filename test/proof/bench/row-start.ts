// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 2c: from nothing to the first correct denial, what was said before it, and memory.
import type { Lab } from './bench-lab.ts';
import { memoryOf } from './machine.ts';
import { ask, bodyFile, dryRun, type Said, withImage } from './review.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { median } from './statistics.ts';

export interface Start {
  readonly firstDenialMs: number;
  readonly readyMs: number;
  /** What the webhook said before the first correct denial, by how often. */
  readonly before: Readonly<Partial<Record<Said, number>>>;
  readonly residentMiB: number;
}

export const start: Row = {
  id: '2c',
  title: 'Start and memory',
  method:
    'The process is killed (SIGKILL) and spawned anew, policies and certificates already in the cluster. From the spawn on a review that must be ' +
    'denied is sent over and over, each on a connection of its own; a correct denial is one that asks for the approval, not one that says NotReady. ' +
    'Memory is resident memory 6 s after the start, and after the load of this row: dry runs straight and through the API server.',
  run,
};

const starts = 3;

async function run(lab: Lab): Promise<RowResult> {
  const { plan, say } = lab;
  const measured: Start[] = [];
  for (let index = 0; index < starts; index++) {
    measured.push(await startOnce(lab));
    say(`2c: start ${index + 1}: first denial after ${shown(measured.at(-1)?.firstDenialMs ?? 0, 0)} ms`);
  }
  const pid = lab.process().pid ?? 0;
  const url = lab.stepup.gate('production-deploys');
  const body = bodyFile(lab.cluster, 'start', dryRun(lab.review));
  await lab.measure({ url, body, connections: 64, seconds: 2 * plan.seconds });
  const afterDirect = memoryOf(pid);
  const throughApi = {
    url: `${lab.configMapsUrl('stepup')}?dryRun=All`,
    body: bodyFile(lab.cluster, 'start-api', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'measured' } }),
    token: lab.token,
  };
  await lab.measure({ ...throughApi, connections: 64, seconds: 2 * plan.seconds });
  const afterApi = memoryOf(pid);
  const firstDenialMs = median(measured.map((one) => one.firstDenialMs));
  const resident = median(measured.map((one) => one.residentMiB));
  const afterLoad = Math.max(afterDirect.residentMiB, afterApi.residentMiB);
  const wrong = measured.reduce((sum, { before }) => sum + (before.allowed ?? 0), 0);
  return {
    goals: [
      {
        what: 'first correct denial after the spawn',
        goal: '≤ 0.5 s',
        measured: `${shown(firstDenialMs / 1000)} s`,
        isMet: firstDenialMs <= 500,
        otherwise: 'Loading the bundle, TLS and the three lists take their time one after the other; see the profile.',
      },
      { what: 'wrong allows before it', goal: '0', measured: String(wrong), isMet: wrong === 0 },
      {
        what: 'resident memory after the start',
        goal: '≤ 90 MiB',
        measured: `${shown(resident, 0)} MiB`,
        isMet: resident <= 90,
        otherwise:
          'A third of it is the text of Node itself; the rest is the bundle and what V8 keeps while nothing forces it to collect.',
      },
      {
        what: 'resident memory after load',
        goal: '≤ 160 MiB',
        measured: `${shown(afterLoad, 0)} MiB`,
        isMet: afterLoad <= 160,
        otherwise:
          'V8 lets its old generation grow before it collects: most of what is more than after the start is garbage. A bound on it would ' +
          'bound the cache of approvals too.',
      },
    ],
    tables: [
      {
        caption: 'Starts',
        head: [
          'start',
          'first correct denial',
          'ready',
          'said before: nothing / refused / allowed',
          'resident after 6 s',
        ],
        rows: measured.map(({ firstDenialMs: denial, readyMs, before, residentMiB }, index) => [
          String(index + 1),
          `${shown(denial, 0)} ms`,
          `${shown(readyMs, 0)} ms`,
          `${before.nothing ?? 0} / ${before.refused ?? 0} / ${before.allowed ?? 0}`,
          `${shown(residentMiB, 0)} MiB`,
        ]),
      },
      {
        caption: 'Memory under load',
        head: ['after', 'resident', 'peak'],
        rows: [
          ['64 connections straight', mib(afterDirect.residentMiB), mib(afterDirect.peakMiB)],
          ['64 writers through the API server', mib(afterApi.residentMiB), mib(afterApi.peakMiB)],
        ],
      },
    ],
    raw: { starts: measured, afterDirect, afterApi },
  };
}

const mib = (value: number) => `${shown(value, 0)} MiB`;

export async function startOnce(lab: Lab): Promise<Start> {
  const url = lab.stepup.gate('production-deploys');
  const review = withImage(lab.review, 'registry.example/web:start');
  const running = lab.process();
  await running.kill();
  const before: Partial<Record<Said, number>> = {};
  const beganMs = performance.now();
  let readyMs = 0;
  const restarted = lab.restart().then(() => {
    readyMs = performance.now() - beganMs;
  });
  // Where it does not come up the loop says so first.
  restarted.catch(() => undefined);
  for (;;) {
    const said = await ask(url, review);
    if (said === 'denied: approval required') break;
    before[said] = (before[said] ?? 0) + 1;
    if (performance.now() - beganMs > 30_000) throw new Error('stepup did not deny within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const firstDenialMs = performance.now() - beganMs;
  await restarted;
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  return { firstDenialMs, readyMs, before, residentMiB: memoryOf(lab.process().pid ?? 0).residentMiB };
}
