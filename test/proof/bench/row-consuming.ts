// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Row 3: the request that uses an approval: what it asks of the API server, and how long it takes more.
import { type AdminClient, createAdminClient } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn } from '../../support/installation/approvals.ts';
import { endOfLog, eventsSince } from './audit.ts';
import { type Lab, pause } from './bench-lab.ts';
import { type Row, type RowResult, shown } from './row.ts';
import { median, percentile } from './statistics.ts';
import { systemNamespace } from './stepup-process.ts';

export const consuming: Row = {
  id: '3',
  title: 'The request that uses an approval',
  method:
    'ConfigMaps are created one after the other, each with an approval of its own, and one without a webhook, one through the Node baseline and one bare ' +
    "compare-and-swap (PUT of the very approval's status as stepup's account) in between. Nobody leads meanwhile (the Lease is held), so all " +
    "that stepup's account asks of the API server in the audit log is the webhook's.",
  run,
};

interface Key {
  readonly namespace: string;
  readonly name: string;
}

interface Approval {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly status?: { readonly phase?: string; readonly approveWith?: string; readonly missing?: string };
}

async function run(lab: Lab): Promise<RowResult> {
  const { cluster, say, stepup } = lab;
  const count = lab.plan.isQuick ? 10 : 60;
  const writer = createAdminClient({ server: cluster.server, ca: cluster.ca, token: lab.token });
  const own = createAdminClient({ server: cluster.server, ca: cluster.ca, token: stepup.token });
  try {
    say(`3: filing and approving ${count} approvals`);
    const names = Array.from({ length: count }, (_, index) => `used-${Date.now()}-${index}`);
    const keys = await approved(lab, writer, names);
    const release = await holdLease(lab);
    const offset = endOfLog(cluster.auditLogs[0] ?? '');
    const taken = { plain: [] as number[], node: [] as number[], using: [] as number[], swap: [] as number[] };
    for (const [index, name] of names.entries()) {
      taken.plain.push(await timed(() => create(writer, 'bench-none', name)));
      taken.using.push(await timed(() => create(writer, 'bench-stepup', name)));
      taken.node.push(await timed(() => create(writer, 'bench-node', name)));
      const key = keys[index];
      if (key !== undefined) taken.swap.push(await swap(own, cluster.admin, key));
    }
    // The log is written while the answer is on its way.
    await pause(500);
    const account = `system:serviceaccount:${systemNamespace}:stepup`;
    const asked = eventsSince(cluster.auditLogs[0] ?? '', offset)
      .filter(({ user, userAgent, verb }) => user === account && userAgent !== benchAgent && verb !== 'watch')
      .filter(({ resource }) => resource !== 'leases');
    await release();
    return resultOf(taken, asked);
  } finally {
    writer.close();
    own.close();
  }
}

function resultOf(
  taken: Readonly<Record<'plain' | 'node' | 'using' | 'swap', readonly number[]>>,
  asked: readonly { readonly verb: string; readonly resource: string }[],
): RowResult {
  const count = taken.using.length;
  const writes = asked.filter(({ verb }) => !['get', 'list'].includes(verb));
  const isExact = writes.length === count && writes.every(({ resource }) => resource === 'stepupapprovals/status');
  const reads = asked.length - writes.length;
  const {
    plain,
    node,
    using,
    swap: bare,
  } = { plain: median(taken.plain), node: median(taken.node), using: median(taken.using), swap: median(taken.swap) };
  const ratio = (using - plain) / bare;
  const row = (name: string, values: readonly number[]) => [name, shown(median(values)), shown(percentile(values, 90))];
  return {
    goals: [
      {
        what: `API writes of ${count} such requests`,
        goal: `${count}, all of an approval's status`,
        measured: String(writes.length),
        isMet: isExact,
      },
      { what: 'API reads', goal: '0', measured: String(reads), isMet: reads === 0 },
      {
        what: 'added latency over a bare status compare-and-swap',
        goal: '≤ 1.25',
        measured: `${shown(ratio)} (${shown(using - plain)} ms / ${shown(bare)} ms)`,
        isMet: ratio <= 1.25,
        otherwise:
          `Added are the API server's call of a webhook (the Node always-allow one: ${shown(node - plain)} ms) and the compare-and-swap, ` +
          `one after the other; over their sum it is ${shown((using - plain) / (bare + node - plain))}.`,
      },
    ],
    tables: [
      {
        caption: 'Milliseconds, one request at a time',
        head: ['request', 'median', 'p90'],
        rows: [
          row('create without a webhook', taken.plain),
          row('create through the always-allow webhook in Node', taken.node),
          row('create that uses an approval', taken.using),
          row('bare compare-and-swap of the approval', taken.swap),
        ],
      },
    ],
    raw: { taken, asked: countBy(asked.map(({ verb, resource }) => `${verb} ${resource}`)) },
  };
}

export function countBy(names: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries([...new Set(names)].map((name) => [name, names.filter((one) => one === name).length]));
}

async function create(client: AdminClient, namespace: string, name: string): Promise<number> {
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } };
  const { code, body: said } = await client.send('POST', `/api/v1/namespaces/${namespace}/configmaps`, { body });
  if (code !== 201) throw new Error(`create ConfigMap ${namespace}/${name}: ${code} ${JSON.stringify(said)}`);
  return code;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}

const benchAgent = 'stepup-bench';

/** One compare-and-swap of the status, timed without the read before it. */
async function swap(own: AdminClient, admin: AdminClient, key: Key): Promise<number> {
  const approval = await admin.get<Approval>(pathOf(key));
  // Without a difference the API server would write nothing.
  const body = { ...approval, status: { ...approval.status, missing: `swapped ${key.name}` } };
  const headers = { 'user-agent': benchAgent };
  return timed(async () => {
    const { code, body: said } = await own.send('PUT', `${pathOf(key)}/status`, { body, headers });
    if (code !== 200) throw new Error(`swap the status of ${key.name}: ${code} ${JSON.stringify(said)}`);
  });
}

const pathOf = ({ namespace, name }: Key) =>
  `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals/${name}`;

/** Has each name denied once, and every approval that was filed for it approved. */
async function approved({ cluster }: Lab, writer: AdminClient, names: readonly string[]): Promise<readonly Key[]> {
  const keys: Key[] = [];
  for (const name of names) {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } };
    const { code, body: said } = await writer.send('POST', '/api/v1/namespaces/bench-stepup/configmaps', { body });
    if (code !== 403) throw new Error(`create ${name} without approval: ${code}`);
    keys.push(approvalNamedIn((said as { message: string }).message));
    // Below the rate at which one requester may have approvals filed.
    await pause(110);
  }
  const decisions: unknown[] = [];
  for (const key of keys) {
    const approveWith = await eventually(`${key.name} to say how it is approved`, async () => {
      const { status } = await cluster.admin.get<Approval>(pathOf(key));
      return status?.approveWith;
    });
    decisions.push(JSON.parse(approveWith));
  }
  const kubeconfig = await cluster.userKubeconfig('bench-approver', { user: 'ada', groups: ['approvers'] });
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: decisions });
  const voted = await cluster.kubectl(['create', '-f', '-'], { kubeconfig, stdin: list });
  if (voted.code !== 0) throw new Error(`approve: ${voted.stderr}`);
  for (const key of keys) {
    await eventually(`${key.name} to be approved`, async () => {
      const { status } = await cluster.admin.get<Approval>(pathOf(key));
      return status?.phase === 'Approved';
    });
  }
  return keys;
}

interface Lease {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly holderIdentity?: string };
}

/** Takes the Lease away, so that nobody leads; the returned function gives it back. */
async function holdLease({ cluster, stepup }: Lab): Promise<() => Promise<void>> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/stepup`;
  const hold = (holderIdentity: string, leaseDurationSeconds: number) =>
    eventually('the Lease to be written', async () => {
      const lease = await cluster.admin.get<Lease>(path);
      const renewTime = new Date().toISOString().replace('Z', '000Z');
      const spec = { ...lease.spec, holderIdentity, leaseDurationSeconds, renewTime };
      return (await cluster.admin.send('PUT', path, { body: { ...lease, spec } })).code === 200;
    });
  await hold('bench', 3600);
  await eventually('the operator to step down', async () => (await stepup.counted('stepup_leader')) === 0);
  await pause(1_000);
  return async () => {
    await hold('', 1);
    await eventually('the operator to lead', async () => (await stepup.counted('stepup_leader')) === 1);
  };
}
