// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One call of the webhook by the real code of src/webhook, stopped at everything it asks of the API server. What it was
// answered so far is its whole state: to go on, it runs again from the start on the recorded answers.
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../src/api/kinds.ts';
import { approvalOf, policyOf } from '../../src/api/kinds.ts';
import { attemptOf } from '../../src/domain/attempt.ts';
import { describe } from '../../src/domain/describe.ts';
import type { JsonObject } from '../../src/domain/json.ts';
import type { AdmissionRequest } from '../../src/domain/request.ts';
import { openUseOf } from '../../src/domain/reservation.ts';
import { ApiError } from '../../src/kube/api-error.ts';
import type { Clock } from '../../src/kube/clock.ts';
import { ObjectStore } from '../../src/kube/object-store.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { Consumption } from '../../src/webhook/consumption.ts';
import { FirstTries } from '../../src/webhook/first-tries.ts';
import type { Verdict } from '../../src/webhook/gate-answer.ts';
import { needsLiveTarget, readLiveTarget } from '../../src/webhook/live-target.ts';
import { LiveViews } from '../../src/webhook/live-view.ts';
import { UseMemory } from '../../src/webhook/use-memory.ts';
import { at } from '../domain/builders.ts';
import { versions } from './approval-storage.ts';
import { Interner } from './interner.ts';

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

const ownNamespace = 'stepup-system';
const neverAborted = new AbortController().signal;
/** As in the gate. */
const innerDeadlineMs = 3_000;
/** So long a live read takes here: a call waits for a reservation to be settled over two of them. */
const liveReadMs = 2_000;

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

async function replay(
  { review, events }: Call,
  { policy, words }: Pick<WebhookSetting, 'policy' | 'words'>,
): Promise<Turn> {
  const stopped = Promise.withResolvers<Turn>();
  let position = 0;
  let seconds = 0;
  let monotonicMs = 0;
  const memory = new UseMemory();
  /** What other calls of the replica have noted by then; what came up during a live read, as after its beginning. */
  const remember = (event: CallEvent) => {
    const note = (approval: StepUpApproval | undefined, atMs: number) =>
      approval && memory.note(approvalOf(approval), { now: at(event.seconds), monotonicMs: atMs });
    if (event.kind === 'Approvals') note(event.knownBefore, monotonicMs - 1);
    note(event.known, event.kind === 'Approvals' ? monotonicMs + 1 : monotonicMs - 1);
  };
  /** What was answered to this question the last time; the first question that was not answered ends the run. */
  const ask = async <K extends CallEvent['kind']>(turn: Turn, ...kinds: readonly K[]) => {
    const event = events[position++];
    if (event === undefined) {
      stopped.resolve(turn);
      return new Promise<never>(() => {});
    }
    if (!kinds.some((kind) => kind === event.kind)) throw new Error(`asked ${turn.kind}, was told ${event.kind}`);
    seconds = event.seconds;
    remember(event);
    if (event.kind === 'Approvals') monotonicMs += liveReadMs;
    return event as Extract<CallEvent, { kind: K }>;
  };
  const clock: Clock = {
    now: () => at(seconds),
    monotonicMs: () => monotonicMs,
    random: () => 0,
    after: () => () => {},
  };
  const [asked] = events;
  if (asked?.kind !== 'Asked') throw new Error('a call begins by being asked');
  position = 1;
  seconds = asked.seconds;
  remember(asked);

  const list = async <T>(items: readonly T[]) => ({ metadata: { resourceVersion: '' }, items });
  const liveViews = new LiveViews(
    {
      approvals: {
        list: async ({ namespace } = {}) =>
          namespace === ownNamespace
            ? list<StepUpApproval>([])
            : list((await ask({ kind: 'ReadApprovals' }, 'Approvals')).approvals),
      },
      decisions: {
        list: async () => list(words.slice(0, (await ask({ kind: 'ReadWords' }, 'Words')).words)),
      },
    },
    clock,
    { liveRead: () => {} },
  );
  const consumption = new Consumption({
    caches: {
      policies: filled(new ObjectStore<StepUpPolicy>({}), [policy]),
      approvals: filled(
        new ObjectStore<StepUpApproval, 'target' | 'requester'>({
          target: ({ metadata }) => [metadata.labels?.['stepup.dev/target'] ?? ''],
          requester: ({ spec }) => [spec.requester.username],
        }),
        asked.approvals,
      ),
      decisions: filled(
        new ObjectStore<StepUpDecision, 'approval'>({ approval: ({ spec }) => [spec.approval.uid] }),
        words.slice(0, asked.words),
      ),
      namespaces: new ObjectStore<KubeObject>({}),
      hasSynced: () => true,
    },
    approvals: {
      replaceStatus: async (written) => {
        const { kind } = await ask({ kind: 'Reserve', written }, 'Written', 'Conflict');
        if (kind === 'Conflict') throw new ApiError({ kind: 'status', attempt: 'reserve', detail: '', status: 409 });
        return written;
      },
    },
    liveViews,
    memory,
    firstTries: new FirstTries(clock),
    ownNamespace,
    clock,
    metrics: { reservation: () => {} },
  });
  const rest = { request: async () => (await ask({ kind: 'ReadTarget' }, 'Target')).object };

  const judge = async (): Promise<Turn> => {
    const of = policyOf(policy);
    const limit = { deadlineMs: innerDeadlineMs, signal: neverAborted };
    const live = needsLiveTarget(of, review) ? await readLiveTarget(rest, review, limit) : undefined;
    const context = { selectorKeys: [], ...(live?.kind === 'Read' ? { live: live.object } : {}) };
    const described = describe(review, of, context);
    switch (described.kind) {
      case 'NotGoverned':
        return { kind: 'NotGoverned' };
      case 'Refused':
        return { kind: 'Denied', reason: described.reason };
      case 'Attempt': {
        const attempt = attemptOf(of.metadata.name, review, described.attempt.change);
        const governed = { request: review, attempt, policy: of, policies: [of], context };
        return turnOf(await consumption.decide(governed, { signal: neverAborted, endsAtMs: innerDeadlineMs }));
      }
    }
  };
  return Promise.race([stopped.promise, judge()]);
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

function turnOf(verdict: Verdict): Turn {
  if (verdict.outcome !== 'Allowed' || verdict.reason === 'DryRun') return { kind: 'Denied', reason: verdict.reason };
  const { granted, reason } = verdict;
  const use = reason === 'Reserved' ? (granted.status?.uses ?? []).length : (openUseOf(granted)?.index ?? -1);
  return { kind: 'Allowed', reason, use };
}

function filled<T extends KubeObject, I extends string>(store: ObjectStore<T, I>, objects: readonly T[]) {
  for (const object of objects) store.set(object);
  return store;
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
