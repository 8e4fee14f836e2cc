// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Calls of the webhook: what each was told so far is its whole state. Equal calls are one, and each runs once.
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../../src/api/kinds.ts';
import type { AdmissionRequest } from '../../../src/domain/model/request.ts';
import type { JsonObject } from '../../../src/lib/json.ts';
import { approvalOf } from '../../support/seals.ts';
import { versions } from './approval-storage.ts';
import { Interner } from './interner.ts';
import { replay } from './webhook-replay.ts';

/** What the call was told, and what the clock of its replica said then. */
export type CallEvent = { readonly seconds: number; readonly known?: StepUpApproval } & (
  | {
      readonly kind: 'Asked';
      readonly approvals: readonly StepUpApproval[];
      readonly words: number;
      /** What was stored then, for promises alone: the call is not told. */
      readonly storedWords: number;
    }
  | { readonly kind: 'Target'; readonly object: JsonObject }
  | {
      readonly kind: 'Approvals';
      readonly approvals: readonly StepUpApproval[];
      /** What the replica knew when it asked; known: when it was answered. */
      readonly knownBefore?: StepUpApproval;
    }
  | { readonly kind: 'Words'; readonly words: number }
  | { readonly kind: 'Written' }
  | { readonly kind: 'Conflict' }
);

export interface Call {
  /** The same for calls that can only go on in the same way. */
  readonly id: number;
  readonly review: AdmissionRequest;
  readonly replica: number;
  /** How far the clock of its replica is off, in instants of the scenario. */
  readonly skew: number;
  readonly events: readonly CallEvent[];
}

/** What the call waits for, or what it has come to. */
export type Turn =
  | { readonly kind: 'ReadTarget' }
  | { readonly kind: 'ReadApprovals' }
  | { readonly kind: 'ReadWords' }
  | { readonly kind: 'Reserve'; readonly written: StepUpApproval }
  | { readonly kind: 'Allowed'; readonly reason: 'Reserved' | 'Readmitted'; readonly use: number }
  | { readonly kind: 'NotGoverned' }
  | { readonly kind: 'Denied'; readonly reason: string };

export interface WebhookSetting {
  readonly policy: StepUpPolicy;
  readonly words: readonly StepUpDecision[];
  readonly approval: StepUpApproval;
  readonly instants: readonly number[];
}

export class WebhookCalls {
  readonly #setting: WebhookSetting;
  readonly #reviews = new Interner<AdmissionRequest>();
  /** Calls that are equal are one, so that each runs once. */
  readonly #calls = new Map<string, Call>();
  readonly #turns = new Map<Call, Turn>();
  readonly #shortened = new Map<Call, Call>();

  constructor(setting: WebhookSetting) {
    this.#setting = setting;
  }

  begin(by: Pick<Call, 'review' | 'replica' | 'skew'>, asked: CallEvent): Call {
    const key = `new ${this.#reviews.idOf(by.review)} ${by.replica} ${by.skew}`;
    return this.#same(key, { ...by, events: [] }, asked);
  }

  told(call: Call, event: CallEvent): Call {
    return this.#same(`${call.id}`, call, event);
  }

  async turnOf(call: Call): Promise<Turn> {
    const known = this.#turns.get(call);
    if (known !== undefined) return known;
    const turn = await replay(call, this.#setting);
    this.#turns.set(call, turn);
    return turn;
  }

  /**
   * The same call with a shorter past. A call that waits for a live read has no use for what it saw before it; only how
   * often its swaps have lost still counts. Where the shorter past leads elsewhere, the call is left as it is.
   */
  async forgetting(call: Call): Promise<Call> {
    if ((await this.turnOf(call)).kind !== 'ReadApprovals') return call;
    const known = this.#shortened.get(call);
    if (known !== undefined) return known;
    const shorter = this.#shorter(call);
    const same = (await this.turnOf(shorter)).kind === 'ReadApprovals' ? shorter : call;
    this.#shortened.set(call, same);
    return same;
  }

  #shorter(given: Call): Call {
    const { events } = given;
    const { approval, instants } = this.#setting;
    const seconds = instants[0] ?? 0;
    const losses = events.filter(({ kind }) => kind === 'Conflict').length;
    const lost: CallEvent = { kind: 'Conflict', seconds };
    const lostAgain: readonly CallEvent[] = [
      { kind: 'Approvals', approvals: [approval], seconds },
      { kind: 'Words', words: 1, seconds },
      lost,
    ];
    const told = [
      ...events.filter(({ kind }) => kind === 'Target'),
      ...Array.from({ length: losses }, (_, before) => (before === 0 ? [lost] : lostAgain)).flat(),
      ...(events.at(-1)?.kind === 'Words' ? events.slice(-2) : []),
    ];
    const approvals = losses === 0 ? [] : [approval];
    return told.reduce(
      (call, event) => this.told(call, event),
      this.begin(given, { kind: 'Asked', approvals, words: 1, storedWords: storedWordsAt(given), seconds }),
    );
  }

  #same(before: string, { review, replica, skew, events }: Omit<Call, 'id'>, event: CallEvent): Call {
    const key = `${before} ${textOf(event)}`;
    const known = this.#calls.get(key);
    if (known !== undefined) return known;
    const made: Call = { id: this.#calls.size, review, replica, skew, events: [...events, event] };
    this.#calls.set(key, made);
    return made;
  }
}

function textOf(event: CallEvent): string {
  const { kind, seconds } = event;
  const approvals = 'approvals' in event ? event.approvals.map((approval) => versions.idOf(approval)).join(',') : '';
  const words = 'words' in event ? event.words : '';
  const storedWords = event.kind === 'Asked' ? event.storedWords : '';
  const object = 'object' in event ? JSON.stringify(event.object) : '';
  const known = event.known === undefined ? '' : `k${versions.idOf(event.known)}`;
  const before = event.kind === 'Approvals' && event.knownBefore ? `b${versions.idOf(event.knownBefore)}` : '';
  return `${kind}${approvals}/${words}/${storedWords}/${object}@${seconds}${known}${before}`;
}

/** How many decisions were stored when the call began. */
export function storedWordsAt({ events: [asked] }: Call): number {
  return asked?.kind === 'Asked' ? asked.storedWords : 0;
}

/** The last view that a call decided on, for promises about what was visible. */
export function lastViewOf({ events }: Call) {
  const seen = events.findLast(({ kind }) => kind === 'Approvals' || kind === 'Asked');
  const heard = events.findLast(({ kind }) => kind === 'Words' || kind === 'Asked');
  const approval = seen?.kind === 'Approvals' || seen?.kind === 'Asked' ? seen.approvals.at(-1) : undefined;
  return {
    ...(approval === undefined ? {} : { approval: approvalOf(approval) }),
    words: heard?.kind === 'Words' || heard?.kind === 'Asked' ? heard.words : 0,
    // What is decided in time may be written later.
    seconds: events.findLast(({ kind }) => kind !== 'Written')?.seconds ?? 0,
  };
}
