// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 1: what ungated writes cost where the product is installed and ten policies govern the written kind.
import { apply, policiesReady } from '../../support/installation/installation.ts';
import { engineLabel } from './baselines.ts';
import { type Cell, type Lab, pause, policy } from './bench-lab.ts';
import { bodyFile } from './review.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { counting, median, ratioOf } from './statistics.ts';

export const ungated: Row = {
  id: '1',
  title: 'Ungated writes with the product installed',
  method:
    'ConfigMaps are created (`dryRun=All`, 16 writers) by an account that ten policies on ConfigMaps do not gate, in a namespace that they select ' +
    "(the API server evaluates their CEL each time) and in one that they do not. Without: stepup's webhook configurations are taken " +
    'away while its process stands still, then put back; the order is with, without, without, with. The difference between the two ' +
    'cells without is the noise.',
  run,
};

const policies = Array.from({ length: 10 }, (_, index) => `ten-${index}`);
const wheres = ['bench-ten', 'bench-none'] as const;

interface Measured extends Cell {
  readonly where: (typeof wheres)[number];
  readonly isInstalled: boolean;
  readonly round: number;
}

async function run(lab: Lab): Promise<RowResult> {
  const { cluster, plan, say, stepup } = lab;
  const subjects = { include: [{ kind: 'ServiceAccount', namespace: 'ci', name: '*' }] };
  await apply(
    cluster,
    policies.map((name) => policy(name, { matchLabels: { [engineLabel]: 'ten' } }, { subjects })),
  );
  await policiesReady(cluster, 4 + policies.length);
  await pause(2_000);
  const body = bodyFile(cluster, 'ungated', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ungated' } });
  const cells: Measured[] = [];
  // The watchdog's own do not count.
  const name = 'stepup_reviews_total';
  const reviews = async () => (await stepup.counted(name)) - (await stepup.counted(name, { path: 'watchdog' }));
  const before = await reviews();
  const measure = async (round: number, isInstalled: boolean) => {
    for (const where of wheres) {
      const url = `${cluster.server}/api/v1/namespaces/${where}/configmaps?dryRun=All`;
      const load = { url, body, token: lab.token, connections: 16 };
      await lab.measure({ ...load, seconds: 1 });
      const cell = await lab.measure({ ...load, seconds: plan.seconds });
      cells.push({ ...cell, where, isInstalled, round });
      say(`1: ${where} ${isInstalled ? 'with' : 'without'}: ${shown(cell.perSecond)}/s`);
    }
  };
  // Each round gives two pairs, neighbours in time.
  for (let round = 0; round < plan.rounds; round++) {
    await measure(2 * round, true);
    await withoutConfigurations(lab, async () => {
      await measure(2 * round, false);
      await measure(2 * round + 1, false);
    });
    await measure(2 * round + 1, true);
  }
  const calls = (await reviews()) - before;
  for (const name of policies) await cluster.admin.delete(`/apis/stepup.dev/v1alpha1/stepuppolicies/${name}`);
  const of = (where: string, isInstalled: boolean, quantity: 'perSecond' | 'p50Ms' | 'p99Ms') =>
    cells
      .filter((cell) => cell.where === where && cell.isInstalled === isInstalled)
      .map(({ round, isDisturbed, [quantity]: value }) => ({ round, isDisturbed, value }));
  const ratio = (where: string, quantity: 'perSecond' | 'p50Ms' | 'p99Ms') =>
    ratioOf(of(where, true, quantity), of(where, false, quantity));
  const noise = noiseOf(of('bench-ten', false, 'perSecond'));
  const throughput = wheres.map((where) => ratio(where, 'perSecond'));
  return {
    goals: [
      {
        what: 'throughput with / without, in a selected namespace and in another',
        goal: '1.00 ± noise',
        measured: `${throughput.map((value) => shown(value)).join(' / ')} (noise ${shown(noise)})`,
        isMet: throughput.every((value) => value >= 1 - Math.max(noise, 0.05)),
        otherwise:
          'For each policy that selects the namespace the API server makes the request readable to CEL and evaluates one expression ' +
          '(docs/adr/0009-one-expression.md): with ten of them some 0.2 ms of its CPU for each write, which shows as throughput once all cores ' +
          'are busy, as here. Where no policy selects, the cells of one run differ by as much as with and without.',
      },
      { what: 'webhook calls', goal: '0', measured: String(calls), isMet: calls === 0 },
    ],
    tables: [
      {
        caption: 'With over without',
        head: ['namespace', 'req/s with', 'req/s without', 'throughput', 'p50', 'p99'],
        rows: wheres.map((where) => [
          where === 'bench-ten' ? 'selected by ten policies' : 'not selected',
          ...[true, false].map((is) =>
            shown(median(counting(of(where, is, 'perSecond')).map(({ value }) => value)), 0),
          ),
          ...(['perSecond', 'p50Ms', 'p99Ms'] as const).map((quantity) => shown(ratio(where, quantity))),
        ]),
      },
    ],
    raw: { cells, calls },
  };
}

/** How far the two measurements without anything lie apart, as a share: the median over the rounds. */
function noiseOf(samples: readonly { readonly round: number; readonly value: number }[]): number {
  const at = (round: number) => samples.find((sample) => sample.round === round)?.value ?? Number.NaN;
  const rounds = samples.map(({ round }) => round).filter((round) => round % 2 === 0);
  return median(rounds.map((round) => Math.abs(1 - at(round) / at(round + 1))));
}

interface Configuration {
  readonly metadata: { readonly name: string; readonly labels?: object; readonly ownerReferences?: readonly object[] };
}

const group = '/apis/admissionregistration.k8s.io/v1';

/** Runs work while the API server knows no webhook of stepup, and stepup cannot put them back. */
async function withoutConfigurations({ cluster, process }: Lab, work: () => Promise<void>): Promise<void> {
  process().pause();
  const taken: { readonly path: string; readonly body: object }[] = [];
  for (const kind of ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations']) {
    const path = `${group}/${kind}`;
    const { items } = await cluster.admin.list<Configuration>(`${path}?labelSelector=stepup.dev/managed=true`);
    for (const { metadata, ...rest } of items) {
      const { name, labels, ownerReferences } = metadata;
      taken.push({ path, body: { ...rest, metadata: { name, labels, ownerReferences } } });
      await cluster.admin.delete(`${path}/${name}`);
    }
  }
  await pause(2_000);
  await work();
  for (const { path, body } of taken) await cluster.admin.post(path, body);
  process().resume();
  await pause(4_000);
}
