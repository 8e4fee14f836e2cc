// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Metrics of every replica, read at each scrape: version, readiness, age of its copies, events, memory.
import { totalmem } from 'node:os';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { EventRecorder } from '../kube/objects/events.ts';
import type { Clock } from '../kube/time/clock.ts';
import { leaderGauge } from '../observe/operator-metrics.ts';

/** A copy that a watch keeps. */
interface Copy {
  readonly lastActivityAtMs: number;
  readonly objects: { readonly size: number };
}

export interface ProcessMetricsOptions {
  readonly version: string;
  readonly notReady: () => readonly string[];
  /** By the plural name of what is copied. */
  readonly copies: Readonly<Record<string, Copy>>;
  readonly events: Pick<EventRecorder, 'counts'>;
  readonly clock: Clock;
}

export function registerProcessMetrics(registry: Registry, options: ProcessMetricsOptions): void {
  const { version, notReady, copies, events, clock } = options;
  const registers = [registry];
  leaderGauge(registry).set(0);
  new Gauge({
    name: 'stepup_build_info',
    help: '1, with the version of stepup as a label.',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1);
  new Gauge({
    name: 'stepup_ready',
    help: '1 while this replica is ready to decide, as /readyz reports.',
    registers,
    collect() {
      this.set(notReady().length === 0 ? 1 : 0);
    },
  });
  new Gauge({
    name: 'stepup_cache_age_seconds',
    help: 'Seconds since the last list, watch event or bookmark of the resource.',
    labelNames: ['resource'],
    registers,
    collect() {
      const nowMs = clock.monotonicMs();
      for (const [resource, { lastActivityAtMs }] of Object.entries(copies))
        this.set({ resource }, (nowMs - lastActivityAtMs) / 1000);
    },
  });
  new Gauge({
    name: 'stepup_cache_objects',
    help: "Objects in the replica's copy of the resource.",
    labelNames: ['resource'],
    registers,
    collect() {
      for (const [resource, { objects }] of Object.entries(copies)) this.set({ resource }, objects.size);
    },
  });
  new Counter({
    name: 'stepup_events_total',
    help: 'Kubernetes events to write, by result.',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      for (const [result, count] of Object.entries(events.counts)) this.inc({ result }, count);
    },
  });
  new Gauge({
    name: 'stepup_memory_limit_bytes',
    help: "The container's memory limit; 0 if it has none.",
    registers,
  }).set(memoryLimit());
}

/** Node tells a huge number where there is no limit. */
function memoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : 0;
}
