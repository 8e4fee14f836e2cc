// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 4: one identity repeats one refused request as fast as a retry loop without backoff would.
import { endOfLog, eventsSince, mostInOneSecond } from './audit.ts';
import { type Lab, pause } from './bench-lab.ts';
import { liveHeapMiB } from './live-heap.ts';
import { memoryOf } from './machine.ts';
import { ask, bodyFile, withImage } from './review.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { systemNamespace } from './stepup-process.ts';

export const storm: Row = {
  id: '4',
  title: 'Denial storm',
  method:
    'One account repeats one request that is refused, over so many connections that about 1,000 a second come in, straight to the webhook and then through the API ' +
    'server as far as it goes. Live reads are counted by the webhook, and from the audit log as lists of approvals in the busiest second (a live read ' +
    "lists the target's namespace and stepup's own). Memory in use is V8's heap after a full collection; resident memory besides holds what V8 " +
    'has had no reason to collect yet.',
  run,
};

const connections = 160;

interface Storm {
  readonly perSecond: number;
  readonly filed: number;
  readonly readsPerSecond: number;
  readonly listsInOneSecond: number;
  readonly unexpected: number;
  /** Share of the denials that name the approval; the others say that no decision could be made. */
  readonly informed: number;
}

async function run(lab: Lab): Promise<RowResult> {
  const { plan, say } = lab;
  const seconds = plan.isQuick ? 3 : 10;
  const pid = lab.process().pid ?? 0;
  const stamp = Date.now();
  const review = withImage(lab.review, `registry.example/web:storm-${stamp}`);
  const url = lab.stepup.gate('production-deploys');
  const said = await ask(url, review);
  if (said !== 'denied: approval required') throw new Error(`the webhook said ${said}`);
  // Filed after the answer has gone out.
  await pause(1_000);
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `storm-${stamp}` } };
  const straight = { url, body: bodyFile(lab.cluster, 'storm', review), connections };
  const throughApi = {
    url: lab.configMapsUrl('stepup'),
    body: bodyFile(lab.cluster, 'storm-api', configMap),
    token: lab.token,
    connections,
  };
  const memory = async () => ({ residentMiB: memoryOf(pid).residentMiB, heapMiB: await liveHeapMiB(pid) });
  const memories = [await memory()];
  const storms: Storm[] = [];
  for (const [load, errors] of [
    [straight, 'none'],
    [throughApi, 'all'],
    [straight, 'none'],
  ] as const) {
    storms.push(await one(lab, { ...load, seconds }, errors));
    await pause(2_000);
    memories.push(await memory());
    say(`4: ${shown(storms.at(-1)?.perSecond ?? 0)} denials a second, ${storms.at(-1)?.filed} filed`);
  }
  const heaps = memories.map(({ heapMiB }) => heapMiB);
  const [, first = 0, , last = 0] = heaps;
  const worst = (pick: (storm: Storm) => number) => Math.max(...storms.map(pick));
  const list = (pick: (storm: Storm) => number, digits = 0) =>
    storms.map((one) => shown(pick(one), digits)).join(' / ');
  // The first storm's object was filed by the request before it.
  const filed = storms.slice(0, 2).map((one, index) => one.filed + (index === 0 ? 1 : 0));
  const isCalm = worst((one) => one.unexpected) === 0;
  return {
    goals: [
      {
        what: 'objects filed (straight / through the API server)',
        goal: '1 each',
        measured: filed.join(' / '),
        isMet: filed.every((n) => n === 1),
      },
      {
        what: 'denials that name the approval (straight / API server / straight)',
        goal: 'all',
        measured: list((one) => one.informed, 2),
        isMet: storms.every((one) => one.informed > 0.99),
        otherwise:
          'The others were refused as well, for want of a decision in time: a denial waits for a live read that began after it asked, so for ' +
          "up to two, of two round trips each, and on a saturated API server that can be longer than the gate's 3 s.",
      },
      {
        what: 'live reads a second (straight / API server / straight)',
        goal: '≤ 10',
        measured: list((one) => one.readsPerSecond, 1),
        isMet: worst((one) => one.readsPerSecond) <= 10,
      },
      {
        what: 'memory in use before / after each storm, garbage collected',
        goal: 'flat: after the last within 1.1 × of after the first',
        measured: `${heaps.map((value) => shown(value)).join(' / ')} MiB`,
        isMet: last <= 1.1 * first,
      },
      {
        what: 'answers other than a denial',
        goal: '0',
        measured: String(worst((one) => one.unexpected)),
        isMet: isCalm,
      },
    ],
    tables: [
      {
        caption: `${connections} connections, ${seconds} s each`,
        head: ['', 'straight', 'through the API server', 'straight again'],
        rows: [
          ['denials a second', ...storms.map((one) => shown(one.perSecond, 0))],
          ['share that names the approval', ...storms.map((one) => shown(one.informed))],
          ['live reads a second', ...storms.map((one) => shown(one.readsPerSecond, 1))],
          ['lists of approvals in the busiest second', ...storms.map((one) => String(one.listsInOneSecond))],
          ['resident memory afterwards, MiB', ...memories.slice(1).map((one) => shown(one.residentMiB, 0))],
        ],
      },
    ],
    raw: { storms, memories },
  };
}

async function one(lab: Lab, load: Parameters<Lab['measure']>[0], errors: 'none' | 'all'): Promise<Storm> {
  const { cluster, stepup } = lab;
  const log = cluster.auditLogs[0] ?? '';
  const offset = endOfLog(log);
  const before = {
    approvals: await approvals(lab),
    reads: await stepup.counted('stepup_live_reads_total'),
    ...(await decided(lab)),
  };
  const cell = await lab.measure(load);
  const reads = (await stepup.counted('stepup_live_reads_total')) - before.reads;
  await pause(1_000);
  const after = await decided(lab);
  const account = `system:serviceaccount:${systemNamespace}:stepup`;
  const lists = eventsSince(log, offset).filter(
    ({ user, verb, resource }) => user === account && verb === 'list' && resource === 'stepupapprovals',
  );
  return {
    perSecond: cell.perSecond,
    filed: (await approvals(lab)) - before.approvals,
    readsPerSecond: reads / load.seconds,
    listsInOneSecond: mostInOneSecond(lists.map(({ atMs }) => atMs)),
    informed: (after.informed - before.informed) / (after.all - before.all),
    unexpected: cell.socketErrors + (errors === 'none' ? cell.statusErrors : cell.requests - cell.statusErrors),
  };
}

async function decided({ stepup }: Lab): Promise<{ readonly informed: number; readonly all: number }> {
  const informed = await stepup.counted('stepup_decisions_total', { reason: 'ApprovalRequired' });
  return { informed, all: await stepup.counted('stepup_decisions_total') };
}

async function approvals({ cluster }: Lab): Promise<number> {
  return (await cluster.admin.list('/apis/stepup.dev/v1alpha1/stepupapprovals')).items.length;
}
