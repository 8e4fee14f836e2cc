// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Turns what a pod's containers are doing into the status the API server stores.

import type { ContainerRunner, ContainerState } from './container-runner.ts';
import type { Pod } from './pod.ts';

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

export interface PodFacts {
  readonly pod: Pod;
  readonly phase: PodPhase;
  /** 10.88.0.N: loopback addresses are not valid in EndpointSlices. */
  readonly reportedIp: string;
  readonly startTime: string;
  readonly isInitialized: boolean;
  readonly initContainers: readonly ContainerRunner[];
  readonly containers: readonly ContainerRunner[];
  /** Why the containers are not created yet, e.g. a Secret that is missing. */
  readonly waitingFor?: string | undefined;
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime: string;
}

export interface PodStatus {
  readonly phase: PodPhase;
  readonly conditions: readonly Condition[];
  readonly [field: string]: unknown;
}

/** A pod that was told to end, or has ended, is not ready whatever its processes say. */
export function isPodReady({ phase, containers }: Pick<PodFacts, 'phase' | 'containers'>): boolean {
  return phase === 'Running' && containers.every(({ isReady }) => isReady);
}

export function podStatus(facts: PodFacts, previous: readonly Condition[], now: string): PodStatus {
  const isReady = isPodReady(facts);
  const isOver = facts.phase === 'Succeeded' || facts.phase === 'Failed';
  const notReady = isOver ? 'PodCompleted' : 'ContainersNotReady';
  const condition = (type: string, isTrue: boolean, reason: string): Condition => {
    const status = isTrue ? 'True' : 'False';
    const before = previous.find((known) => known.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now;
    const message = facts.waitingFor ? { message: facts.waitingFor } : {};
    return { type, status, lastTransitionTime, ...(isTrue ? {} : { reason, ...message }) };
  };
  return {
    phase: facts.phase,
    hostIP: '10.88.255.2',
    hostIPs: [{ ip: '10.88.255.2' }],
    podIP: facts.reportedIp,
    podIPs: [{ ip: facts.reportedIp }],
    startTime: facts.startTime,
    conditions: [
      condition('PodReadyToStartContainers', !facts.waitingFor, 'VolumesNotReady'),
      condition('Initialized', facts.isInitialized, 'ContainersNotInitialized'),
      condition('Ready', isReady, notReady),
      condition('ContainersReady', isReady, notReady),
      condition('PodScheduled', true, ''),
    ],
    initContainerStatuses: facts.initContainers.map((runner) => ({
      ...containerStatus(runner),
      ready: hasSucceeded(runner),
    })),
    containerStatuses: facts.containers.map(containerStatus),
  };
}

function containerStatus(runner: ContainerRunner) {
  const { container, state, lastState, restartCount, isReady, isStarted } = runner;
  return {
    name: container.name,
    image: container.image,
    imageID: container.image,
    containerID: `standin://${runner.pid ?? 0}`,
    restartCount,
    started: isStarted,
    ready: isReady,
    state: stateField(state),
    lastState: lastState ? stateField(lastState) : {},
  };
}

function hasSucceeded({ state }: ContainerRunner): boolean {
  return state.kind === 'terminated' && state.exitCode === 0;
}

function stateField(state: ContainerState) {
  const { kind, ...rest } = state;
  if (state.kind !== 'terminated') return { [kind]: rest };
  return { terminated: { ...rest, reason: state.exitCode === 0 ? 'Completed' : 'Error' } };
}
