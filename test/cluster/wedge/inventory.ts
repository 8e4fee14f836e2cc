// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Names every object of a cluster, in every group that is served: what an installation leaves behind shows in the difference.
import type { AdminClient } from '../../support/control-plane/admin-client.ts';

interface Discovered {
  readonly groupVersion: string;
  readonly resources: readonly { readonly name: string; readonly verbs: readonly string[] }[];
}

/** What comes and goes whoever installs what: the record of what happened. */
const passing = new Set(['events', 'events.k8s.io/events']);

/** Every object there is, as "group/plural namespace/name". Throws when a served group cannot be read. */
export async function inventory(admin: AdminClient): Promise<ReadonlySet<string>> {
  const { groups } = await admin.get<{ metadata: never; groups: { preferredVersion: { groupVersion: string } }[] }>(
    '/apis',
  );
  const versions = ['v1', ...groups.map(({ preferredVersion }) => preferredVersion.groupVersion)];
  const found = await Promise.all(versions.map((version) => objectsOf(admin, version)));
  return new Set(found.flat());
}

async function objectsOf(admin: AdminClient, groupVersion: string): Promise<readonly string[]> {
  const root = groupVersion === 'v1' ? '/api/v1' : `/apis/${groupVersion}`;
  const { resources } = await admin.get<Discovered & { metadata: never }>(root);
  const group = groupVersion.split('/').slice(0, -1).join('');
  const listed = resources.filter(({ name, verbs }) => !name.includes('/') && verbs.includes('list'));
  const named = await Promise.all(
    listed.map(async ({ name: plural }) => {
      const kind = group === '' ? plural : `${group}/${plural}`;
      if (passing.has(kind)) return [];
      const { items } = await admin.list(`${root}/${plural}`);
      return items.map(({ metadata: { namespace, name } }) =>
        namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`,
      );
    }),
  );
  return named.flat();
}

/** What is there and was not before, sorted. */
export function added(before: ReadonlySet<string>, now: ReadonlySet<string>): readonly string[] {
  return [...now].filter((one) => !before.has(one)).sort();
}
