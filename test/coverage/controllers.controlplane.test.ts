// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Kubernetes' controllers are not gated, and they start and end Pods for whoever tells them to: by labels, deadlines,
// ordinals, histories. Each such word is refused to a gated account; a neighbouring one, which moves nothing, passes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Actor, apply, type Installation, installStepup } from '../e2e/installation.ts';

let stepup: Installation;
beforeAll(async () => {
  stepup = await installStepup();
}, 300_000);
afterAll(() => stepup?.stop());

const template = { metadata: { labels: { a: 'x', b: 'x' } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } };
const once = { ...template, spec: { ...template.spec, restartPolicy: 'Never' } };
const selector = { matchLabels: { a: 'x' } };
const label = (value: string) => ({ metadata: { labels: { app: value } } });

interface Row {
  readonly what: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: object;
  readonly refused: readonly object[];
  readonly passes: object;
  readonly subresource?: string;
  readonly actor?: Actor;
}

const rows: readonly Row[] = [
  {
    what: 'a Pod keeps the labels by which it is owned, and its time',
    ...{ apiVersion: 'v1', kind: 'Pod', spec: template.spec },
    refused: [label('other'), { spec: { activeDeadlineSeconds: 1 } }],
    passes: { metadata: { annotations: { app: 'other' } } },
  },
  {
    what: 'a Pod is not said to have failed',
    ...{ apiVersion: 'v1', kind: 'Pod', spec: template.spec, subresource: 'status', actor: 'root-bot' },
    refused: [{ status: { phase: 'Failed' } }, label('other')],
    passes: { status: { message: 'hello' } },
  },
  {
    what: 'a ReplicaSet keeps the labels by which it is adopted',
    ...{ apiVersion: 'apps/v1', kind: 'ReplicaSet', spec: { replicas: 0, selector, template } },
    refused: [label('other')],
    passes: { spec: { minReadySeconds: 1 } },
  },
  {
    what: 'a Deployment keeps its history',
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas: 0, selector, template } },
    refused: [{ spec: { revisionHistoryLimit: 0 } }],
    passes: label('other'),
  },
  {
    what: 'a StatefulSet keeps its ordinals',
    ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', spec: { replicas: 0, serviceName: 'x', selector, template } },
    refused: [{ spec: { ordinals: { start: 5 } } }],
    passes: { spec: { minReadySeconds: 1 } },
  },
  {
    what: 'a ReplicationController keeps its selector',
    ...{ apiVersion: 'v1', kind: 'ReplicationController', spec: { replicas: 0, selector: { a: 'x' }, template } },
    refused: [{ spec: { selector: { a: null, b: 'x' } } }],
    passes: { spec: { minReadySeconds: 1 } },
  },
  {
    what: 'a Job keeps its times and tries',
    ...{ apiVersion: 'batch/v1', kind: 'Job', spec: { parallelism: 0, template: once } },
    refused: [
      { spec: { ttlSecondsAfterFinished: 0 } },
      { spec: { activeDeadlineSeconds: 1 } },
      { spec: { backoffLimit: 0 } },
    ],
    passes: label('other'),
  },
  {
    what: 'a CronJob keeps its history, and when it may run',
    ...{
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      spec: { schedule: '@yearly', jobTemplate: { spec: { template: once } } },
    },
    refused: [
      { spec: { successfulJobsHistoryLimit: 0 } },
      { spec: { failedJobsHistoryLimit: 0 } },
      { spec: { concurrencyPolicy: 'Replace' } },
      { spec: { startingDeadlineSeconds: 9 } },
    ],
    passes: label('other'),
  },
];

describe('what a controller is told', () => {
  test.each(rows)('$what', async ({ apiVersion, kind, spec, refused, passes, subresource, actor = 'deployer' }) => {
    const name = `told-${kind.toLowerCase()}${subresource ?? ''}`;
    await apply(stepup.cluster, [
      { apiVersion, kind, metadata: { name, namespace: 'prod', labels: { app: 'told' } }, spec },
    ]);
    const sub = subresource === undefined ? [] : [`--subresource=${subresource}`];
    const patch = (change: object) => {
      const args = ['-n', 'prod', 'patch', kind, name, ...sub, '--type=merge', '-p', JSON.stringify(change)];
      return stepup.kubectl(actor, args);
    };
    for (const change of refused) {
      const { code, stderr } = await patch(change);
      expect(stderr, JSON.stringify(change)).toContain('stepup: production-deploys requires approval to UPDATE');
      expect(code).not.toBe(0);
    }
    expect(await patch(passes)).toMatchObject({ code: 0 });
  });
});
