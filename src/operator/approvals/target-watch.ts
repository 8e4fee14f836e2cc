// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Watches the targets of reserved approvals until it is known whether each admitted write happened.

import { openUseOf } from '../../domain/lifecycle/reservation.ts';
import { isConclusive, settle } from '../../domain/lifecycle/settle.ts';
import type { Approval, ApprovalAction, Use } from '../../domain/model/approval.ts';
import type { Seen } from '../../domain/model/seen.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { Discovery } from '../../kube/objects/discovery.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ObjectKey } from '../../kube/objects/resource.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import type { Json } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { followTarget, lookAt } from './target-follower.ts';

export interface TargetWatchOptions {
  readonly rest: RestClient;
  readonly discovery: () => Discovery;
  /** What may be looked at, as `resource.group`, or `resource` for the core group. */
  readonly settleResources: readonly string[];
  /** Something new was seen of the target of this approval. */
  readonly onSeen: (approval: ObjectKey) => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Followed {
  readonly useIndex: number;
  readonly stop: AbortController;
  /** Undefined until it was looked at for the first time. */
  seen: Seen | undefined;
}

type Client = ResourceClient<KubeObject>;

const nothing: Seen = { kind: 'Nothing' };
const graceMs = 300;

export class TargetWatch {
  readonly #options: TargetWatchOptions;
  readonly #readable: ReadonlySet<string>;
  readonly #signal: AbortSignal;
  /** By the approval's UID. */
  readonly #followed = new Map<string, Followed>();

  constructor(options: TargetWatchOptions, signal: AbortSignal) {
    this.#options = options;
    this.#readable = new Set(options.settleResources);
    this.#signal = signal;
  }

  get size(): number {
    return this.#followed.size;
  }

  /** What tells most of the target of the approval's open use so far; undefined while nobody has looked yet. */
  see(approval: Approval): Seen | undefined {
    const open = openUseOf(approval);
    const client = open === undefined ? undefined : this.#clientFor(approval, open.use);
    if (open === undefined || client === undefined) {
      this.forget(approval.metadata.uid);
      return nothing;
    }
    const known = this.#followed.get(approval.metadata.uid);
    if (known?.useIndex === open.index) return known.seen;
    known?.stop.abort();
    this.#follow(approval, open, client);
    return undefined;
  }

  /** One more look, for when time would otherwise say that nothing happened. */
  async confirm(approval: Approval): Promise<Seen> {
    const open = openUseOf(approval);
    const client = open === undefined ? undefined : this.#clientFor(approval, open.use);
    const followed = this.#followed.get(approval.metadata.uid);
    if (open === undefined || client === undefined || followed === undefined) return nothing;
    const { seen } = await lookAt({ client, target: targetOf(approval) }, this.#signal);
    if (settle(open.use, seen) !== 'Stands') {
      // The watch tells more, if it is only behind: give it a moment.
      await sleep(this.#options.clock, graceMs, this.#signal);
      this.#offer(approval, open.use, followed, seen);
    }
    return followed.seen ?? nothing;
  }

  /** The target as it is now, whether there is a use or not; nothing where it must not be looked at. Rejects as the read does. */
  async look(approval: Approval): Promise<Seen> {
    const client = this.#clientOf(approval.spec.action);
    if (client === undefined) return nothing;
    const { seen } = await lookAt({ client, target: targetOf(approval) }, this.#signal);
    return seen;
  }

  forget(uid: string): void {
    this.#followed.get(uid)?.stop.abort();
    this.#followed.delete(uid);
  }

  /** Undefined where there is nothing to look at, or it must not be looked at. */
  #clientFor({ spec: { action } }: Approval, { base }: Use): Client | undefined {
    return base.kind === 'Request' ? undefined : this.#clientOf(action);
  }

  #clientOf({ group = '', version, resource: plural, name }: ApprovalAction): Client | undefined {
    if (name.includes('*')) return undefined;
    if (!this.#readable.has(group === '' ? plural : `${plural}.${group}`)) return undefined;
    const served = this.#options.discovery().find(group, plural);
    if (served === undefined) return undefined;
    const { kind, namespaced } = served;
    return new ResourceClient(this.#options.rest, { group, version, plural, kind, namespaced });
  }

  #follow(approval: Approval, { use, index }: { readonly use: Use; readonly index: number }, client: Client): void {
    const { clock, log, onSeen } = this.#options;
    const stop = new AbortController();
    const followed: Followed = { useIndex: index, stop, seen: undefined };
    this.#followed.set(approval.metadata.uid, followed);
    const signal = AbortSignal.any([this.#signal, stop.signal]);
    const target = targetOf(approval);
    const isUpdate = use.base.kind !== 'Creation' && use.base.kind !== 'Deletion';
    const following = followTarget(
      {
        client,
        target,
        // Without the version nothing can be called the next state; an empty one would ask for all of them.
        ...(isUpdate && use.oldResourceVersion ? { after: use.oldResourceVersion } : {}),
        deletedAs: use.base.kind === 'Creation' ? 'State' : 'Absent',
        offer: (seen) => this.#offer(approval, use, followed, seen),
        clock,
      },
      signal,
    );
    void following.catch((error: unknown) => {
      if (signal.aborted) return;
      const { name, namespace } = approval.metadata;
      log.warn({ approval: name, namespace, ...errorFields(error) }, 'reading the target failed');
      followed.seen ??= nothing;
      onSeen(approval.metadata);
    });
    if (isUpdate) void this.#baseline(approval, { use, followed, client }, signal);
  }

  /** That the state reserved on still stands no watch would say; later states are the watch's to tell, in order. */
  async #baseline(
    approval: Approval,
    { use, followed, client }: { readonly use: Use; readonly followed: Followed; readonly client: Client },
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const { seen } = await lookAt({ client, target: targetOf(approval) }, signal);
      if (settle(use, seen) === 'Stands') this.#offer(approval, use, followed, seen);
    } catch {
      // The watch asks the same of the same server, and reports.
    }
  }

  /** Keeps the first that concludes, else the newest. */
  #offer(approval: Approval, use: Use, followed: Followed, seen: Seen): boolean {
    if (followed.seen !== undefined && isConclusive(settle(use, followed.seen))) return true;
    const isFirst = followed.seen === undefined;
    const settlement = settle(use, seen);
    followed.seen = settlement === 'Lost' && isRounded(seen) ? { kind: 'Absent' } : seen;
    const concludes = isConclusive(settlement);
    if (isFirst || concludes) this.#options.onSeen(approval.metadata);
    return concludes;
  }
}

/**
 * A watch reads integers beyond 2^53 as their nearest double, the webhook reads them exactly: then a state that does
 * not look like the effect proves nothing.
 */
function isRounded(seen: Seen): boolean {
  return seen.kind === 'State' && hasUnsafeInteger(seen.object);
}

function hasUnsafeInteger(value: Json | undefined): boolean {
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasUnsafeInteger);
}

function targetOf({ spec: { action } }: Approval): ObjectKey {
  const { namespace = '', name } = action;
  return { ...(namespace !== '' && { namespace }), name };
}
