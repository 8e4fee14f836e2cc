// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 8: what it costs to have it, when nobody does anything that it governs.
import { endOfLog, eventsSince } from './audit.ts';
import { type Lab, pause } from './bench-lab.ts';
import { cpuSecondsOf, memoryOf } from './machine.ts';
import { type Row, type RowResult, shown } from './row.ts';

export const idle: Row = {
  id: '8',
  title: 'Idle',
  method:
    'Five minutes (with --quick ten seconds) in which nobody writes anything that a policy governs: CPU time and memory of the one replica, which leads, and every call of its account in ' +
    'the audit log. Watches count when they are begun anew. A replica that does not lead makes less.',
  run,
};

async function run({ cluster, plan, process, say }: Lab): Promise<RowResult> {
  const seconds = plan.isQuick ? 10 : 300;
  // What starts has to settle first.
  await pause(plan.isQuick ? 3_000 : 30_000);
  const pid = process().pid ?? 0;
  const log = cluster.auditLogs[0] ?? '';
  const offset = endOfLog(log);
  const before = cpuSecondsOf(pid);
  say(`8: idle for ${seconds} s`);
  await pause(seconds * 1000);
  const cpu = cpuSecondsOf(pid) - before;
  const calls = eventsSince(log, offset).filter(({ user }) => user.startsWith('system:serviceaccount:stepup-system:'));
  const byKind = new Map<string, number>();
  for (const { verb, resource } of calls) {
    const kind = `${verb} ${resource}`;
    byKind.set(kind, (byKind.get(kind) ?? 0) + 1);
  }
  const { residentMiB } = memoryOf(pid);
  const perMinute = (count: number) => shown((count * 60) / seconds, 1);
  return {
    goals: [],
    tables: [
      {
        caption: 'One replica, idle',
        head: ['what', 'measured'],
        rows: [
          ['CPU', `${shown((cpu / seconds) * 1000, 1)} thousandths of a core`],
          ['resident memory', `${shown(residentMiB, 0)} MiB`],
          ['calls to the API server', `${perMinute(calls.length)} a minute`],
          ...[...byKind].toSorted(([, a], [, b]) => b - a).map(([kind, count]) => [`– ${kind}`, perMinute(count)]),
        ],
      },
    ],
    raw: { seconds, cpuSeconds: cpu, residentMiB, calls: Object.fromEntries(byKind) },
  };
}
