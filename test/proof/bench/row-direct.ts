// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 2b: reviews of a Deployment of the usual size, straight to the webhook.
import type { Component } from '../../support/control-plane/component.ts';
import type { Cell, Lab } from './bench-lab.ts';
import { ask, bodyFile, dryRun, type Review, unchanged } from './review.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { counting, median, orderOf, ratioOf } from './statistics.ts';

interface Case {
  readonly name: string;
  readonly url: string;
  readonly review: Review;
  readonly process: Component;
}

export const direct: Row = {
  id: '2b',
  title: 'The same straight to the webhook',
  method:
    "A review of a Deployment's UPDATE, recorded from the API server, over 16 HTTPS keep-alive connections. Dry run: the image changes and " +
    'the digest is made. No-op: old and new object are equal. `production-deploys` looks at named fields, `bench` at the whole object.',
  run,
};

const connections = 16;

async function run(lab: Lab): Promise<RowResult> {
  const { plan, say, stepup, baselines } = lab;
  const gate = stepup.gate;
  const process = lab.process();
  const baseline = (name: 'node' | 'go'): Case => ({
    name: `${name} always-allow`,
    url: `https://127.0.0.1:${baselines[name].port}/`,
    review: dryRun(lab.review),
    process: baselines[name].process,
  });
  const cases: readonly Case[] = [
    baseline('go'),
    baseline('node'),
    { name: 'stepup, dry run, fields', url: gate('production-deploys'), review: dryRun(lab.review), process },
    { name: 'stepup, no-op, fields', url: gate('production-deploys'), review: unchanged(lab.review), process },
    { name: 'stepup, dry run, whole object', url: gate('bench'), review: dryRun(lab.review), process },
    { name: 'stepup, no-op, whole object', url: gate('bench'), review: unchanged(lab.review), process },
  ];
  const cells: (Cell & { readonly name: string; readonly round: number })[] = [];
  for (const { name, url, review } of cases) {
    const said = await ask(url, review);
    if (said !== 'allowed') throw new Error(`${name}: the webhook said ${said}`);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const one of orderOf(cases, round)) {
      const load = { url: one.url, body: bodyFile(lab.cluster, 'review', one.review), connections };
      await lab.measure({ ...load, seconds: 1 });
      const cell = await lab.measure({ ...load, seconds: plan.seconds }, one.process);
      cells.push({ ...cell, name: one.name, round });
      say(`2b: round ${round + 1}, ${one.name}: ${shown(cell.perSecond)}/s, p99 ${shown(cell.p99Ms)} ms`);
    }
  }
  const of = (name: string, quantity: 'perSecond' | 'p50Ms' | 'p99Ms' | 'cpuPer1000') =>
    cells
      .filter((cell) => cell.name === name)
      .map(({ round, isDisturbed, [quantity]: value }) => ({ round, isDisturbed, value }));
  const middle = (...which: Parameters<typeof of>) => median(counting(of(...which)).map(({ value }) => value));
  const ours = cases.slice(2).map(({ name }) => name);
  const throughput = ours.map((name) => middle(name, 'perSecond'));
  const p99 = ours.map((name) => middle(name, 'p99Ms'));
  const size = Buffer.byteLength(JSON.stringify(lab.review));
  const otherwise =
    'Beyond the Node baseline each review is read strictly (a third of what JSON.parse takes), described, and for a dry run hashed: canonical ' +
    'JSON costs two thirds of a parse. The rest is garbage collection.';
  return {
    goals: [
      {
        what: 'requests a second (dry run and no-op by fields, then by whole object)',
        goal: '≥ 8,000',
        measured: throughput.map((value) => shown(value, 0)).join(' / '),
        isMet: throughput.every((value) => value >= 8000),
        otherwise,
      },
      {
        what: 'p99 in ms',
        goal: '≤ 6',
        measured: p99.map((value) => shown(value, 1)).join(' / '),
        isMet: p99.every((value) => value <= 6),
        otherwise,
      },
    ],
    tables: [
      {
        caption: `${connections} connections, a review of ${size.toLocaleString('en')} bytes`,
        head: ['webhook', 'req/s', '× Node', 'p50 ms', 'p99 ms', 'CPU-s per 1,000', 'CPU × Node', 'disturbed rounds'],
        rows: cases.map(({ name }) => [
          name,
          shown(middle(name, 'perSecond'), 0),
          shown(ratioOf(of(name, 'perSecond'), of('node always-allow', 'perSecond'))),
          shown(middle(name, 'p50Ms')),
          shown(middle(name, 'p99Ms'), 1),
          shown(middle(name, 'cpuPer1000'), 3),
          shown(ratioOf(of(name, 'cpuPer1000'), of('node always-allow', 'cpuPer1000'))),
          String(of(name, 'perSecond').filter(({ isDisturbed }) => isDisturbed).length),
        ]),
      },
    ],
    raw: cells,
  };
}
