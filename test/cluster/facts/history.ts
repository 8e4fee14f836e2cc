// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every state that objects of one kind really went through, from a watch that runs beside the test: how often an effect
// was persisted is counted in it, not concluded from how things look afterwards.

import type { AdminClient, KubeObject, WatchEvent } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { deployment } from '../../support/traffic.ts';
import { configMap, hasImage, pod } from './actions.ts';

interface History {
  /** All that happened until now to the objects of this name, in order. */
  of(name: string, namespace?: string): Promise<readonly WatchEvent[]>;
  close(): void;
}

/** The histories that facts are counted in. */
export interface Histories {
  readonly deployments: History;
  readonly pods: History;
  readonly configMaps: History;
  /** How often a Deployment came to have this image. */
  timesWithImage(name: string, image: string): Promise<number>;
  close(): void;
}

const markerNamespace = 'dev';
const markerLabel = 'history-marker';

export async function startHistories(admin: AdminClient): Promise<Histories> {
  const deployments = await startHistory(admin, '/apis/apps/v1/deployments', deployment(markerNamespace, 'marker'));
  const pods = await startHistory(admin, '/api/v1/pods', pod('marker', markerNamespace));
  const configMaps = await startHistory(admin, '/api/v1/configmaps', configMap('marker', {}, markerNamespace));
  return {
    deployments,
    pods,
    configMaps,
    timesWithImage: async (name, image) => timesPersisted(await deployments.of(name), hasImage(image)),
    close: () => {
      for (const history of [deployments, pods, configMaps]) history.close();
    },
  };
}

/** collection: the plural's path below a namespace, such as `/apis/apps/v1/deployments`. marker: an object of the kind. */
async function startHistory(admin: AdminClient, collection: string, marker: KubeObject): Promise<History> {
  const events: WatchEvent[] = [];
  const stopping = new AbortController();
  const inNamespace = collection.replace(/\/([a-z]+)$/, `/namespaces/${markerNamespace}/$1`);
  await admin.post(inNamespace, marker);
  const { metadata } = await admin.list(collection);
  const watching = (async () => {
    const path = `${collection}?watch=true&resourceVersion=${metadata.resourceVersion}`;
    for await (const event of admin.watch(path, stopping.signal)) events.push(event);
  })();
  let failure: unknown;
  watching.catch((error: unknown) => {
    failure = error;
  });
  let turns = 0;
  return {
    of: async (name, namespace = 'prod') => {
      // Events come in the order of the writes: once the marker's is there, so is all that was before it.
      turns += 1;
      const turn = String(turns);
      await admin.patch(`${inNamespace}/${marker.metadata.name}`, { metadata: { labels: { [markerLabel]: turn } } });
      await eventually('the history to be complete', () => {
        if (failure !== undefined) throw failure;
        return events.some(({ object }) => object.metadata.labels?.[markerLabel] === turn);
      });
      return events.filter(
        ({ object: { metadata } }) => metadata.name === name && (metadata.namespace ?? '') === namespace,
      );
    },
    close: () => stopping.abort(),
  };
}

/** How often an effect was persisted: states that show it after one that did not, and objects that began with it. */
export function timesPersisted(events: readonly WatchEvent[], shows: (object: KubeObject) => boolean): number {
  const shown = new Map<string, boolean>();
  let times = 0;
  for (const { type, object } of events) {
    const uid = object.metadata.uid ?? '';
    const isShown = type !== 'DELETED' && shows(object);
    if (isShown && shown.get(uid) !== true) times += 1;
    shown.set(uid, isShown);
  }
  return times;
}

export function timesDeleted(events: readonly WatchEvent[]): number {
  return events.filter(({ type }) => type === 'DELETED').length;
}
