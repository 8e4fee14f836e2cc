// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The types of votes, voters and their tally.
import type { SeenDecision } from '../model/approval.ts';
import type { Identity } from '../model/subject.ts';
import type { Person } from './same-person.ts';

/** A person or a delegate; or, with `engine`, a policy engine. */
export interface Voter extends Identity {
  readonly engine?: string;
}

export interface ApprovingVote {
  /** Who may sit: for a delegate's vote the delegate. */
  readonly voter: Voter;
  /** Whose vote it is: each has one. */
  readonly person: Person;
  readonly at: Date;
}

/** A counted vote: whose, and when. */
export interface CountedVote {
  readonly by: string;
  readonly at: Date;
  readonly reason?: string | undefined;
}

export interface BreakGlass {
  /** The first bypass that counts. */
  readonly bypassed?: CountedVote;
  /** The review after the last one. */
  readonly reviewed?: CountedVote;
}

export interface Tally extends BreakGlass {
  readonly required: number;
  readonly received: number;
  /** One sentence naming what is missing; empty when nothing is. */
  readonly missing: string;
  /** The instant at which the last vote that was needed came in; absent while votes are missing. */
  readonly approvedAt?: Date;
  /** The voters counted, sorted. */
  readonly voters: readonly string[];
  /** The first vote that ended the approval, if any. */
  readonly stopped?: { readonly verdict: 'Deny' | 'Revoke' | 'Withdraw'; readonly by: string; readonly at: Date };
  readonly decisions: readonly SeenDecision[];
  /** Votes that count though the requester could have given them itself, each a sentence. */
  readonly exposures: readonly string[];
  /** What bears no seal of ours, each a sentence. */
  readonly tampered: readonly string[];
  /** Engines whose approval is missing. */
  readonly missingEngines: readonly string[];
}
