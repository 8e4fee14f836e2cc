// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every write that an API server admits: resource × operation × subresource, as its discovery tells them.
import type { RestClient } from '../../../src/kube/http/rest.ts';

export interface Write {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  /** resource.group, with a subresource after a slash: deployments/scale.apps. */
  readonly kind: string;
}

interface Served {
  readonly verbs?: readonly string[];
}

interface GroupDocument {
  readonly metadata?: { readonly name?: string };
  readonly versions?: readonly {
    readonly resources?: readonly (Served & {
      readonly resource: string;
      readonly subresources?: readonly (Served & { readonly subresource: string })[];
    })[];
  }[];
}

/** Discovery names the verbs of HTTP only; these are admitted as CONNECT (apiserver, endpoints/installer.go, connecters). */
const connecters = new Set([
  'pods/exec',
  'pods/attach',
  'pods/portforward',
  'pods/proxy',
  'services/proxy',
  'nodes/proxy',
]);

const operationOf: Readonly<Record<string, Write['operation']>> = {
  create: 'CREATE',
  update: 'UPDATE',
  patch: 'UPDATE',
  delete: 'DELETE',
  deletecollection: 'DELETE',
};

const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** All writes of all groups, sorted. */
export async function walk(rest: RestClient): Promise<readonly Write[]> {
  const ask = async (path: string) => {
    const answer = (await rest.request({ method: 'GET', path, accept })) as {
      readonly items?: readonly GroupDocument[];
    };
    return answer.items ?? [];
  };
  const groups = (await Promise.all(['/api', '/apis'].map(ask))).flat();
  const writes = groups.flatMap(({ metadata, versions = [] }) => {
    const group = metadata?.name ?? '';
    return versions.flatMap(({ resources = [] }) =>
      resources.flatMap(({ resource, verbs = [], subresources = [] }) => [
        ...writesOf(resource, group, verbs),
        ...subresources.flatMap((sub) => writesOf(`${resource}/${sub.subresource}`, group, sub.verbs ?? [])),
      ]),
    );
  });
  const unique = new Map(writes.map((write) => [`${write.kind} ${write.operation}`, write]));
  return [...unique.keys()].sort().flatMap((key) => unique.get(key) ?? []);
}

function writesOf(resource: string, group: string, verbs: readonly string[]): readonly Write[] {
  const kind = group === '' ? resource : `${resource}.${group}`;
  if (group === '' && connecters.has(resource)) return [{ operation: 'CONNECT', kind }];
  return verbs.flatMap((verb) => {
    const operation = operationOf[verb];
    return operation === undefined ? [] : [{ operation, kind }];
  });
}
