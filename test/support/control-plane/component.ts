// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One long-running process of the control plane: started, watched until ready, paused, killed, restarted.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { adopt, release, signalGroup } from './reaper.ts';

/** What tests may do to a running component. */
export interface Component {
  readonly name: string;
  /** Of the current process; another one after `restart`. Undefined while it is stopped. */
  readonly pid: number | undefined;
  /** Path of the log file (stdout and stderr, appended across restarts). */
  readonly log: string;
  /** Ends it in an orderly way (SIGTERM), by force after the grace period. */
  stop(graceMs?: number): Promise<void>;
  /** Ends it as a crash would (SIGKILL). */
  kill(): Promise<void>;
  /** Freezes it (SIGSTOP): connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  /** Kills it if it runs, starts it with the same arguments and waits until it is ready. */
  restart(): Promise<void>;
}

export interface ComponentSpec {
  readonly name: string;
  readonly binary: string;
  readonly args: readonly string[];
  readonly log: string;
  /** Polled until it returns true. */
  readonly isReady: () => Promise<boolean>;
  readonly readyTimeoutMs: number;
}

/** Starts a component; on failure the error carries the log's tail and nothing is left running. */
export async function startComponent(spec: ComponentSpec): Promise<Component> {
  let running = await launch(spec);
  return {
    name: spec.name,
    get pid() {
      return running.hasEnded() ? undefined : running.pid;
    },
    log: spec.log,
    stop: (graceMs = 10_000) => running.end('SIGTERM', graceMs),
    kill: () => running.end('SIGKILL', 0),
    pause: () => running.signal('SIGSTOP'),
    resume: () => running.signal('SIGCONT'),
    restart: async () => {
      await running.end('SIGKILL', 0);
      running = await launch(spec);
    },
  };
}

interface Running {
  readonly pid: number;
  hasEnded(): boolean;
  signal(signal: NodeJS.Signals): void;
  end(signal: NodeJS.Signals, graceMs: number): Promise<void>;
}

async function launch(spec: ComponentSpec): Promise<Running> {
  const running = run(spec);
  const deadline = performance.now() + spec.readyTimeoutMs;
  while (!(await spec.isReady())) {
    if (running.hasEnded()) throw failure(spec, 'ended before it was ready');
    if (performance.now() > deadline) {
      await running.end('SIGKILL', 0);
      throw failure(spec, `was not ready after ${spec.readyTimeoutMs} ms`);
    }
    await sleep(25);
  }
  // Somebody else's process on the same port answers just as well; ours has then ended over the taken port.
  if (running.hasEnded()) throw failure(spec, 'ended before it was ready');
  return running;
}

function run(spec: ComponentSpec): Running {
  const log = openSync(spec.log, 'a');
  // Detached: a process group of its own, so that Ctrl-C reaches us and not it.
  const child = spawn(spec.binary, spec.args, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  const pid = child.pid;
  if (pid === undefined) {
    child.on('error', () => {}); // reported here, with the path
    throw new Error(`start ${spec.name}: cannot run ${spec.binary}`);
  }
  adopt(pid);
  const ended = endOf(child).then(() => release(pid));
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid,
    hasEnded,
    signal: (signal) => {
      if (!hasEnded()) signalGroup(pid, signal);
    },
    end: async (signal, graceMs) => {
      if (hasEnded()) return ended;
      signalGroup(pid, signal);
      signalGroup(pid, 'SIGCONT'); // a frozen process never gets to see a SIGTERM
      const force = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs);
      await ended;
      clearTimeout(force);
    },
  };
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/** A component that did not come up. */
export class ComponentFailure extends Error {
  readonly portTaken: boolean;

  constructor(message: string, { portTaken }: { readonly portTaken: boolean }) {
    super(message);
    this.name = 'ComponentFailure';
    this.portTaken = portTaken;
  }
}

function failure(spec: ComponentSpec, what: string): ComponentFailure {
  const log = readFileSync(spec.log, 'utf8');
  const tail = log.trimEnd().split('\n').slice(-15).join('\n');
  const message = `start ${spec.name}: it ${what}. The end of its log (all of it: ${spec.log}):\n${tail}`;
  return new ComponentFailure(message, { portTaken: /address already in use/.test(log) });
}
