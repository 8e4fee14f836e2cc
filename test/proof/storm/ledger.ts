// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps of etcd's history what a storm judges by: the states of targets, and the lives of approvals to explain them.
import type { Revision } from '../../support/control-plane/etcd-history.ts';
import type { State } from './judge.ts';

/** The object as stored, narrowed to what is read of it. */
export interface Stored {
  readonly metadata: {
    readonly uid: string;
    readonly managedFields?: readonly { readonly manager?: string }[];
  };
  readonly spec?: {
    readonly replicas?: number;
    readonly selector?: { readonly version?: string };
    readonly template?: { readonly spec?: { readonly containers?: readonly { readonly image?: string }[] } };
  };
  readonly status?: {
    readonly phase?: string;
    readonly evidence?: string;
    readonly uses?: readonly unknown[];
    readonly releases?: readonly unknown[];
  };
}

/** One revision of an approval. */
export interface Life {
  readonly at: number;
  readonly phase: string;
  readonly evidence: string;
  readonly uses: number;
  readonly releases: number;
}

interface Followed {
  readonly contentOf: (stored: Stored) => string;
  readonly states: State[];
}

export class Ledger {
  readonly #targets = new Map<string, Followed>();
  readonly #approvals = new Map<string, Life[]>();
  readonly #listeners = new Set<() => void>();

  /** Keeps the states of a target from now on: it is not there yet. */
  follow(key: string, contentOf: (stored: Stored) => string): void {
    this.#targets.set(key, { contentOf, states: [] });
  }

  statesOf(keys: readonly string[]): readonly State[] {
    return keys.flatMap((key) => this.#targets.get(key)?.states ?? []);
  }

  /** By "namespace/name". The lives of those of the round under way are kept, and nobody else's. */
  livesOf(approval: string): readonly Life[] {
    return this.#approvals.get(approval) ?? [];
  }

  forgetApprovals(): void {
    this.#approvals.clear();
  }

  tell({ key, at, kind, isCreation, value }: Revision): void {
    const target = this.#targets.get(key);
    if (target !== undefined) {
      const stored = value === '' ? undefined : (JSON.parse(value) as Stored);
      const managers = (stored?.metadata.managedFields ?? []).map(({ manager = '' }) => manager);
      target.states.push({
        ...{ key, at, kind, isCreation, managers },
        uid: stored?.metadata.uid ?? '',
        content: stored === undefined ? '' : target.contentOf(stored),
      });
    }
    if (key.startsWith(approvals) && kind === 'Written') {
      const { status } = JSON.parse(value) as Stored;
      const name = key.slice(approvals.length);
      const lives = this.#approvals.get(name) ?? [];
      this.#approvals.set(name, lives);
      lives.push({
        at,
        phase: status?.phase ?? '',
        evidence: status?.evidence ?? '',
        uses: status?.uses?.length ?? 0,
        releases: status?.releases?.length ?? 0,
      });
    }
    for (const listener of this.#listeners) listener();
  }

  /** Resolves as soon as it holds, with true; with false when the signal aborts before. */
  until(holds: () => boolean, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (value: boolean) => {
        this.#listeners.delete(listener);
        signal.removeEventListener('abort', stop);
        resolve(value);
      };
      const listener = () => {
        if (holds()) settle(true);
      };
      const stop = () => settle(false);
      signal.addEventListener('abort', stop);
      this.#listeners.add(listener);
      if (signal.aborted) stop();
      else listener();
    });
  }
}

const approvals = '/registry/stepup.dev/stepupapprovals/';
