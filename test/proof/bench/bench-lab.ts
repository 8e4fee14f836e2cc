// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Where everything is measured: one control plane, stepup as its chart runs it, the baselines, and a namespace each.
// All webhook configurations stand all the time; a cell chooses its engine by the namespace it writes to.
import type { Component } from '../../support/control-plane/component.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { freePorts } from '../../support/control-plane/free-ports.ts';
import { requestToken } from '../../support/control-plane/service-account-token.ts';
import { apply, policiesReady } from '../../support/installation/installation.ts';
import { askAbout, askAboutTheSame, type Baseline, benchNamespace, engineLabel, startBaselines } from './baselines.ts';
import { findGenerator, type Generator, type Load, type LoadResult, runLoad } from './load.ts';
import { busySeconds, cpuSecondsOf } from './machine.ts';
import { type Review, recordReview } from './review.ts';
import { installChart, type Stepup } from './stepup-process.ts';

export const engines = ['none', 'node', 'go', 'go-same', 'stepup'] as const;
export type Engine = (typeof engines)[number];

export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly isQuick: boolean;
}

/** What one cell came to. */
export interface Cell extends LoadResult {
  /** CPU seconds of the watched process per 1,000 requests. */
  readonly cpuPer1000: number;
  /** Cores that everybody else used meanwhile. */
  readonly foreignCores: number;
  readonly isDisturbed: boolean;
}

export interface Lab {
  readonly cluster: ControlPlane;
  readonly generator: Generator;
  readonly plan: Plan;
  readonly stepup: Stepup;
  readonly baselines: Readonly<Record<'node' | 'go', Baseline>>;
  /** A token of the account that all load comes from; gated by policy "bench" and the ready-made ones. */
  readonly token: string;
  /** A recorded review: this account changes the image of a Deployment. */
  readonly review: Review;
  say(line: string): void;
  /** The running process of stepup. */
  process(): Component;
  /** Kills stepup and starts it anew; resolves when it is ready. */
  restart(): Promise<void>;
  /** Where ConfigMaps of an engine's namespace are written. */
  configMapsUrl(engine: string): string;
  measure(load: Load, watched?: Component): Promise<Cell>;
  stop(): Promise<void>;
}

/** More foreign load than this marks a cell. */
const mostForeignCores = 0.25;
export const policyName = 'bench';

export async function startLab(
  plan: Plan,
  { profile, say }: { readonly profile?: string | undefined; readonly say: (line: string) => void },
): Promise<Lab> {
  const generator = findGenerator();
  say('starting etcd, kube-apiserver and kube-controller-manager');
  const cluster = await startControlPlane();
  try {
    const [webhookPort = 0, statusPort = 0, node = 0, go = 0] = await freePorts(4);
    await apply(cluster, [...namespaces(), ...writer()]);
    say('starting the baselines');
    const baselines = await startBaselines(cluster, { node, go }, say);
    say('installing the chart and starting stepup');
    const stepup = await installChart(cluster, { webhookPort, statusPort, profile });
    let running = await stepup.start();
    await policiesReady(cluster, 3);
    await apply(cluster, [policy(policyName, { matchLabels: { [engineLabel]: 'stepup' } })]);
    await policiesReady(cluster, 4);
    await askAbout(cluster, 'node', baselines.node);
    await askAbout(cluster, 'go', baselines.go);
    await askAboutTheSame(cluster, { engine: 'go-same', policy: policyName }, baselines.go);
    // The API server takes a moment to learn of new configurations (measured).
    await pause(2_000);
    const token = await requestToken(cluster.admin, `${benchNamespace}/writer`, { expirationSeconds: 24 * 3600 });
    const review = await recordReview(cluster, { namespace: 'bench-node', port: node, token });
    const ours = [
      cluster.etcd,
      ...cluster.apiServers,
      cluster.controllerManager,
      baselines.node.process,
      baselines.go.process,
    ];
    return {
      cluster,
      generator,
      plan,
      stepup,
      baselines,
      token,
      review,
      say,
      process: () => running,
      restart: async () => {
        await running.kill();
        running = await stepup.start();
      },
      configMapsUrl: (engine) => `${cluster.server}/api/v1/namespaces/bench-${engine}/configmaps`,
      measure: (load, watched) => measured(generator, load, { watched, all: [...ours, running] }),
      stop: async () => {
        // In an orderly way, so that a profile is written.
        await Promise.all([running.stop(15_000), baselines.node.process.kill(), baselines.go.process.kill()]);
        stepup.cleanUp();
        await cluster.stop();
      },
    };
  } catch (failure) {
    await cluster.stop();
    throw failure;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function measured(
  generator: Generator,
  load: Load,
  { watched, all }: { readonly watched: Component | undefined; readonly all: readonly (Component | undefined)[] },
): Promise<Cell> {
  const pids = all.map((component) => component?.pid ?? 0);
  const own = () =>
    pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0) + cpuSecondsOf(process.pid, { children: true });
  const watchedPid = watched?.pid ?? 0;
  const began = { ms: performance.now(), busy: busySeconds(), own: own(), watched: cpuSecondsOf(watchedPid) };
  const result = await runLoad(generator, load);
  const seconds = (performance.now() - began.ms) / 1000;
  const foreignCores = Math.max(0, (busySeconds() - began.busy - (own() - began.own)) / seconds);
  return {
    ...result,
    cpuPer1000: ((cpuSecondsOf(watchedPid) - began.watched) / result.requests) * 1000,
    foreignCores,
    isDisturbed: foreignCores > mostForeignCores,
  };
}

function namespaces(): readonly object[] {
  const namespace = (name: string, labels: object) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  return [
    namespace(benchNamespace, {}),
    ...[...engines, 'ten'].map((engine) => namespace(`bench-${engine}`, { [engineLabel]: engine })),
  ];
}

function writer(): readonly object[] {
  const rbac = 'rbac.authorization.k8s.io';
  const subjects = [{ kind: 'ServiceAccount', namespace: benchNamespace, name: 'writer' }];
  const roleRef = { apiGroup: rbac, kind: 'ClusterRole', name: 'edit' };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: benchNamespace, name: 'writer' } },
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRoleBinding', metadata: { name: 'bench-writer' }, roleRef, subjects },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'bench-approvers' },
      roleRef: { ...roleRef, name: 'stepup-approver' },
      subjects: [{ kind: 'Group', apiGroup: rbac, name: 'approvers' }],
    },
  ];
}

/** A policy on ConfigMaps and Deployments that one of group approvers satisfies. */
export function policy(name: string, namespaceSelector: object, spec: object = {}): object {
  return {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpPolicy',
    metadata: { name },
    spec: {
      actions: [
        { operations: ['CREATE', 'UPDATE'], apiGroups: [''], resources: ['configmaps'] },
        { operations: ['CREATE', 'UPDATE'], apiGroups: ['apps'], resources: ['deployments'] },
      ],
      namespaceSelector,
      approval: { require: [{ name: 'review', approvers: { groups: ['approvers'] } }] },
      request: { maxPendingPerRequester: 1000 },
      ...spec,
    },
  };
}
