// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps one container running by its restart policy, probes it and stops it in order.

import { setTimeout as sleep } from 'node:timers/promises';
import { type ContainerProcess, type ProcessSpec, startProcess } from './container-process.ts';
import type { Container, PodSpec, Probe } from './pod.ts';
import { runProbe } from './probe.ts';

export type ContainerState =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message?: string }
  | { readonly kind: 'running'; readonly startedAt: string }
  | { readonly kind: 'terminated'; readonly exitCode: number; readonly startedAt: string; readonly finishedAt: string };

export interface ContainerRunner {
  readonly container: Container;
  readonly pid: number | undefined;
  readonly state: ContainerState;
  readonly lastState: ContainerState | undefined;
  readonly restartCount: number;
  /** The startup probe has passed, or there is none and the process runs. */
  readonly isStarted: boolean;
  readonly isReady: boolean;
  /** Runs until the restart policy is satisfied or `stop`; gives the last exit code. */
  run(): Promise<number>;
  signal(signal: NodeJS.Signals): void;
  /** preStop, SIGTERM, and SIGKILL once the grace is over. */
  stop(graceSeconds: number): Promise<void>;
}

export interface ContainerRunnerParts {
  readonly container: Container;
  readonly host: string;
  readonly restartPolicy: NonNullable<PodSpec['restartPolicy']>;
  readonly graceSeconds: number;
  /** Resolved anew for each start, since Secrets in variables may have changed. Throws what the pod's author must fix. */
  readonly processSpec: () => Promise<ProcessSpec>;
  readonly onChange: () => void;
}

/** Much shorter than the kubelet's 10 s to 5 min, so that tests of crashes take seconds. The first restart is at once. */
const backoffMs = { first: 500, longest: 10_000 };
/** Who has run for so long did not crash in a loop, as after the kubelet's 10 minutes. */
const soundAfterMs = 10_000;

export function createContainerRunner(parts: ContainerRunnerParts): ContainerRunner {
  const { container, onChange } = parts;
  const stopping = new AbortController();
  let process: ContainerProcess | undefined;
  let state: ContainerState = { kind: 'waiting', reason: 'ContainerCreating' };
  let lastState: ContainerState | undefined;
  let restartCount = 0;
  let isStarted = false;
  let isReady = false;

  const set = (next: { state?: ContainerState; isStarted?: boolean; isReady?: boolean }) => {
    state = next.state ?? state;
    isStarted = next.isStarted ?? isStarted;
    isReady = next.isReady ?? isReady;
    onChange();
  };

  const runOnce = async (): Promise<number> => {
    const startedAt = new Date().toISOString();
    const running = startProcess(await parts.processSpec());
    process = running;
    const probing = new AbortController();
    set({ state: { kind: 'running', startedAt } });
    void probeWhile(running, probing.signal); // ends with the signal, never rejects
    if (stopping.signal.aborted) running.signal('SIGKILL'); // stopped while the specification was being made
    const exitCode = await running.ended;
    probing.abort();
    process = undefined;
    const finishedAt = new Date().toISOString();
    set({ state: { kind: 'terminated', exitCode, startedAt, finishedAt }, isStarted: false, isReady: false });
    return exitCode;
  };

  const probeWhile = async (running: ContainerProcess, signal: AbortSignal) => {
    const target = { host: parts.host, container };
    const killIfFailed = (isSuccess: boolean) => {
      // While it is being stopped its grace counts, not its health.
      if (!isSuccess && !stopping.signal.aborted) void endProcess(running, parts.graceSeconds); // the run loop sees the exit
    };
    if (container.startupProbe) await passStartup(container.startupProbe, signal, target, killIfFailed);
    if (signal.aborted) return;
    set({ isStarted: true, isReady: !container.readinessProbe });
    const { readinessProbe, livenessProbe } = container;
    await Promise.all([
      readinessProbe &&
        runProbe(readinessProbe, target, (isSuccess) => isReady !== isSuccess && set({ isReady: isSuccess }), signal),
      livenessProbe && runProbe(livenessProbe, target, killIfFailed, signal),
    ]);
  };

  return {
    container,
    get pid() {
      return process?.pid;
    },
    get state() {
      return state;
    },
    get lastState() {
      return lastState;
    },
    get restartCount() {
      return restartCount;
    },
    get isStarted() {
      return isStarted;
    },
    get isReady() {
      return isReady;
    },
    run: async () => {
      for (let delayMs = 0; ; delayMs = Math.min(backoffMs.longest, delayMs * 2 || backoffMs.first)) {
        const startedAtMs = performance.now();
        const exitCode = await runUntilConfigured(runOnce, set, stopping.signal);
        const isDone = parts.restartPolicy === 'Never' || (parts.restartPolicy === 'OnFailure' && exitCode === 0);
        if (isDone || stopping.signal.aborted) return exitCode;
        lastState = state;
        if (performance.now() - startedAtMs > soundAfterMs) delayMs = 0;
        if (delayMs > 0) set({ state: { kind: 'waiting', reason: 'CrashLoopBackOff' } });
        await pause(delayMs, stopping.signal);
        if (stopping.signal.aborted) return exitCode;
        restartCount++;
      }
    },
    signal: (signal) => process?.signal(signal),
    stop: async (graceSeconds) => {
      stopping.abort();
      if (!process) return;
      const running = process;
      const preStopSeconds = Math.min(container.lifecycle?.preStop?.sleep?.seconds ?? 0, graceSeconds);
      await Promise.race([sleep(preStopSeconds * 1000), running.ended]);
      await endProcess(running, graceSeconds - preStopSeconds);
    },
  };
}

/** Retries while something the container's configuration names does not exist, as the kubelet does. */
async function runUntilConfigured(
  runOnce: () => Promise<number>,
  set: (next: { state: ContainerState }) => void,
  signal: AbortSignal,
): Promise<number> {
  for (;;) {
    try {
      return await runOnce();
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      set({ state: { kind: 'waiting', reason: 'CreateContainerConfigError', message } });
      await pause(1_000, signal);
      if (signal.aborted) return 1;
    }
  }
}

function passStartup(
  probe: Probe,
  signal: AbortSignal,
  target: Parameters<typeof runProbe>[1],
  onFailure: (isSuccess: boolean) => void,
): Promise<void> {
  const passed = new AbortController();
  const onOutcome = (isSuccess: boolean) => {
    if (isSuccess) passed.abort();
    else onFailure(isSuccess);
  };
  return runProbe(probe, target, onOutcome, AbortSignal.any([signal, passed.signal]));
}

async function endProcess(running: ContainerProcess, graceSeconds: number): Promise<void> {
  running.signal('SIGTERM');
  const force = setTimeout(() => running.signal('SIGKILL'), Math.max(0, graceSeconds) * 1000);
  await running.ended;
  clearTimeout(force);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}
