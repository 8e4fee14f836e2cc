// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which kinds the API server serves, in which version and with which subresources; read again every half minute.

import { defined } from '../../lib/json.ts';
import type { RestClient } from '../http/rest.ts';
import { type Clock, sleep } from '../time/clock.ts';
import type { APIService } from './objects.ts';
import { ResourceClient } from './resource-client.ts';
import { apiServices } from './resources.ts';

export interface ServedKind {
  /** The version the API server prefers of those that serve it. */
  readonly version: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly subresources: readonly string[];
  /** The Service behind an aggregated API, whose admission is its own. */
  readonly aggregatedBy?: string;
}

export interface Discovery {
  find(group: string, resource: string): ServedKind | undefined;
}

interface GroupDiscovery {
  readonly metadata?: { readonly name?: string };
  readonly versions?: readonly {
    readonly version: string;
    readonly resources?: readonly {
      readonly resource: string;
      readonly scope?: string;
      readonly responseKind?: { readonly kind?: string };
      readonly subresources?: readonly { readonly subresource: string }[];
    }[];
  }[];
}

/** Reads aggregated discovery documents (APIGroupDiscoveryList v2). Versions come with the preferred one first. */
export function readDiscovery(groups: readonly GroupDiscovery[], services: readonly APIService[]): Discovery {
  const served = new Map<string, ServedKind>();
  const aggregated = new Map(services.flatMap(aggregationOf));
  for (const group of groups) {
    const name = group.metadata?.name ?? '';
    for (const { version, resources = [] } of group.versions ?? []) {
      for (const { resource, scope, responseKind, subresources = [] } of resources) {
        const key = `${resource}.${name}`;
        if (served.has(key)) continue;
        const aggregatedBy = aggregated.get(`${version}.${name}`);
        served.set(key, {
          version,
          kind: responseKind?.kind ?? '',
          namespaced: scope === 'Namespaced',
          subresources: subresources.map(({ subresource }) => subresource),
          ...defined({ aggregatedBy }),
        });
      }
    }
  }
  return { find: (group, resource) => served.get(`${resource}.${group}`) };
}

function aggregationOf({ spec }: APIService): readonly (readonly [string, string])[] {
  if (spec?.service === undefined || spec.service === null) return [];
  const { namespace = '', name = '' } = spec.service;
  return [[`${spec.version ?? ''}.${spec.group ?? ''}`, `${namespace}/${name}`]];
}

const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

export async function discover(rest: RestClient, signal?: AbortSignal): Promise<Discovery> {
  const ask = async (path: string) => {
    const answer = await rest.request({ method: 'GET', path, accept, signal, attempt: `discover ${path}` });
    return (answer as { readonly items?: readonly GroupDiscovery[] }).items ?? [];
  };
  const services = new ResourceClient<APIService>(rest, apiServices);
  const [core, groups, { items }] = await Promise.all([ask('/api'), ask('/apis'), services.list({ signal })]);
  return readDiscovery([...core, ...groups], items);
}

const intervalMs = 30_000;

/** Keeps the newest discovery; what it cannot read leaves the last one in place. */
export class DiscoveryPoller {
  readonly #options: DiscoveryPollerOptions;
  #current: Discovery;

  constructor(first: Discovery, options: DiscoveryPollerOptions) {
    this.#current = first;
    this.#options = options;
  }

  get current(): Discovery {
    return this.#current;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { rest, clock, onRefresh, onError } = this.#options;
    for (;;) {
      await sleep(clock, intervalMs, signal);
      if (signal.aborted) return;
      try {
        this.#current = await discover(rest, signal);
        onRefresh();
      } catch (error) {
        if (!signal.aborted) onError(error);
      }
    }
  }
}

export interface DiscoveryPollerOptions {
  readonly rest: RestClient;
  readonly clock: Clock;
  readonly onRefresh: () => void;
  readonly onError: (error: unknown) => void;
}
