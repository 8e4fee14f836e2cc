// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes events.k8s.io/v1 Events about objects, without ever delaying the work itself.

import { type Clock, systemClock } from '../time/clock.ts';
import { formatMicroTime } from './microtime.ts';
import type { KubeObject } from './objects.ts';
import type { ResourceClient } from './resource-client.ts';

/** An object as an Event names it. */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface KubeEvent extends KubeObject {
  readonly eventTime: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly action: string;
  readonly reason: string;
  readonly note: string;
  readonly type: 'Normal' | 'Warning';
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference;
}

export interface NewEvent {
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference;
  readonly type: KubeEvent['type'];
  /** What was done, CamelCase. */
  readonly action: string;
  /** Why, CamelCase. */
  readonly reason: string;
  /** One sentence; cut at 1 kB. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly events: Pick<ResourceClient<KubeEvent>, 'create'>;
  /** A qualified name: `stepup.dev/operator`. */
  readonly controller: string;
  /** The process: a pod's name. */
  readonly instance: string;
  /**
   * Where events about cluster-scoped objects go, default `default`. The API server accepts `default` and `kube-system`
   * only (`ValidateEventCreate`).
   */
  readonly clusterScopedNamespace?: 'default' | 'kube-system';
  readonly onError?: (error: unknown) => void;
  readonly clock?: Clock;
}

const repeatMs = 10 * 60_000;
const mostNoteBytes = 1024;
const mostWaiting = 256;
const mostRemembered = 4096;
const concurrency = 2;

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #waiting: NewEvent[] = [];
  /** When each event was last emitted, the oldest first. */
  readonly #emittedAtMs = new Map<string, number>();
  #active = 0;
  #written = 0;
  #failed = 0;
  #dropped = 0;
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Events written, refused by the API server, and dropped because too many were waiting. */
  get counts(): { readonly written: number; readonly failed: number; readonly dropped: number } {
    return { written: this.#written, failed: this.#failed, dropped: this.#dropped };
  }

  /** Writes the event some time later, unless the same was emitted within 10 minutes. Never throws, never waits. */
  emit(event: NewEvent): void {
    // Before it is remembered: a dropped event may be emitted again.
    if (this.#waiting.length >= mostWaiting) {
      this.#dropped += 1;
      return;
    }
    if (this.#isRepeat(event)) return;
    this.#waiting.push(event);
    this.#pump();
  }

  #isRepeat(event: NewEvent): boolean {
    const { regarding, related, type, action, reason, note } = event;
    const id = regarding.uid ?? `${regarding.kind} ${regarding.namespace ?? ''}/${regarding.name}`;
    const key = JSON.stringify([id, related?.uid ?? related?.name, type, action, reason, note]);
    const nowMs = this.#clock.monotonicMs();
    const lastMs = this.#emittedAtMs.get(key);
    if (lastMs !== undefined && nowMs - lastMs < repeatMs) return true;
    // Deleted first so that the order of the Map stays that of emission.
    this.#emittedAtMs.delete(key);
    this.#emittedAtMs.set(key, nowMs);
    for (const [oldest, emittedAtMs] of this.#emittedAtMs) {
      if (this.#emittedAtMs.size <= mostRemembered && nowMs - emittedAtMs < repeatMs) break;
      this.#emittedAtMs.delete(oldest);
    }
    return false;
  }

  #pump(): void {
    while (this.#active < concurrency) {
      const event = this.#waiting.shift();
      if (event === undefined) return;
      this.#active += 1;
      // It catches what writing throws.
      void this.#write(event);
    }
  }

  /** Grows with each call, also within one millisecond. */
  #position(): string {
    this.#sequence = (this.#sequence + 1) % 0x1000;
    return `${this.#clock.now().getTime().toString(16)}${this.#sequence.toString(16).padStart(3, '0')}`;
  }

  async #write(event: NewEvent): Promise<void> {
    const { events, controller, instance, clusterScopedNamespace = 'default', onError } = this.#options;
    try {
      await events.create({
        metadata: {
          namespace: event.regarding.namespace ?? clusterScopedNamespace,
          // Not the object's name: that of a Role, say, need not be a valid name of an Event. kubectl describe sorts by an
          // instant that Events of this version cannot have, so by name: the earlier one has the smaller name.
          generateName: `${event.regarding.kind.toLowerCase()}-${this.#position()}-`,
        },
        eventTime: formatMicroTime(this.#clock.now()),
        reportingController: controller,
        reportingInstance: instance,
        ...event,
        note: cutToBytes(event.note, mostNoteBytes),
      });
      this.#written += 1;
    } catch (error) {
      this.#failed += 1;
      onError?.(error);
    } finally {
      this.#active -= 1;
      this.#pump();
    }
  }
}

/** Cuts between characters, since the API server counts bytes. */
export function cutToBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const ellipsis = '…';
  const bytes = Buffer.from(text);
  let end = maxBytes - Buffer.byteLength(ellipsis);
  // A byte of the form 10xxxxxx continues the character before it.
  while ((bytes[end]! & 0xc0) === 0x80) {
    end -= 1;
  }
  return `${bytes.subarray(0, end).toString('utf8')}${ellipsis}`;
}
