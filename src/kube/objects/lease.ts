// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Leader election by one Lease: which replica runs the operator.

import { isAlreadyExists, isConflict, isNotFound, unlessNotFound } from '../http/api-error.ts';
import { type Clock, sleep, systemClock } from '../time/clock.ts';
import { formatMicroTime } from './microtime.ts';
import type { KubeObject } from './objects.ts';
import type { ObjectKey } from './resource.ts';
import type { ResourceClient } from './resource-client.ts';

export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export interface LeaderElectorOptions {
  readonly leases: Pick<ResourceClient<Lease>, 'get' | 'create' | 'replace'>;
  readonly lease: ObjectKey;
  /** Unique for each process, also after a restart. */
  readonly identity: string;
  /** How long others wait after the last renewal they saw, default 15 s; whole seconds. */
  readonly leaseDurationSeconds?: number;
  /** How long the leader goes on without a successful renewal, default 10 s: the rest is its time to stop. */
  readonly renewDeadlineMs?: number;
  /** Between two attempts, default 2 s. */
  readonly retryPeriodMs?: number;
  /** Attempts that failed other than by losing to another replica. */
  readonly onError?: (error: unknown) => void;
  readonly clock?: Clock;
}

const callDeadlineMs = 5_000;

export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #clock: Clock;
  readonly #durationSeconds: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  /** The Lease as last read or written. */
  #lease: Lease | undefined;
  /** When we first saw that version of it, by our own clock: the clocks of other replicas are never compared. */
  #observedAtMs = 0;
  #leading = false;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#durationSeconds = options.leaseDurationSeconds ?? 15;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2_000;
    if (this.#renewDeadlineMs >= this.#durationSeconds * 1000 || this.#retryPeriodMs >= this.#renewDeadlineMs) {
      throw new RangeError('leader election needs retryPeriodMs < renewDeadlineMs < leaseDurationSeconds');
    }
  }

  get isLeader(): boolean {
    return this.#leading;
  }

  /** Who holds the Lease, as far as we know. */
  get holder(): string | undefined {
    return this.#lease?.spec?.holderIdentity || undefined;
  }

  /**
   * Calls `lead` whenever we become leader, one call at a time. Its signal aborts before anyone else can take the Lease;
   * it must then settle within `leaseDurationSeconds` minus `renewDeadlineMs`. When the outer signal aborts, the Lease is
   * released once `lead` has settled, so that another replica takes over at once. Resolves when the outer signal has
   * aborted or `lead` returned by itself; rejects, after a release, only with what `lead` rejects with.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      const heldFromMs = await this.#acquire();
      if (heldFromMs === undefined) {
        await this.#pause(signal);
        continue;
      }
      if (await this.#hold(heldFromMs, signal, lead)) return;
    }
  }

  /** Leads until the Lease is lost, the outer signal aborts or `lead` settles by itself: only then it returns true. */
  async #hold(heldFromMs: number, signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    const term = new AbortController();
    const end = (): void => term.abort();
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    this.#leading = !signal.aborted;
    const renewing = this.#renewUntil(heldFromMs, term);
    try {
      if (this.#leading) await lead(term.signal);
      return !term.signal.aborted;
    } finally {
      end();
      signal.removeEventListener('abort', end);
      this.#leading = false;
      if (await renewing) await this.#release();
    }
  }

  /** Renews until the term ends; ends it when renewing fails for too long. Tells whether the Lease is still ours. */
  async #renewUntil(heldFromMs: number, term: AbortController): Promise<boolean> {
    let renewedAtMs = heldFromMs;
    const cancel = { deadline: () => {} };
    const rearm = (): void => {
      cancel.deadline();
      const leftMs = renewedAtMs + this.#renewDeadlineMs - this.#clock.monotonicMs();
      // A timer of its own: a renewal that hangs must not delay stepping down.
      cancel.deadline = this.#clock.after(leftMs, () => term.abort());
    };
    rearm();
    try {
      for (;;) {
        await sleep(this.#clock, this.#retryPeriodMs, term.signal);
        if (term.signal.aborted) return this.#isOurs();
        const atMs = await this.#acquire();
        if (atMs !== undefined) {
          renewedAtMs = atMs;
          rearm();
        } else if (!this.#isOurs()) {
          term.abort();
        }
      }
    } finally {
      cancel.deadline();
    }
  }

  /**
   * Takes or renews the Lease. Returns the monotonic instant just before it was asked for, from which the hold counts;
   * undefined when another holds it or the attempt failed.
   */
  async #acquire(): Promise<number | undefined> {
    try {
      const current = this.#isOurs() ? this.#lease : await this.#read();
      if (current !== undefined && !this.#isFree(current)) return undefined;
      const askedAtMs = this.#clock.monotonicMs();
      await this.#write(current);
      return askedAtMs;
    } catch (error) {
      await this.#afterFailure(error);
      return undefined;
    }
  }

  async #afterFailure(error: unknown): Promise<void> {
    if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) {
      this.#options.onError?.(error);
      return;
    }
    // The Lease is another than we thought: taken, deleted, only labelled, or written by us with the answer lost.
    await this.#read().catch((readError: unknown) => this.#options.onError?.(readError));
  }

  async #read(): Promise<Lease | undefined> {
    const { leases, lease } = this.#options;
    const found = await unlessNotFound(leases.get(lease, { deadlineMs: callDeadlineMs }));
    if (found !== undefined) return this.#observe(found);
    this.#lease = undefined;
    return undefined;
  }

  async #write(current: Lease | undefined): Promise<void> {
    const { leases, lease, identity } = this.#options;
    const now = formatMicroTime(this.#clock.now());
    const before = current?.spec;
    const renewing = before?.holderIdentity === identity;
    const spec: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: this.#durationSeconds,
      acquireTime: renewing ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before?.leaseTransitions ?? 0) + (renewing || current === undefined ? 0 : 1),
    };
    const options = { deadlineMs: callDeadlineMs };
    this.#observe(
      current === undefined
        ? await leases.create({ metadata: lease, spec }, options)
        : await leases.replace({ ...current, spec }, options),
    );
  }

  /** `leaseDurationSeconds: 0` is refused, so a released Lease says 1; without a holder it is free at once. */
  async #release(): Promise<void> {
    const current = this.#lease;
    if (current === undefined) return;
    const now = formatMicroTime(this.#clock.now());
    const spec: LeaseSpec = { ...current.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now };
    try {
      this.#observe(await this.#options.leases.replace({ ...current, spec }, { deadlineMs: callDeadlineMs }));
    } catch (error) {
      this.#lease = undefined;
      if (!isConflict(error) && !isNotFound(error)) this.#options.onError?.(error);
    }
  }

  #observe(lease: Lease): Lease {
    if (lease.metadata.resourceVersion !== this.#lease?.metadata.resourceVersion) {
      this.#observedAtMs = this.#clock.monotonicMs();
    }
    this.#lease = lease;
    return lease;
  }

  #isOurs(): boolean {
    return this.#lease?.spec?.holderIdentity === this.#options.identity;
  }

  #isFree({ spec }: Lease): boolean {
    const holder = spec?.holderIdentity ?? '';
    if (holder === '' || holder === this.#options.identity) return true;
    const durationMs = (spec?.leaseDurationSeconds ?? this.#durationSeconds) * 1000;
    return this.#clock.monotonicMs() - this.#observedAtMs >= durationMs;
  }

  /** Jitter keeps the replicas from asking in step. */
  #pause(signal: AbortSignal): Promise<void> {
    return sleep(this.#clock, this.#retryPeriodMs * (1 + 0.2 * this.#clock.random()), signal);
  }
}
