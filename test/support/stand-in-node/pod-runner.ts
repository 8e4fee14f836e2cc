// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Runs one pod from binding to deletion: volumes, init containers, containers, status, end.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient } from '../control-plane/admin-client.ts';
import type { ProcessSpec } from './container-process.ts';
import { type ContainerRunner, createContainerRunner } from './container-runner.ts';
import type { DataSources } from './data-sources.ts';
import { environmentOf } from './environment.ts';
import { expandVariables, rewritePaths } from './expand.ts';
import { commandLineOf, type ImageRule } from './image.ts';
import { persistently } from './persistently.ts';
import type { Container, Pod } from './pod.ts';
import { isPodReady, type PodPhase } from './pod-status.ts';
import { createStatusReporter } from './status-reporter.ts';
import { createVolumes } from './volumes.ts';

export interface PodRunner {
  readonly pod: Pod;
  /** The loopback address its processes bind to. */
  readonly ip: string;
  /** Of the first container. */
  readonly pid: number | undefined;
  readonly log: string;
  readonly isReady: boolean;
  /** Takes in a newer version of the object: it may have been told to end. */
  update(pod: Pod): void;
  signal(signal: NodeJS.Signals): void;
  /** Ends everything at once, without a word to the API server: the object is gone, or the node stops. */
  abandon(): Promise<void>;
}

export interface PodRunnerParts {
  readonly pod: Pod;
  readonly ip: string;
  readonly reportedIp: string;
  readonly folder: string;
  readonly rule: ImageRule;
  readonly server: URL;
  readonly admin: AdminClient;
  readonly sources: DataSources;
}

const volumeCheckMs = 10_000;

export function startPod(parts: PodRunnerParts): PodRunner {
  const { pod, ip, folder, admin, sources } = parts;
  const { spec } = pod;
  const ending = new AbortController();
  const startTime = new Date().toISOString();
  let current = pod;
  let phase: PodPhase = 'Pending';
  let isInitialized = !spec.initContainers?.length;
  let waitingFor: string | undefined;
  let isAbandoned = false;

  mkdirSync(folder, { recursive: true });
  const volumes = createVolumes({ pod, podIp: ip, folder, admin, sources });
  const reporter = createStatusReporter(admin, pod);
  const logOf = (container: Container) => join(folder, `${container.name}.log`);

  const report = () => {
    if (isAbandoned) return;
    reporter.report({
      pod: current,
      phase,
      reportedIp: parts.reportedIp,
      startTime,
      isInitialized,
      initContainers,
      containers,
      waitingFor,
    });
  };

  const processSpec = async (container: Container): Promise<ProcessSpec> => {
    const mappings = volumes.mappings(container);
    const env = await environmentOf(container, { pod: current, podIp: ip, sources });
    const localEnv = Object.fromEntries(
      Object.entries(env).map(([name, value]) => [name, rewritePaths(value, mappings)]),
    );
    const { hostname, port } = parts.server;
    const { program, args } = commandLineOf(container, parts.rule);
    return {
      argv: [...program, ...args.map((word) => rewritePaths(expandVariables(word, env), mappings))],
      env: {
        PATH: process.env.PATH ?? '',
        HOME: folder,
        HOSTNAME: pod.metadata.name,
        KUBERNETES_SERVICE_HOST: hostname,
        KUBERNETES_SERVICE_PORT: port,
        KUBERNETES_SERVICE_PORT_HTTPS: port,
        ...localEnv,
      },
      cwd: container.workingDir ? rewritePaths(container.workingDir, mappings) : folder,
      log: logOf(container),
    };
  };

  const runnerOf = (container: Container, restartPolicy: 'Always' | 'OnFailure' | 'Never') =>
    createContainerRunner({
      container,
      host: ip,
      restartPolicy,
      graceSeconds: spec.terminationGracePeriodSeconds ?? 30,
      processSpec: () => processSpec(container),
      onChange: report,
    });
  const restartPolicy = spec.restartPolicy ?? 'Always';
  // An init container that succeeded is done, whatever the pod's policy.
  const initPolicy = restartPolicy === 'Never' ? 'Never' : 'OnFailure';
  const initContainers: readonly ContainerRunner[] = (spec.initContainers ?? []).map((c) => runnerOf(c, initPolicy));
  const containers: readonly ContainerRunner[] = spec.containers.map((c) => runnerOf(c, restartPolicy));

  const mount = async () => {
    while (!ending.signal.aborted) {
      try {
        await volumes.refresh();
        waitingFor = undefined;
        return;
      } catch (cause) {
        waitingFor = cause instanceof Error ? cause.message : String(cause);
        report();
        await sleep(250);
      }
    }
  };

  const initialize = async (): Promise<boolean> => {
    for (const runner of initContainers) {
      if (ending.signal.aborted || (await runner.run()) !== 0) return false;
    }
    isInitialized = true;
    return !ending.signal.aborted;
  };

  const live = async () => {
    report();
    await mount();
    if (ending.signal.aborted) return;
    const stopRefreshing = keepFresh(() => volumes.refresh(), sources);
    try {
      if (!(await initialize())) {
        if (!ending.signal.aborted) phase = 'Failed';
        return;
      }
      phase = 'Running';
      const exitCodes = await Promise.all(containers.map((runner) => runner.run()));
      phase = exitCodes.every((code) => code === 0) ? 'Succeeded' : 'Failed';
    } finally {
      stopRefreshing();
      report();
    }
  };

  const end = async (graceSeconds: number) => {
    ending.abort();
    await Promise.all([...initContainers, ...containers].map((runner) => runner.stop(graceSeconds)));
    await lived;
  };

  const endAndDelete = async () => {
    await end(current.metadata.deletionGracePeriodSeconds ?? 30);
    if (isAbandoned) return;
    await reporter.settled();
    await deleteObject(admin, pod);
  };

  const lived = live();
  return {
    get pod() {
      return current;
    },
    ip,
    get pid() {
      return containers[0]?.pid;
    },
    log: join(folder, `${spec.containers[0]?.name}.log`),
    get isReady() {
      return !current.metadata.deletionTimestamp && isPodReady({ phase, containers });
    },
    update: (newer) => {
      current = newer;
      if (!newer.metadata.deletionTimestamp || ending.signal.aborted) return;
      void endAndDelete(); // retries by itself; the DELETED event ends this runner
    },
    signal: (signal) => containers[0]?.signal(signal),
    abandon: async () => {
      isAbandoned = true;
      for (const runner of [...initContainers, ...containers]) runner.signal('SIGKILL');
      await end(0);
    },
  };
}

/** Rewrites volumes when a source changes, and now and then for tokens that grow old. */
function keepFresh(refresh: () => Promise<void>, sources: DataSources): () => void {
  const run = () => {
    // A source that has gone leaves the files as they were, as the kubelet does.
    refresh().catch(() => {});
  };
  const timer = setInterval(run, volumeCheckMs);
  const unsubscribe = sources.onChange(run);
  return () => {
    clearInterval(timer);
    unsubscribe();
  };
}

function deleteObject(admin: AdminClient, { metadata }: Pod): Promise<void> {
  const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
  return persistently(`delete pod ${metadata.namespace}/${metadata.name}`, () =>
    admin.delete(path, { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } }),
  );
}
