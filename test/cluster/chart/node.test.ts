// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The rendered pods on the stand-in node, with something in place of the image that only answers probes.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chart, systemNamespace } from '../../support/chart/chart.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { eventually } from '../../support/eventually.ts';
import { type StandinNode, startStandinNode } from '../../support/stand-in-node/node.ts';

let cluster: ControlPlane;
let node: StandinNode;

beforeAll(async () => {
  cluster = await startControlPlane();
  const image = fileURLToPath(new URL('./fixtures/image-stub.ts', import.meta.url));
  node = await startStandinNode(cluster, { image: 'ghcr.io/stepup-dev/stepup', entrypoint: [process.execPath, image] });
});

afterAll(async () => {
  await node.stop();
  await cluster.stop();
});

test('install waits for two Ready pods that were called with every option filled in', async () => {
  expect(await helm('install', 'stepup', chart, '--create-namespace', '--wait', '--timeout=60s')).toMatchObject({
    code: 0,
  });
  const pods = node.pods();
  expect(pods.map(({ isReady }) => isReady)).toEqual([true, true]);
  const [pod] = pods;
  expect(calledWith(pod?.name ?? '')).toMatchObject({
    command: 'serve',
    options: { namespace: systemNamespace, 'pod-name': pod?.name, 'bind-address': pod?.ip, 'tls-secret': 'stepup-tls' },
  });
});

test('an upgrade never has fewer Ready pods than replicas', async () => {
  const before = new Set(node.pods().map(({ uid }) => uid));
  let least = Number.POSITIVE_INFINITY;
  const watching = setInterval(() => {
    least = Math.min(least, node.pods().filter(({ isReady }) => isReady).length);
  }, 20);
  try {
    const upgraded = await helm('upgrade', 'stepup', chart, '--wait', '--timeout=60s', '--set=log.level=debug');
    expect(upgraded).toMatchObject({ code: 0 });
  } finally {
    clearInterval(watching);
  }
  expect(least).toBeGreaterThanOrEqual(2);
  const after = node.pods().filter(({ isReady }) => isReady);
  expect(after.filter(({ uid }) => before.has(uid))).toEqual([]);
});

test('uninstall runs its hook first, and leaves the kinds and nothing else', async () => {
  const jobs: string[] = [];
  const stopping = new AbortController();
  const seen = (async () => {
    for await (const { type, object } of cluster.admin.watch('/apis/batch/v1/jobs?watch=true', stopping.signal)) {
      jobs.push(`${type} ${object.metadata.name}`);
    }
  })().catch(() => {}); // ends by the abort
  const uninstalled = await helm('uninstall', 'stepup', '--timeout=60s');
  stopping.abort();
  await seen;
  expect(uninstalled).toMatchObject({ code: 0 });
  expect(jobs[0]).toBe('ADDED stepup-uninstall');
  await eventually('all pods to end', () => node.pods().length === 0);
  const kinds = 'deployments,services,pods,jobs,serviceaccounts,configmaps,roles,rolebindings,poddisruptionbudgets';
  const inside = await cluster.kubectl(['get', kinds, `--namespace=${systemNamespace}`, '--output=name']);
  expect(inside.stdout.trim().split('\n').sort()).toEqual(['configmap/kube-root-ca.crt', 'serviceaccount/default']);
  const outside = await cluster.kubectl([
    'get',
    'clusterroles,clusterrolebindings,customresourcedefinitions',
    '--output=name',
  ]);
  expect(outside.stdout.split('\n').filter((name) => name.includes('stepup'))).toEqual([
    'customresourcedefinition.apiextensions.k8s.io/stepupapprovals.stepup.dev',
    'customresourcedefinition.apiextensions.k8s.io/stepupdecisions.stepup.dev',
    'customresourcedefinition.apiextensions.k8s.io/stepuppolicies.stepup.dev',
  ]);
  expect(await helm('install', 'stepup', chart, '--set=replicas=0')).toMatchObject({ code: 0 });
});

function helm(...args: readonly string[]) {
  return cluster.helm([...args, `--namespace=${systemNamespace}`]);
}

function calledWith(pod: string): unknown {
  return JSON.parse(
    node
      .log(pod)
      .split('\n')
      .find((line) => line.startsWith('{')) ?? '{}',
  );
}
