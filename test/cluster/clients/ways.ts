// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The table of clients and ways of writing: how each is prepared and run, and what the gate is expected to say.
import { basename } from 'node:path';
import { commandEnv } from '../../support/control-plane/command-env.ts';
import { apply, fileIn, type Installation } from '../../support/installation/installation.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../../support/run-command.ts';
import { writeChart } from './deployed-chart.ts';
import { cronJob, deployment, pod, replicationController } from './manifests.ts';

/** What a way needs to be run under a name of its own. */
export interface Place {
  readonly stepup: Installation;
  readonly name: string;
  readonly programs: Programs;
}

export interface Programs {
  readonly clientGo: string;
  readonly python: string;
  readonly program: string;
}

/** What one more run of the same does after it has passed. */
export type Again =
  | 'passes, nothing spent'
  | 'asks anew'
  | 'is done: nothing to send'
  | 'fails: not found'
  | 'fails by itself';

export interface Way {
  readonly client: 'kubectl' | 'Helm' | 'Python' | 'client-go';
  /** As the docs show it; the test's own name stands for `web`. */
  readonly how: string;
  /** What the admin puts there first. */
  readonly prepare?: (place: Place) => Promise<void>;
  readonly run: (place: Place) => Promise<CommandResult>;
  /** The requests refused, run by run. */
  readonly refused: readonly (readonly string[])[];
  readonly spent: number;
  readonly again: Again;
  readonly note?: string;
  /** To wait between runs: kubectl refuses a restart within the second of the last one by itself. */
  readonly pauseMs?: number;
}

interface KubectlWay extends Omit<Way, 'client' | 'how' | 'run'> {
  /** With {n} for the name; shown in the docs without the namespace. */
  readonly command: string;
  readonly how?: string;
  /** Written to the file that {file} stands for. */
  readonly manifest?: (name: string) => object;
  readonly env?: (place: Place) => Readonly<Record<string, string>>;
}

const create = [['POST deployments']];
const patch = [['PATCH deployments']];

export const ways: readonly Way[] = [
  // Making something.
  kubectl({
    command: 'create deployment {n} --image=nginx:1',
    refused: create,
    spent: 1,
    again: 'asks anew',
    note: 'admission comes before "already exists"',
  }),
  kubectl({
    command: 'create -f {file}',
    manifest: (n) => deployment(n),
    refused: create,
    spent: 1,
    again: 'asks anew',
  }),
  kubectl({ command: 'run {n} --image=nginx:1', refused: [['POST pods']], spent: 1, again: 'asks anew' }),
  kubectl({
    command: 'create job {n} --from=cronjob/{n}',
    prepare: admin((n) => [cronJob(n)]),
    refused: [['POST jobs']],
    spent: 1,
    again: 'asks anew',
  }),
  kubectl({
    command: 'apply -f {file}',
    how: 'apply -f (new)',
    manifest: (n) => deployment(n),
    refused: create,
    spent: 1,
    again: 'is done: nothing to send',
  }),
  kubectl({
    command: 'apply --server-side -f {file}',
    how: 'apply --server-side -f (new)',
    manifest: (n) => deployment(n),
    refused: patch,
    spent: 1,
    again: 'passes, nothing spent',
  }),
  // Changing it.
  kubectl({
    command: 'apply -f {file}',
    how: 'apply -f (changed)',
    prepare: standing,
    manifest: (n) => deployment(n, 'nginx:2'),
    refused: patch,
    spent: 1,
    again: 'is done: nothing to send',
  }),
  kubectl({
    command: 'apply --server-side --force-conflicts -f {file}',
    how: 'apply --server-side --force-conflicts -f (changed)',
    prepare: standing,
    manifest: (n) => deployment(n, 'nginx:2'),
    refused: patch,
    spent: 1,
    again: 'passes, nothing spent',
  }),
  ...(
    [
      ['strategic', '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}}}'],
      ['merge', '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}}}'],
      ['json', '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nginx:2"}]'],
    ] as const
  ).map(([type, body]) =>
    kubectl({
      command: `patch deployment {n} --type=${type} -p ${body}`,
      how: `patch --type=${type}`,
      prepare: standing,
      refused: patch,
      spent: 1,
      again: 'passes, nothing spent',
    }),
  ),
  kubectl({
    command: 'replace -f {file}',
    prepare: standing,
    manifest: (n) => deployment(n, 'nginx:2'),
    refused: [['PUT deployments']],
    spent: 1,
    again: 'passes, nothing spent',
  }),
  kubectl({
    command: 'replace --force -f {file}',
    prepare: standing,
    manifest: (n) => deployment(n, 'nginx:2'),
    refused: [['DELETE deployments'], ['DELETE deployments', 'POST deployments']],
    spent: 2,
    again: 'asks anew',
    note: 'two effects: after the first approval the object is gone until the second',
  }),
  kubectl({
    command: 'edit deployment {n}',
    how: 'edit (KUBE_EDITOR a script)',
    prepare: standing,
    env: ({ stepup }) => ({ KUBE_EDITOR: 'sed -i s/nginx:1$/nginx:2/', TMPDIR: stepup.cluster.dir }),
    refused: patch,
    spent: 1,
    again: 'is done: nothing to send',
  }),
  kubectl({
    command: 'scale deployment {n} --replicas=3',
    prepare: standing,
    refused: [['PATCH deployments/scale']],
    spent: 1,
    again: 'passes, nothing spent',
  }),
  kubectl({
    command: 'set image deployment/{n} c=nginx:2',
    prepare: standing,
    refused: patch,
    spent: 1,
    again: 'is done: nothing to send',
  }),
  kubectl({
    command: 'set env deployment/{n} A=b',
    prepare: standing,
    refused: patch,
    spent: 1,
    again: 'is done: nothing to send',
  }),
  kubectl({
    command: 'rollout restart deployment/{n}',
    pauseMs: 1_100,
    prepare: standing,
    refused: patch,
    spent: 1,
    again: 'asks anew',
    note: 'any restart of this Deployment, whatever its timestamp; one restart per approval',
  }),
  kubectl({
    command: 'rollout undo deployment/{n}',
    prepare: async (place) => {
      await standing(place);
      await admin((n) => [deployment(n, 'nginx:2')])(place);
      await place.stepup.kubectl('admin', ['-n', 'prod', 'rollout', 'history', `deployment/${place.name}`]);
      await revisions(place, 2);
    },
    refused: patch,
    spent: 1,
    again: 'asks anew',
    note: 'once more is back again',
  }),
  // Ending it.
  kubectl({
    command: 'delete deployment {n}',
    prepare: standing,
    refused: [['DELETE deployments']],
    spent: 1,
    again: 'fails: not found',
  }),
  kubectl({
    command: 'delete replicationcontrollers --all',
    prepare: admin((n) => [replicationController(`${n}-1`), replicationController(`${n}-2`)]),
    refused: [['DELETE replicationcontrollers', 'DELETE replicationcontrollers']],
    spent: 2,
    again: 'is done: nothing to send',
    note: 'item by item: all are named by the first run',
  }),
  kubectl({
    command: 'delete --raw /apis/apps/v1/namespaces/prod/deployments?labelSelector=of={n}',
    how: 'delete --raw …/deployments?labelSelector=… (a collection of two)',
    prepare: admin((n) =>
      [`${n}-1`, `${n}-2`].map((name) => {
        const made = deployment(name);
        return { ...made, metadata: { ...made.metadata, labels: { of: n } } };
      }),
    ),
    refused: [['DELETE (collection) deployments'], ['DELETE (collection) deployments']],
    spent: 2,
    again: 'passes, nothing spent',
    note: 'the API server stops at the first refusal: each run names one item, what was approved goes, the others stay',
  }),
  kubectl({
    command: 'drain {n} --force',
    how: 'drain --force (one production pod)',
    prepare: async (place) => {
      await admin((n) => [
        { apiVersion: 'v1', kind: 'Node', metadata: { name: n } },
        pod(n, { nodeName: n, terminationGracePeriodSeconds: 0 }),
      ])(place);
    },
    refused: [['PATCH nodes', 'POST pods/eviction']],
    spent: 1,
    again: 'is done: nothing to send',
    note: 'needs rights on nodes and on pods everywhere, which `stepup-gated-admin` does not give; cordoning is not governed',
  }),
  kubectl({
    command: 'create --raw /api/v1/namespaces/prod/pods/{n}/eviction -f {file}',
    how: 'create --raw …/pods/web/eviction',
    prepare: admin((n) => [pod(n, { terminationGracePeriodSeconds: 0 })]),
    manifest: (name) => ({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'prod' } }),
    refused: [['POST pods/eviction']],
    spent: 1,
    again: 'fails by itself',
    note: 'the pod is gone: 404, as the API server itself would say',
  }),
  kubectl({
    command: 'debug {n} --image=busybox:1 --attach=false',
    prepare: admin((n) => [pod(n)]),
    refused: [['PATCH pods/ephemeralcontainers']],
    spent: 1,
    again: 'asks anew',
    note: 'the container name that kubectl draws anew each time does not bind',
  }),
  kubectl({
    command: 'debug {n} --image=busybox:1 --attach=false --container=shell',
    prepare: admin((n) => [pod(n)]),
    refused: [['PATCH pods/ephemeralcontainers']],
    spent: 1,
    again: 'fails by itself',
    note: 'a container of that name is there',
  }),
  ...helmWays(),
  ...programWays('Python', ['create', 'apply', 'patch', 'replace', 'scale', 'delete']),
  ...programWays('client-go', ['create', 'apply', 'patch', 'update', 'delete']),
];

function kubectl({ command, how, manifest, env, ...way }: KubectlWay): Way {
  return {
    ...way,
    client: 'kubectl',
    how: how ?? command.replaceAll('{n}', 'web').replace('{file}', 'web.yaml'),
    run: async (place) => {
      const { stepup, name } = place;
      const file = manifest === undefined ? '' : fileIn(stepup.cluster, `${name}.json`, JSON.stringify(manifest(name)));
      const words = command.split(' ').map((word) => word.replaceAll('{n}', name).replace('{file}', file));
      return stepup.kubectl('deployer', ['-n', 'prod', ...words], env === undefined ? {} : { env: env(place) });
    },
  };
}

/** The admin creates these; what was there before is changed. */
function admin(items: (name: string) => readonly object[]): (place: Place) => Promise<void> {
  return ({ stepup, name }) => apply(stepup.cluster, items(name));
}

async function standing(place: Place): Promise<void> {
  await admin((n) => [deployment(n)])(place);
  // What the deployment controller writes into it once; kubectl replace and edit would meet it as a conflict.
  await revisions(place, 1);
}

async function revisions({ stepup, name }: Place, wanted: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const args = ['-n', 'prod', 'get', 'replicasets', '-l', `app=${name}`, '-o', 'name'];
    const { stdout } = await stepup.kubectl('admin', args);
    if (stdout.trim().split('\n').filter(Boolean).length >= wanted) return;
  }
  throw new Error(`wait for ${wanted} revisions of ${name}: not there`);
}

/** Helm as the gated account. */
export function helm(
  stepup: Installation,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return stepup.cluster.helm(['-n', 'prod', ...args], { kubeconfig: stepup.kubeconfigs.deployer, ...options });
}

function helmWays(): readonly Way[] {
  const asGated = (args: readonly string[]) => (place: Place) =>
    helm(
      place.stepup,
      args.map((arg) => arg.replaceAll('{n}', place.name).replace('{chart}', writeChart(place.stepup.cluster.dir))),
    );
  /** Each revision is put there by the admin. */
  const released =
    (...images: readonly string[]) =>
    async (place: Place) => {
      for (const image of images) {
        const args = ['upgrade', '--install', place.name, writeChart(place.stepup.cluster.dir), '-n', 'prod'];
        const result = await place.stepup.cluster.helm([...args, '--set', `image=${image}`]);
        if (result.code !== 0) throw new Error(`release ${place.name}: ${result.stderr}`);
      }
    };
  return [
    {
      client: 'Helm',
      how: 'upgrade --install (new)',
      run: asGated(['upgrade', '--install', '{n}', '{chart}']),
      refused: [['POST deployments']],
      spent: 1,
      again: 'passes, nothing spent',
      note: 'after a refused `helm install` the name is in use: go on with `helm upgrade --install`',
    },
    {
      client: 'Helm',
      how: 'upgrade (changed)',
      prepare: released('nginx:1'),
      run: asGated(['upgrade', '{n}', '{chart}', '--set', 'image=nginx:2']),
      refused: patch,
      spent: 1,
      again: 'passes, nothing spent',
    },
    {
      client: 'Helm',
      how: 'rollback web 1',
      prepare: released('nginx:1', 'nginx:2'),
      run: asGated(['rollback', '{n}', '1']),
      refused: patch,
      spent: 1,
      again: 'passes, nothing spent',
    },
    {
      client: 'Helm',
      how: 'uninstall web --debug',
      prepare: released('nginx:1'),
      run: asGated(['uninstall', '{n}', '--debug']),
      refused: [['DELETE deployments']],
      spent: 1,
      again: 'fails: not found',
      note: 'without --debug Helm says only "failed to delete release"; `kubectl get sua` says why',
    },
  ];
}

function programWays(client: 'Python' | 'client-go', names: readonly string[]): readonly Way[] {
  const isNew = (way: string, found: readonly string[]) => found.includes(way);
  return names.map((way): Way => {
    const sends = {
      create: 'POST',
      apply: 'PATCH',
      patch: 'PATCH',
      replace: 'PUT',
      update: 'PUT',
      scale: 'PATCH',
      delete: 'DELETE',
    }[way];
    return {
      client,
      how: way === 'apply' ? 'server-side apply (new)' : way,
      ...(isNew(way, ['create', 'apply']) ? {} : { prepare: standing }),
      run: (place) => runProgram(client, place, [way, place.name, 'nginx:2']),
      refused: [[`${sends} deployments${way === 'scale' ? '/scale' : ''}`]],
      spent: 1,
      again: way === 'delete' ? 'fails: not found' : way === 'create' ? 'asks anew' : 'passes, nothing spent',
    };
  });
}

export function runProgram(
  client: 'Python' | 'client-go',
  { stepup, programs }: Pick<Place, 'stepup' | 'programs'>,
  args: readonly string[],
): Promise<CommandResult> {
  const env = commandEnv(stepup.cluster.dir, stepup.kubeconfigs.deployer);
  return client === 'client-go'
    ? runCommand(programs.clientGo, args, { env })
    : runCommand(programs.python, [programs.program, ...args], { env });
}

/** A name for the objects of one row. */
export function nameOfWay(way: Way, index: number): string {
  return `${basename(way.client).toLowerCase()}-${index}`;
}
