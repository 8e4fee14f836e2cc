// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Turns Services that select our pods into ExternalName Services of a loopback balancer, and keeps them so.

import type { AdminClient } from '../control-plane/admin-client.ts';
import type { AddressRange } from './addresses.ts';
import { type Balancer, startBalancer, type Target } from './balancer.ts';
import { persistently } from './persistently.ts';
import { type Pod, resolvePort, type Service } from './pod.ts';

/** A pod as the balancer sees it. */
interface Backend {
  readonly pod: Pod;
  readonly ip: string;
  readonly isReady: boolean;
}

export interface ServiceTable {
  changed(service: Service): void;
  deleted(service: Service): void;
  /** A pod came: it may be the first one that a Service selects. */
  podAdded(): void;
  close(): void;
}

export interface ServiceTableParts {
  readonly admin: AdminClient;
  readonly addresses: AddressRange;
  /** For the first Service that is served; the others get addresses of the range. */
  readonly firstAddress: string | undefined;
  readonly backends: () => readonly Backend[];
}

interface Served {
  readonly address: string;
  readonly release: () => void;
  readonly balancers: Map<number, Promise<Balancer>>;
}

export function createServiceTable({ admin, addresses, firstAddress, backends }: ServiceTableParts): ServiceTable {
  const known = new Map<string, Service>();
  const served = new Map<string, Served>();
  let reserved = firstAddress;

  const takeAddress = () => {
    if (reserved) {
      const address = reserved;
      reserved = undefined;
      return { address, release: () => {} };
    }
    const { number, address } = addresses.take();
    return { address, release: () => addresses.release(number) };
  };

  const targets = (uid: string, port: number): readonly Target[] => {
    const service = known.get(uid);
    const wanted = service?.spec.ports?.find((candidate) => candidate.port === port);
    if (!service || !wanted) return [];
    return backends().flatMap(({ pod, ip, isReady }) => {
      const targetPort = resolvePort(wanted.targetPort ?? port, pod.spec.containers);
      return isReady && targetPort !== undefined && selects(service, pod) ? [{ host: ip, port: targetPort }] : [];
    });
  };

  const serve = (service: Service) => {
    const uid = service.metadata.uid ?? '';
    // One without an address stands for its pods' own: nobody routes it.
    if (service.spec.clusterIP === 'None') return;
    // Once served, always served: scaled to zero its address refuses, it does not go back to an address nobody routes.
    if (!served.has(uid) && !backends().some(({ pod }) => selects(service, pod))) return;
    const entry = served.get(uid) ?? { ...takeAddress(), balancers: new Map<number, Promise<Balancer>>() };
    served.set(uid, entry);
    for (const { port } of service.spec.ports ?? []) {
      if (entry.balancers.has(port)) continue;
      entry.balancers.set(
        port,
        startBalancer({ host: entry.address, port }, () => targets(uid, port)),
      );
    }
    void redirect(admin, service, entry.address);
  };

  return {
    changed: (service) => {
      known.set(service.metadata.uid ?? '', service);
      serve(service);
    },
    deleted: ({ metadata: { uid = '' } }) => {
      known.delete(uid);
      const entry = served.get(uid);
      served.delete(uid);
      if (entry) closeServed(entry);
    },
    podAdded: () => {
      for (const service of known.values()) serve(service);
    },
    close: () => {
      for (const entry of served.values()) closeServed(entry);
    },
  };
}

function closeServed({ balancers, release }: Served): void {
  for (const balancer of balancers.values()) void balancer.then((listening) => listening.close());
  release();
}

function selects({ metadata, spec }: Service, pod: Pod): boolean {
  const selector = Object.entries(spec.selector ?? {});
  const isSameNamespace = metadata.namespace === pod.metadata.namespace;
  return (
    isSameNamespace && selector.length > 0 && selector.every(([key, value]) => pod.metadata.labels?.[key] === value)
  );
}

async function redirect(admin: AdminClient, { metadata, spec }: Service, address: string): Promise<void> {
  if (spec.type === 'ExternalName' && spec.externalName === address) return;
  const path = `/api/v1/namespaces/${metadata.namespace}/services/${metadata.name}`;
  await persistently(`redirect service ${metadata.namespace}/${metadata.name}`, () =>
    admin.patch(path, {
      metadata: { uid: metadata.uid },
      // The selector stays: nobody acts on it in this type, and an upgrade finds it unchanged.
      spec: { type: 'ExternalName', externalName: address, clusterIP: null, clusterIPs: null },
    }),
  );
}
