// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which authorities the API server trusts when it calls stepup: the bundles in stepup's webhook configurations.
import type { X509Certificate } from 'node:crypto';
import { configurationPrefix, managedLabel } from '../domain/model/labels.ts';
import type { KubeObject } from '../kube/objects/objects.ts';
import type { Clock } from '../kube/time/clock.ts';
import { type ListWatch, Reflector } from '../kube/watch/reflector.ts';
import { decodeBase64 } from '../lib/base64.ts';
import { certificatesIn } from '../lib/certificate-chain.ts';

export interface CallingConfiguration extends KubeObject {
  readonly webhooks?: readonly {
    readonly clientConfig: {
      readonly service?: { readonly namespace: string; readonly name: string };
      readonly caBundle?: string;
    };
  }[];
}

export interface RegisteredBundle {
  readonly authorities: readonly X509Certificate[];
  /** How many configurations carry it. */
  readonly count: number;
}

export interface RegisteredBundles {
  readonly hasSynced: boolean;
  /** Each bundle that is registered, once. */
  bundles(): readonly RegisteredBundle[];
  /** The monotonic instant since which they are what they are, as far as this process knows. */
  readonly unchangedSinceMs: number;
  onChange(handler: () => void): void;
  /** Resolves when the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export interface FollowBundlesOptions {
  /** The validating and the mutating configurations. */
  readonly sources: readonly ListWatch<CallingConfiguration>[];
  /** Whose callers are meant. */
  readonly service: { readonly namespace: string; readonly name: string };
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

/** Follows the configurations of ours that call the Service. Of others nothing is kept. */
export function followRegisteredBundles({ sources, service, clock, onError }: FollowBundlesOptions): RegisteredBundles {
  let known: readonly RegisteredBundle[] = [];
  let text = '';
  let unchangedSinceMs = clock.monotonicMs();
  const handlers: (() => void)[] = [];
  const isCall = ({ clientConfig }: NonNullable<CallingConfiguration['webhooks']>[number]) =>
    clientConfig.service?.namespace === service.namespace && clientConfig.service.name === service.name;
  const reflectors = sources.map(
    (source) =>
      new Reflector<CallingConfiguration>({
        source,
        labelSelector: `${managedLabel}=true`,
        clock,
        onError,
        transform: ({ apiVersion, kind, metadata, webhooks = [] }) => ({
          apiVersion,
          kind,
          metadata,
          webhooks: metadata.name.startsWith(configurationPrefix)
            ? webhooks.filter(isCall).map(({ clientConfig }) => ({ clientConfig }))
            : [],
        }),
      }),
  );
  const read = () => {
    const counts = new Map<string, number>();
    for (const { metadata: _, webhooks = [] } of reflectors.flatMap(({ objects }) => [...objects.values()])) {
      for (const bundle of new Set(webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? ''))) {
        counts.set(bundle, (counts.get(bundle) ?? 0) + 1);
      }
    }
    const nowText = [...counts.keys()].sort().join();
    if (nowText !== text) unchangedSinceMs = clock.monotonicMs();
    text = nowText;
    known = [...counts].map(([bundle, count]) => ({
      authorities: certificatesIn(decodeBase64(bundle)),
      count,
    }));
    for (const handler of handlers) handler();
  };
  for (const reflector of reflectors) reflector.onChange(read);
  return {
    get hasSynced() {
      return reflectors.every((reflector) => reflector.hasSynced);
    },
    bundles: () => known,
    get unchangedSinceMs() {
      return unchangedSinceMs;
    },
    onChange: (handler) => handlers.push(handler),
    run: async (signal) => {
      await Promise.all(reflectors.map((reflector) => reflector.run(signal)));
    },
  };
}
