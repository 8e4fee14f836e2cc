// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The stand-in node: runs the pods of one image as local processes, so that a rendered chart is what a test exercises.
//
// Not imitated: NetworkPolicy, users and security contexts, resources, `kubectl exec`, `logs` (each container's log is a
// file) and `port-forward`, DNS, exec and gRPC probes and hooks, sidecar containers. README.md has the whole list.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AdminClient } from '../control-plane/admin-client.ts';
import { claimAddresses } from './addresses.ts';
import { createDataSources } from './data-sources.ts';
import { follow } from './follow.ts';
import { type ImageRule, isOurs } from './image.ts';
import { nodeName, registerNode } from './node-object.ts';
import { persistently } from './persistently.ts';
import type { Pod, Service } from './pod.ts';
import { type PodRunner, startPod } from './pod-runner.ts';
import { createServiceTable } from './services.ts';

export interface StandinNodeOptions extends ImageRule {
  /** Address of the first Service that selects our pods, when a test must know it beforehand: 127.x.y.z. */
  readonly serviceAddress?: string;
}

export interface StandinPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Of its first container; undefined while that does not run. */
  readonly pid: number | undefined;
  /** The loopback address its processes bind to (`status.podIP` says 10.88.0.N). */
  readonly ip: string;
  /** Path of its first container's log. */
  readonly log: string;
  readonly isReady: boolean;
}

export interface StandinNode {
  pods(): readonly StandinPod[];
  /** Signals the process of a pod's first container, behind Kubernetes' back. */
  kill(podName: string, signal?: NodeJS.Signals): void;
  /** What the pod's first container has written so far. */
  log(podName: string): string;
  /** Ends every process at once and closes all addresses; objects stay as they are. */
  stop(): Promise<void>;
}

/** The parts of a control plane that the node needs. */
export interface NodeHost {
  readonly admin: AdminClient;
  readonly server: string;
  readonly dir: string;
}

export async function startStandinNode(host: NodeHost, options: StandinNodeOptions): Promise<StandinNode> {
  const { admin } = host;
  const stopping = new AbortController();
  const addresses = await claimAddresses();
  const sources = createDataSources(admin, stopping.signal);
  const runners = new Map<string, PodRunner>();
  const services = createServiceTable({
    admin,
    addresses,
    firstAddress: options.serviceAddress,
    backends: () => [...runners.values()],
  });
  await registerNode(admin);

  const run = (pod: Pod) => {
    const { uid = '', namespace = '', name } = pod.metadata;
    const { number, address } = addresses.take();
    const runner = startPod({
      pod,
      ip: address,
      reportedIp: `10.88.0.${number}`,
      folder: join(host.dir, 'standin', `${namespace}_${name}_${uid}`),
      rule: options,
      server: new URL(host.server),
      admin,
      sources,
    });
    runners.set(uid, runner);
    runner.update(pod); // a node that starts anew may find it already told to end
    services.podAdded();
  };

  const podChanged = (pod: Pod) => {
    const runner = runners.get(pod.metadata.uid ?? '');
    if (runner) return runner.update(pod);
    if (!isOurs(pod.spec, options) || isOver(pod)) return;
    if (!pod.spec.nodeName)
      void bind(admin, pod); // comes back as a change, with its node
    else if (pod.spec.nodeName === nodeName) run(pod);
  };

  const podDeleted = async ({ metadata: { uid = '' } }: Pod) => {
    const runner = runners.get(uid);
    if (!runner) return;
    runners.delete(uid);
    await runner.abandon();
    addresses.release(Number(runner.ip.split('.')[3]));
  };

  const following = [
    follow<Pod>(
      admin,
      '/api/v1/pods',
      { onChange: podChanged, onDelete: (pod) => void podDeleted(pod) },
      stopping.signal,
    ),
    follow<Service>(
      admin,
      '/api/v1/services',
      { onChange: services.changed, onDelete: services.deleted },
      stopping.signal,
    ),
  ];

  const find = (podName: string) => {
    const runner = [...runners.values()].find(({ pod }) => pod.metadata.name === podName);
    if (!runner) throw new Error(`find pod "${podName}": not on the stand-in node`);
    return runner;
  };

  return {
    pods: () => [...runners.values()].map(describe),
    kill: (podName, signal = 'SIGKILL') => find(podName).signal(signal),
    log: (podName) => readFileSync(find(podName).log, 'utf8'),
    stop: async () => {
      stopping.abort();
      await Promise.all([...runners.values()].map((runner) => runner.abandon()));
      services.close();
      addresses.close();
      await Promise.all(following);
    },
  };
}

function describe({ pod, pid, ip, log, isReady }: PodRunner): StandinPod {
  const { name, namespace = '', uid = '' } = pod.metadata;
  return { name, namespace, uid, pid, ip, log, isReady };
}

function isOver({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

function bind(admin: AdminClient, { metadata }: Pod): Promise<void> {
  const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}/binding`;
  return persistently(`bind pod ${metadata.namespace}/${metadata.name}`, () =>
    admin.post(path, {
      metadata: { name: metadata.name, uid: metadata.uid },
      target: { kind: 'Node', name: nodeName },
    }),
  );
}
