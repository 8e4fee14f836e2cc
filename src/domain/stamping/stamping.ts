// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What admission does with an approval or vote that somebody creates: it stamps or rejects it.
import type { JsonObject } from '../../lib/json.ts';
import type { Tally } from '../votes/vote.ts';

/** What becomes of an object that somebody creates. */
export type Stamping =
  | {
      readonly kind: 'Stamped';
      /** The whole spec to store. */
      readonly spec: JsonObject;
      /** Labels to set; others stay. */
      readonly labels: Readonly<Record<string, string>>;
      /** The object to be owned by, with which this one goes. */
      readonly owner?: { readonly name: string; readonly uid: string };
      readonly warnings: readonly string[];
    }
  /** message: one sentence, without full stop. */
  | { readonly kind: 'Refused'; readonly message: string };

export function refused(message: string): Stamping {
  return { kind: 'Refused', message };
}

export function missingWarning(votes: Pick<Tally, 'required' | 'received' | 'missing'>): readonly string[] {
  if (votes.missing === '') return [];
  const { required, received, missing } = votes;
  const approvals = required === 1 ? 'approval' : 'approvals';
  return [`stepup: ${received} of ${required} ${approvals} so far; ${missing} missing`.slice(0, 250)];
}
