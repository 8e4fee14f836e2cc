// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 5: a hundred thousand stored approvals, ten thousand of them live, against ten.
import { policyOf, type StepUpPolicy } from '../../../src/api/kinds.ts';
import type { Policy } from '../../../src/domain/model/policy.ts';
import { clusterKeyring } from '../../support/control-plane/cluster-keyring.ts';
import { eventually } from '../../support/eventually.ts';
import { apply } from '../../support/installation/installation.ts';
import { type Cell, type Lab, pause, policyName } from './bench-lab.ts';
import { Etcd } from './etcd-writer.ts';
import { cpuSecondsOf } from './machine.ts';
import { inParallel } from './parallel.ts';
import { agentOf, ask, bodyFile, dryRun } from './review.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { type Start, startOnce } from './row-start.ts';
import { median, percentile } from './statistics.ts';
import { likeOne, type Stored, spent, stored } from './stored.ts';

export const many: Row = {
  id: '5',
  title: 'A hundred thousand stored approvals',
  method:
    'Approvals are written straight into etcd as JSON, as the API server stores them, made by the product’s own code: ' +
    'through the API it would take most of an hour. They lie in 100 namespaces; 10,000 are pending, 90,000 spent. Each state is measured after a restart: few (ten live ' +
    'and those that the cells use), many, and few again once the others are gone, each once the operator leads and is at rest. Straight to the webhook: dry runs from memory ' +
    '(16 connections), requests that use an approval each (8 at once: a compare-and-swap) and requests that wait for one each (8 at once: a live read).',
  run,
};

const namespaces = 100;
const connections = 8;
const inNamespace = (index: number) => `stored-${index % namespaces}`;

interface Taken {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly wrong: number;
}

interface State {
  readonly name: string;
  readonly start: Start;
  readonly fromMemory: Cell;
  readonly using: Taken;
  readonly waiting: Taken;
}

async function run(lab: Lab): Promise<RowResult> {
  const { cluster, plan, say } = lab;
  const [live, ended] = plan.isQuick ? [1_000, 4_000] : [10_000, 90_000];
  const etcd = new Etcd(cluster);
  try {
    await apply(
      cluster,
      Array.from({ length: namespaces }, (_, index) => namespaceObject(inNamespace(index))),
    );
    const policy = policyOf(
      await cluster.admin.get<StepUpPolicy>(`/apis/stepup.dev/v1alpha1/stepuppolicies/${policyName}`),
    );
    const seals = await clusterKeyring(cluster.admin);
    const one = stored(
      lab.review,
      policy,
      { namespace: 'stored-like', name: 'like-this', createdAt: new Date() },
      seals,
    );
    await put(etcd, likeOne(one, 10, inNamespace, seals));
    const few = await measured(lab, etcd, policy, 'few');
    say(`5: writing ${ended} ended ones`);
    await put(etcd, likeOne({ approval: spent(one, new Date()) }, ended, inNamespace, seals));
    await settled(lab);
    const withEnded = await startOnce(lab);
    say(`5: writing ${live} live ones`);
    await put(etcd, likeOne(one, live, inNamespace, seals));
    await settled(lab);
    const all = await measured(lab, etcd, policy, 'many');
    await etcd.remove('stepupapprovals', 'stored-');
    await etcd.remove('stepupdecisions', 'stored-');
    await settled(lab);
    const again = await measured(lab, etcd, policy, 'few again');
    return resultOf({ few, all, again, withEnded, live, ended });
  } finally {
    await etcd.remove('stepupapprovals', 'stored-');
    await etcd.remove('stepupdecisions', 'stored-');
    etcd.close();
  }
}

async function measured(lab: Lab, etcd: Etcd, policy: Policy, name: string): Promise<State> {
  const { plan, say, stepup } = lab;
  const count = plan.isQuick ? 40 : 400;
  const now = Date.now();
  const seals = await clusterKeyring(lab.cluster.admin);
  const make = (kind: string, isDecided: boolean): readonly Stored[] =>
    Array.from({ length: count }, (_, index) =>
      stored(
        lab.review,
        policy,
        {
          namespace: inNamespace(index),
          name: `${kind}-${now}-${index}`,
          createdAt: new Date(now - 2_000),
          ...(isDecided ? { decidedAt: new Date(now - 1_000) } : {}),
        },
        seals,
      ),
    );
  const [used, waited] = [make('used', true), make('waited', false)];
  await put(etcd, [...used, ...waited]);
  await settled(lab);
  const start = await startOnce(lab);
  await settled(lab);
  await atRest(lab);
  const url = stepup.gate(policyName);
  const load = { url, body: bodyFile(lab.cluster, 'many', dryRun(lab.review)), connections: 16 };
  await lab.measure({ ...load, seconds: 1 });
  const fromMemory = await lab.measure({ ...load, seconds: plan.seconds }, lab.process());
  const waiting = await asked(url, waited, 'denied: approval required');
  const using = await asked(url, used, 'allowed');
  say(
    `5: ${name}: ${shown(fromMemory.perSecond)}/s from memory, p99 ${shown(using.p99Ms, 1)} ms to use, ` +
      `${shown(waiting.p99Ms, 1)} ms to wait`,
  );
  return { name, start, fromMemory, using, waiting };
}

async function asked(url: string, stories: readonly Stored[], wanted: string): Promise<Taken> {
  const agent = agentOf(connections);
  const taken: number[] = [];
  let wrong = 0;
  const beganMs = performance.now();
  await inParallel(connections, stories, async ({ review }) => {
    const sentMs = performance.now();
    if ((await ask(url, review, agent)) !== wanted) wrong += 1;
    taken.push(performance.now() - sentMs);
  });
  const seconds = (performance.now() - beganMs) / 1000;
  agent.destroy();
  return { perSecond: stories.length / seconds, p50Ms: median(taken), p99Ms: percentile(taken, 99), wrong };
}

async function put(etcd: Etcd, stories: Iterable<Pick<Stored, 'approval' | 'decision'> | LikeOne>): Promise<void> {
  const decisions: object[] = [];
  function* approvals() {
    for (const { approval, decision } of stories) {
      if (decision !== undefined) decisions.push(decision);
      yield approval;
    }
  }
  await etcd.put('stepupapprovals', approvals() as Iterable<never>);
  await etcd.put('stepupdecisions', decisions as never[]);
}

type LikeOne = ReturnType<typeof likeOne> extends Generator<infer T> ? T : never;

/** Waits until the API server and stepup have heard of everything that was written behind their backs. */
async function settled({ cluster, stepup }: Lab): Promise<void> {
  let before = -1;
  await eventually(
    'everybody to know what is stored',
    async () => {
      const beganMs = performance.now();
      // A consistent read waits until the API server's own copy is as new as etcd.
      await cluster.admin.list('/apis/stepup.dev/v1alpha1/namespaces/none/stepupapprovals');
      const readMs = performance.now() - beganMs;
      const approvals = await stepup.counted('stepup_approvals');
      const isStill = approvals === before && readMs < 500;
      before = approvals;
      await pause(2_000);
      return isStill;
    },
    { timeoutMs: 180_000 },
  );
}

/** Waits until this replica leads, the Lease of the one before having run out, and its operator has looked at everything. */
async function atRest(lab: Lab): Promise<void> {
  const restMs = 2_000;
  await eventually(
    'the operator to be at rest',
    async () => {
      if ((await lab.stepup.counted('stepup_leader')) !== 1) return false;
      const pid = lab.process().pid ?? 0;
      const before = cpuSecondsOf(pid);
      await pause(restMs);
      return cpuSecondsOf(pid) - before < (0.05 * restMs) / 1_000;
    },
    { timeoutMs: 120_000 },
  );
}

const namespaceObject = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

interface Outcome {
  readonly few: State;
  readonly all: State;
  readonly again: State;
  readonly withEnded: Start;
  readonly live: number;
  readonly ended: number;
}

function resultOf({ few, all, again, withEnded, live, ended }: Outcome): RowResult {
  const base = (pick: (state: State) => number) => (pick(few) + pick(again)) / 2;
  const ratio = (pick: (state: State) => number) => pick(all) / base(pick);
  const p99 = [
    ratio(({ fromMemory }) => fromMemory.p99Ms),
    ratio(({ using }) => using.p99Ms),
    ratio(({ waiting }) => waiting.p99Ms),
  ];
  const rate = [
    ratio(({ fromMemory }) => fromMemory.perSecond),
    ratio(({ using }) => using.perSecond),
    ratio(({ waiting }) => waiting.perSecond),
  ];
  const wrong = [few, all, again].reduce((sum, { using, waiting }) => sum + using.wrong + waiting.wrong, 0);
  const grown = withEnded.residentMiB - few.start.residentMiB;
  const ms = ({ start }: State) => `${shown(start.readyMs, 0)} ms`;
  const row = (state: State) => [
    state.name,
    shown(state.fromMemory.perSecond, 0),
    shown(state.fromMemory.p99Ms, 1),
    shown(state.using.perSecond, 0),
    shown(state.using.p99Ms, 1),
    shown(state.waiting.perSecond, 0),
    shown(state.waiting.p99Ms, 1),
    ms(state),
    `${shown(state.start.residentMiB, 0)} MiB`,
  ];
  return {
    goals: [
      {
        what: 'throughput with many over with few (from memory / using / waiting)',
        goal: '≥ 0.91',
        measured: rate.map((value) => shown(value)).join(' / '),
        isMet: rate.every((value) => value >= 1 / 1.1),
        otherwise:
          'A list by label reads all approvals of the namespace in the API server; the rest is noise of this machine.',
      },
      {
        what: 'p99 with many over with few (from memory / using / waiting)',
        goal: '≤ 1.1',
        measured: p99.map((value) => shown(value)).join(' / '),
        isMet: p99.every((value) => value <= 1.1),
        otherwise:
          'A list by label reads all approvals of the namespace in the API server; the rest is noise of this machine.',
      },
      { what: 'wrong answers', goal: '0', measured: String(wrong), isMet: wrong === 0 },
      {
        what: `ready after the spawn, ${(live + ended).toLocaleString('en')} stored`,
        goal: '< 5 s',
        measured: `${shown(all.start.readyMs / 1000)} s`,
        isMet: all.start.readyMs < 5_000,
        otherwise: 'The list of live approvals makes the API server look at all that are stored.',
      },
      {
        what: `memory that ${ended.toLocaleString('en')} ended ones take`,
        goal: 'none: within 10 MiB of few',
        measured: `${shown(grown, 0)} MiB`,
        isMet: grown <= 10,
      },
    ],
    tables: [
      {
        caption: 'Requests a second and p99 in ms',
        head: ['stored', 'memory/s', 'p99', 'using/s', 'p99', 'waiting/s', 'p99', 'ready', 'resident after 6 s'],
        rows: [few, all, again].map(row),
      },
      {
        caption: 'Memory after a start',
        head: ['stored', 'resident'],
        rows: [
          ['few', `${shown(few.start.residentMiB, 0)} MiB`],
          [`and ${ended.toLocaleString('en')} ended`, `${shown(withEnded.residentMiB, 0)} MiB`],
          [`and ${live.toLocaleString('en')} live`, `${shown(all.start.residentMiB, 0)} MiB`],
        ],
      },
    ],
    raw: { few, all, again, withEnded },
  };
}
