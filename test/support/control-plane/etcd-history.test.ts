// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// etcd's history holds what two API servers wrote, each change once and in order, also across its own end.

import { Agent, request } from 'node:https';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { type ControlPlane, startControlPlane } from './controlplane.ts';
import { type EtcdHistory, followHistory, type Revision } from './etcd-history.ts';

let cluster: ControlPlane;
let history: EtcdHistory;
const revisions: Revision[] = [];
const configMaps = '/api/v1/namespaces/default/configmaps';

beforeAll(async () => {
  cluster = await startControlPlane({
    apiServers: 2,
    controllerManager: false,
    apiServerArgs: ['--storage-media-type=application/json'],
  });
  history = await followHistory(cluster.etcdAccess, (revision) => revisions.push(revision));
});

afterAll(async () => {
  history?.close();
  await cluster?.stop();
});

const of = (name: string) =>
  revisions
    .filter(({ key }) => key === `/registry/configmaps/default/${name}`)
    .map(({ kind, isCreation, value }) => [kind, isCreation, value === '' ? '' : JSON.parse(value).data.turn]);

async function write(name: string): Promise<void> {
  const [one, other] = cluster.servers.map(cluster.adminOf);
  await one?.post(configMaps, { metadata: { name }, data: { turn: '1' } });
  await other?.patch(`${configMaps}/${name}`, { data: { turn: '2' } });
  await other?.patch(`${configMaps}/${name}`, { data: { turn: '2' } }); // changes nothing
  await one?.delete(`${configMaps}/${name}`);
}

const written = [
  ['Written', true, '1'],
  ['Written', false, '2'],
  ['Deleted', false, ''],
];

test('every change of a key is told once, whichever API server wrote it', async () => {
  await write('one');
  await history.caughtUp();
  expect(of('one')).toEqual(written);
});

test('what was written before etcd ended and after it came back is told once as well', async () => {
  await write('before');
  await cluster.etcd.restart();
  await eventually('the API servers to write again', () => write('after').then(() => true));
  await history.caughtUp();
  expect([of('one'), of('before'), of('after').slice(-3)]).toEqual([written, written, written]);
});

test('what was compacted away is not passed over in silence', async () => {
  const at = revisions.at(-1)?.at ?? 0;
  await compact(at);
  const late = await followHistory(cluster.etcdAccess, () => {});
  await expect(late.caughtUp()).rejects.toThrow(/compacted/);
  late.close();
});

async function compact(revision: number): Promise<void> {
  const { url, ca, cert, key } = cluster.etcdAccess;
  await new Promise<void>((resolve, reject) => {
    const body = JSON.stringify({ revision: String(revision), physical: true });
    const agent = new Agent({ ca, cert, key });
    const sent = request(new URL('/v3/kv/compaction', url), { method: 'POST', agent }, (response) => {
      response.resume();
      response.on('end', () => resolve());
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
