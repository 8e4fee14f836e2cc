// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Where a call of the webhook touches the rest of the world: what its replica's caches hold, what it reads, and its one
// compare-and-swap. Between any two of these anything else may happen, and it may fail at each.
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import type { AdmissionRequest } from '../../../src/domain/model/request.ts';
import { isStored, writeStatus } from './approval-storage.ts';
import { heldBy, holding, knowing } from './replicas.ts';
import { type Scenario, secondsAt } from './scenario.ts';
import { objectOf } from './targets.ts';
import type { Call, CallEvent, Turn, WebhookCalls } from './webhook-call.ts';
import { type Answer, type Asking, present, stored, type World } from './world.ts';

export interface CallOutcome {
  readonly world: World;
  readonly call: Call;
  readonly turn: Turn;
  readonly note: string;
  /** Nothing failed and nothing was old. */
  readonly isFair: boolean;
  readonly sights: readonly string[];
  /** Of a live read that is on its way back. */
  readonly answer?: Answer;
}

type Tell = (next: Call, given: Partial<CallOutcome> & { readonly note: string }) => Promise<void>;
type WithoutClock<E> = E extends CallEvent ? Omit<E, 'seconds'> : never;
type Told = WithoutClock<CallEvent>;

function asks(world: World, call: Call, turn: Turn): CallOutcome {
  const knownBefore = world.replicas[call.replica]?.known;
  const answer: Answer = { approval: stored(world), ...(knownBefore === undefined ? {} : { knownBefore }) };
  return { world, call, turn, note: `is answered ${nameOf(stored(world))}`, isFair: true, sights: [], answer };
}

const failed: Turn = { kind: 'Denied', reason: 'Failed' };

export class WebhookSteps {
  readonly #scenario: Scenario;
  readonly #calls: WebhookCalls;

  constructor(scenario: Scenario, calls: WebhookCalls) {
    this.#scenario = scenario;
    this.#calls = calls;
  }

  /** A call reaches some replica, whose caches hold what they hold and whose clock says what it says. */
  async begin(world: World, review: AdmissionRequest): Promise<readonly CallOutcome[]> {
    const outcomes: CallOutcome[] = [];
    for (let replica = 0; replica < Math.max(world.replicas.length, 1); replica++) {
      for (const cached of heldBy(world, replica)) {
        for (const words of new Set([world.words, 1])) {
          for (const skew of this.#scenario.skews) {
            outcomes.push(
              await this.#begun(holding(world, replica, cached), { review, replica, skew }, { cached, words }),
            );
          }
        }
      }
    }
    return outcomes;
  }

  #begun(
    world: World,
    by: Pick<Call, 'review' | 'replica' | 'skew'>,
    { cached, words }: { readonly cached: StepUpApproval | undefined; readonly words: number },
  ): Promise<CallOutcome> {
    const approvals = cached === undefined ? [] : [cached];
    const asked: Told = { kind: 'Asked', approvals, words, storedWords: world.words };
    const call = this.#calls.begin(by, this.#withClock(asked, by, world));
    const isFresh = cached === stored(world) && words === world.words;
    const clock = by.skew === 0 ? '' : `, clock ${by.skew > 0 ? 'ahead' : 'behind'}`;
    return this.#settled({
      world,
      call,
      note: `${world.replicas.length > 0 ? `replica ${by.replica}, ` : ''}cache ${nameOf(cached)}${clock}`,
      isFair: isFresh && by.skew === 0,
      sights: isFresh ? [] : ['stale approval cache'],
    });
  }

  /** What the call waits for happens, or fails. */
  async next(world: World, { call, answer }: Pick<Asking, 'call' | 'answer'>): Promise<readonly CallOutcome[]> {
    const turn = await this.#calls.turnOf(call);
    const outcomes: CallOutcome[] = [];
    const told: Tell = async (next, given) => {
      outcomes.push(await this.#settled({ isFair: true, sights: [], world, ...given, call: next }));
    };
    const after = (event: Told) => this.#toldBy(call, event, world);
    switch (turn.kind) {
      case 'ReadTarget':
        await told(after({ kind: 'Target', object: objectOf(present(world), this.#scenario.kind) }), {
          note: 'reads target',
        });
        break;
      case 'ReadApprovals':
        // Between the answer of the API server and its arrival other calls of the replica may learn more.
        if (world.replicas.length > 0 && answer === undefined) {
          outcomes.push(asks(world, call, turn));
          break;
        }
        await this.#read(world, call, answer ?? { approval: stored(world) }, told);
        break;
      case 'ReadWords':
        await told(after({ kind: 'Words', words: world.words }), { note: `reads ${world.words} decisions` });
        break;
      case 'Reserve': {
        if (!isStored(world, turn.written)) {
          const note = 'loses the swap';
          outcomes.push(await this.#settled({ world, call, note, isFair: true, sights: ['gave up on conflicts'] }));
          break;
        }
        const written = this.#reserved(world, call, turn.written);
        await told(after({ kind: 'Written' }), { world: written, note: `reserves as ${nameOf(stored(written))}` });
        if (this.#scenario.mayFail) {
          const note = `reserves as ${nameOf(stored(written))}, answer lost`;
          outcomes.push({ world: written, call, turn: failed, note, isFair: false, sights: ['answer lost'] });
        }
        break;
      }
      default:
        throw new Error(`a call that waits for nothing has ended: ${turn.kind}`);
    }
    if (this.#scenario.mayFail) {
      outcomes.push({ world, call, turn: failed, note: 'replica crashes', isFair: false, sights: ['crash'] });
    }
    return outcomes;
  }

  /** A reservation that was decided on a version no longer stored conflicts, whenever it arrives. */
  async overtaken(world: World, call: Call): Promise<Call> {
    const turn = await this.#calls.turnOf(call);
    if (turn.kind !== 'Reserve' || isStored(world, turn.written)) return call;
    const conflicted = this.#toldBy(call, { kind: 'Conflict' }, world);
    const goesOn = (await this.#calls.turnOf(conflicted)).kind === 'ReadApprovals';
    return goesOn ? this.#calls.forgetting(conflicted) : call;
  }

  /** What hangs on nobody else happens at once: a swap of an old version conflicts whenever it arrives. */
  async #settled(given: Omit<CallOutcome, 'turn'>): Promise<CallOutcome> {
    const { world } = given;
    let { call, sights } = given;
    for (;;) {
      const turn = await this.#calls.turnOf(call);
      if (turn.kind === 'Reserve' && !isStored(world, turn.written)) {
        call = this.#toldBy(call, { kind: 'Conflict' }, world);
        sights = [...sights, 'reservation conflict'];
      } else if (turn.kind === 'ReadWords' && this.#scenario.words.length === 1) {
        call = this.#toldBy(call, { kind: 'Words', words: 1 }, world);
      } else {
        return { ...given, call: await this.#calls.forgetting(call), turn, sights };
      }
    }
  }

  #reserved(world: World, { replica }: Call, written: StepUpApproval): World {
    const after = writeStatus(world, written, this.#scenario.caches);
    return knowing(after, replica, stored(after));
  }

  async #read(world: World, call: Call, { approval, knownBefore }: Answer, told: Tell): Promise<void> {
    const known = world.replicas[call.replica]?.known;
    const sights = known !== knownBefore ? ['learned more during a live read'] : [];
    const event: Told = {
      kind: 'Approvals',
      approvals: [approval],
      ...(knownBefore === undefined ? {} : { knownBefore }),
    };
    // The view is noted by the call itself, so that only what came from others is told.
    const next = this.#toldBy(call, event, world);
    await told(next, { world: knowing(world, call.replica, approval), note: `reads ${nameOf(approval)}`, sights });
  }

  #toldBy(call: Call, event: Told, world: World): Call {
    return this.#calls.told(call, this.#withClock(event, call, world));
  }

  #withClock(event: Told, { replica, skew }: Pick<Call, 'replica' | 'skew'>, world: World): CallEvent {
    const known = world.replicas[replica]?.known;
    const seconds = secondsAt(this.#scenario, world.clock + skew);
    return { ...event, seconds, ...(known === undefined ? {} : { known }) };
  }
}

/** The version of an approval in a few characters. */
export function nameOf(approval: StepUpApproval | undefined): string {
  if (approval === undefined) return 'empty';
  const { phase, uses = [], releases = [] } = approval.status ?? {};
  const used = uses.length === 0 ? '' : `, ${uses.length} uses, ${releases.length} released`;
  return `v${approval.metadata.resourceVersion} (${phase}${used})`;
}
