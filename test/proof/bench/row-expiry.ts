// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 7: ten thousand approvals that expire at once, and what one costs over its life.
import { policyOf, type StepUpApproval, type StepUpPolicy } from '../../../src/api/kinds.ts';
import { after } from '../../../src/domain/model/deadlines.ts';
import { grantOf, type Policy } from '../../../src/domain/model/policy.ts';
import type { Seals } from '../../../src/domain/model/seal-check.ts';
import { createAdminClient } from '../../support/control-plane/admin-client.ts';
import { clusterKeyring } from '../../support/control-plane/cluster-keyring.ts';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn } from '../../support/installation/approvals.ts';
import { apply, policiesReady } from '../../support/installation/installation.ts';
import { endOfLog, eventsSince } from './audit.ts';
import { policy as benchPolicy, type Lab, pause, policyName } from './bench-lab.ts';
import { Etcd } from './etcd-writer.ts';
import { inParallel } from './parallel.ts';
import { agentOf, ask } from './review.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { countBy } from './row-consuming.ts';
import { percentile } from './statistics.ts';
import { systemNamespace } from './stepup-process.ts';
import { likeOne, type Stored, stored } from './stored.ts';

export const expiry: Row = {
  id: '7',
  title: 'Ten thousand approvals expire at once',
  method:
    'Approved approvals whose use windows end at the same instant are written into etcd (as in row 5), their decisions beside them. Some are used shortly before ' +
    'that instant; requests that others cover are sent straight to the webhook from 1 ms after it on. How late one is marked is its `endedAt` less its `usableUntil`. ' +
    'Writes are counted in the audit log, of a few that are filed, approved and expire, or are used, one way at a time.',
  run,
};

const namespace = 'bench-expiring';
const connections = 16;

async function run(lab: Lab): Promise<RowResult> {
  const { cluster } = lab;
  await apply(cluster, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'bench-brief', labels: { bench: 'brief' } } },
    benchPolicy('bench-brief', { matchLabels: { bench: 'brief' } }, { grant: { ttlSeconds: lifeSeconds } }),
  ]);
  await policiesReady(cluster);
  await pause(2_000);
  const expired = await costOf(lab, 'expired');
  const used = await costOf(lab, 'used');
  const storm = await atOnce(lab);
  return resultOf(storm, { expired, used });
}

interface Storm {
  readonly count: number;
  /** Of those used before the end: how many were allowed. */
  readonly early: { readonly asked: number; readonly allowed: number };
  readonly late: { readonly asked: number; readonly allowed: number };
  readonly lateMs: readonly number[];
  readonly phases: Readonly<Record<string, number>>;
  readonly writes: Readonly<Record<string, number>>;
}

async function atOnce(lab: Lab): Promise<Storm> {
  const { cluster, plan, say, stepup } = lab;
  const [count, asked, leadMs] = plan.isQuick ? [500, 20, 15_000] : [10_000, 200, 150_000];
  const policy = policyOf(
    await cluster.admin.get<StepUpPolicy>(`/apis/stepup.dev/v1alpha1/stepuppolicies/${policyName}`),
  );
  const endsAt = new Date(Date.now() + leadMs);
  const etcd = new Etcd(cluster);
  const agent = agentOf(connections);
  try {
    const seals = await clusterKeyring(cluster.admin);
    const sealedIn = { lab, seals };
    const [early, late] = [
      made(sealedIn, policy, 'early', asked, endsAt),
      made(sealedIn, policy, 'late', asked, endsAt),
    ];
    const [one] = late;
    if (one === undefined) throw new Error('nothing was made');
    const all = [...early, ...late, ...likeOne(one, count - 2 * asked, () => namespace, seals)];
    await etcd.put('stepupdecisions', all.map(({ decision }) => decision) as never[]);
    await known(lab);
    await etcd.put('stepupapprovals', all.map(({ approval }) => approval) as never[]);
    say(`7: ${count} written ${shown((endsAt.getTime() - Date.now()) / 1000, 0)} s before their end`);
    await eventually(
      'stepup to know them all',
      async () => {
        const known = await approved(lab);
        if (known < count) throw new Error(`it knows ${known}`);
        return true;
      },
      { timeoutMs: leadMs, intervalMs: 500 },
    );
    const leftMs = endsAt.getTime() - Date.now();
    say(`7: ${count} known ${shown(leftMs / 1000, 0)} s before their end`);
    if (leftMs < 3_000) throw new Error('the approvals were not known in time');
    await pause(leftMs - 3_000);
    const offset = endOfLog(cluster.auditLogs[0] ?? '');
    const allowedOf = async (stories: readonly Stored[]) => {
      let allowed = 0;
      await inParallel(connections, stories, async ({ review }) => {
        if ((await ask(stepup.gate(policyName), review, agent)) === 'allowed') allowed += 1;
      });
      return { asked: stories.length, allowed };
    };
    const before = await allowedOf(early);
    const until = endsAt.getTime() + 1;
    await pause(Math.max(until - Date.now() - 5, 0));
    while (Date.now() < until) await pause(0);
    const afterwards = await allowedOf(late);
    await eventually(
      'all to be marked',
      async () => (await stepup.counted('stepup_approvals', { phase: 'Approved' })) === 0,
      {
        timeoutMs: 120_000,
      },
    );
    await pause(2_000);
    const found = await approvalsIn(lab);
    const lateMs = found
      .filter(({ status }) => status?.phase === 'Expired')
      .map(({ status }) => Date.parse(status?.endedAt ?? '') - endsAt.getTime());
    const account = `system:serviceaccount:${systemNamespace}:stepup`;
    const writes = eventsSince(cluster.auditLogs[0] ?? '', offset)
      .filter(({ user, verb }) => user === account && ['create', 'update', 'patch', 'delete'].includes(verb))
      .map(({ verb, resource }) => `${verb} ${resource}`);
    say(`7: all marked ${shown(Math.max(...lateMs) / 1000, 1)} s after their end`);
    return {
      count,
      early: before,
      late: afterwards,
      lateMs,
      phases: countBy(found.map(({ status }) => status?.phase ?? '')),
      writes: countBy(writes),
    };
  } finally {
    await etcd.remove('stepupapprovals', `${namespace}/`);
    await etcd.remove('stepupdecisions', `${namespace}/`);
    agent.destroy();
    etcd.close();
  }
}

const approved = ({ stepup }: Lab) => stepup.counted('stepup_approvals', { phase: 'Approved' });

function made(
  { lab, seals }: { readonly lab: Lab; readonly seals: Seals },
  policy: Policy,
  kind: string,
  count: number,
  endsAt: Date,
): readonly Stored[] {
  const decidedAt = after(endsAt, -grantOf(policy).ttlSeconds);
  return Array.from({ length: count }, (_, index) =>
    stored(
      lab.review,
      policy,
      { namespace, name: `${kind}-${index}`, createdAt: after(decidedAt, -10), decidedAt },
      seals,
    ),
  );
}

/** Waits until the decisions are known: of an approval that is known before them, the operator would write that it lacks votes. */
async function known({ cluster }: Lab): Promise<void> {
  await eventually(
    'the API server to know the decisions',
    async () => {
      const beganMs = performance.now();
      // A consistent read waits until the API server's own copy is as new as etcd.
      await cluster.admin.list('/apis/stepup.dev/v1alpha1/namespaces/none/stepupdecisions');
      return performance.now() - beganMs < 500;
    },
    { timeoutMs: 60_000, intervalMs: 1_000 },
  );
  await pause(3_000);
}

async function approvalsIn({ cluster }: Lab): Promise<readonly StepUpApproval[]> {
  const found: StepUpApproval[] = [];
  const path = `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals?limit=500`;
  for (let token: string | undefined = ''; token !== undefined; ) {
    const page: { metadata: { continue?: string }; items: unknown[] } = await cluster.admin.get(
      `${path}${token === '' ? '' : `&continue=${encodeURIComponent(token)}`}`,
    );
    found.push(...(page.items as StepUpApproval[]));
    token = page.metadata.continue || undefined;
  }
  return found;
}

const lifeSeconds = 5;

/** Of a kind that the operator may look at, so that its creation is seen. */
const deploymentNamed = (name: string) => ({
  metadata: { name },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } },
  },
});

interface Cost {
  readonly count: number;
  /** What stepup's account wrote for each: on approvals, and events. */
  readonly perApproval: number;
  readonly events: number;
  readonly writes: Readonly<Record<string, number>>;
}

/** Files, approves, and uses or forgets a few, and counts what stepup writes meanwhile. */
async function costOf(lab: Lab, what: 'expired' | 'used'): Promise<Cost> {
  const { cluster } = lab;
  const count = 10;
  const log = cluster.auditLogs[0] ?? '';
  const offset = endOfLog(log);
  const writer = createAdminClient({ server: cluster.server, ca: cluster.ca, token: lab.token });
  const api = '/apis/stepup.dev/v1alpha1/namespaces/bench-brief';
  try {
    const read = async (name: string) =>
      (await cluster.admin.send('GET', `${api}/stepupapprovals/${name}`)).body as Partial<StepUpApproval>;
    const keys: string[] = [];
    for (let index = 0; index < count; index++) {
      const body = deploymentNamed(`${what}-${Date.now()}-${index}`);
      const attempt = () => writer.send('POST', '/apis/apps/v1/namespaces/bench-brief/deployments', { body });
      const { name } = approvalNamedIn(((await attempt()).body as { message: string }).message);
      keys.push(name);
      const decision = await eventually(
        `${name} to say how it is approved`,
        async () => (await read(name)).status?.approveWith,
      );
      const headers = { 'impersonate-user': 'ada', 'impersonate-group': 'approvers' };
      await cluster.admin.send('POST', `${api}/stepupdecisions`, { body: JSON.parse(decision), headers });
      await eventually(`${name} to be approved`, async () => (await read(name)).status?.phase === 'Approved');
      if (what === 'used' && (await attempt()).code !== 201) throw new Error(`${body.metadata.name} did not pass`);
    }
    const end = what === 'used' ? 'Consumed' : 'Expired';
    for (const name of keys) {
      await eventually(`${name} to be ${end}`, async () => (await read(name)).status?.phase === end, {
        timeoutMs: 60_000,
      });
    }
  } finally {
    writer.close();
  }
  await pause(1_000);
  const account = `system:serviceaccount:${systemNamespace}:stepup`;
  const writes = eventsSince(log, offset)
    .filter(({ user, verb }) => user === account && ['create', 'update', 'patch', 'delete'].includes(verb))
    .map(({ verb, resource }) => `${verb} ${resource}`);
  const of = (part: RegExp) => writes.filter((one) => part.test(one)).length / count;
  return { count, perApproval: of(/ stepupapprovals/), events: of(/ events/), writes: countBy(writes) };
}

function resultOf(storm: Storm, { expired, used }: { readonly expired: Cost; readonly used: Cost }): RowResult {
  const { late, early, lateMs, count } = storm;
  const worst = Math.max(...lateMs) / 1000;
  const cost = ({ perApproval, events }: Cost) => `${shown(perApproval, 1)}, and ${shown(events, 1)} events`;
  return {
    goals: [
      {
        what: `usable 1 ms after the end, of ${late.asked} asked`,
        goal: '0',
        measured: `${late.allowed} (before it ${early.allowed} of ${early.asked})`,
        isMet: late.allowed === 0 && early.allowed === early.asked,
      },
      {
        what: `the last of ${count.toLocaleString('en')} is marked after`,
        goal: '≤ 5 s',
        measured: `${shown(worst, 1)} s`,
        isMet: worst <= 5,
        otherwise: `Each is one status write, ${shown(lateMs.length / worst, 0)} a second here: API server, etcd and stepup share two cores.`,
      },
      {
        what: 'API writes on an approval that expires',
        goal: '≤ 4',
        measured: cost(expired),
        isMet: expired.perApproval <= 4,
      },
      {
        what: 'API writes on an approval that is used',
        goal: '≤ 5',
        measured: cost(used),
        isMet: used.perApproval <= 5,
      },
    ],
    tables: [
      {
        caption: 'Seconds after the end until it is marked',
        head: ['median', 'p90', 'p99', 'last', 'a second'],
        rows: [
          [
            ...[50, 90, 99, 100].map((percent) => shown(percentile(lateMs, percent) / 1000, 1)),
            shown(lateMs.length / worst, 0),
          ],
        ],
      },
    ],
    raw: { storm: { ...storm, lateMs: undefined }, expired, used },
  };
}
