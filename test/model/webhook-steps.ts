// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Where a call of the webhook touches the rest of the world: what its replica's caches hold, what it reads, and its one
// compare-and-swap. Between any two of these anything else may happen, and it may fail at each.
import type { StepUpApproval } from '../../src/api/kinds.ts';
import type { AdmissionRequest } from '../../src/domain/request.ts';
import { isStored, writeStatus } from './approval-storage.ts';
import { type Scenario, secondsAt } from './scenario.ts';
import { objectOf } from './targets.ts';
import type { Call, CallEvent, Turn, WebhookCalls } from './webhook-call.ts';
import { present, stored, type World } from './world.ts';

export interface CallOutcome {
  readonly world: World;
  readonly call: Call;
  readonly turn: Turn;
  readonly note: string;
  /** Nothing failed and nothing was old. */
  readonly isFair: boolean;
  readonly sights: readonly string[];
}

type WithoutClock<E> = E extends CallEvent ? Omit<E, 'seconds'> : never;
type Told = WithoutClock<CallEvent>;

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
    const { skews } = this.#scenario;
    const outcomes: CallOutcome[] = [];
    for (const approvals of [[stored(world)], [], ...world.approvals.slice(0, -1).map((old) => [old])]) {
      for (const words of new Set([world.words, 1])) {
        for (const skew of skews) {
          const seconds = secondsAt(this.#scenario, world.clock + skew);
          const call = this.#calls.begin(review, skew, { kind: 'Asked', approvals, words, seconds });
          const isFresh = approvals[0] === stored(world) && words === world.words;
          const isFair = isFresh && skew === 0;
          const note = `cache ${nameOf(approvals[0])}${skew === 0 ? '' : `, clock ${skew > 0 ? 'ahead' : 'behind'}`}`;
          outcomes.push(
            await this.#settled({ world, call, note, isFair, sights: isFresh ? [] : ['stale approval cache'] }),
          );
        }
      }
    }
    return outcomes;
  }

  /** What the call waits for happens, or fails. */
  async next(world: World, call: Call): Promise<readonly CallOutcome[]> {
    const turn = await this.#calls.turnOf(call);
    const outcomes: CallOutcome[] = [];
    const told = async (event: Told, given: Partial<CallOutcome> & { readonly note: string }) => {
      const { world: after = world, ...rest } = given;
      const next = this.#toldBy(call, event, after);
      outcomes.push(await this.#settled({ isFair: true, sights: [], ...rest, world: after, call: next }));
    };
    switch (turn.kind) {
      case 'ReadTarget':
        await told({ kind: 'Target', object: objectOf(present(world), this.#scenario.kind) }, { note: 'reads target' });
        break;
      case 'ReadApprovals':
        await told({ kind: 'Approvals', approvals: [stored(world)] }, { note: `reads ${nameOf(stored(world))}` });
        break;
      case 'ReadWords':
        await told({ kind: 'Words', words: world.words }, { note: `reads ${world.words} decisions` });
        break;
      case 'Reserve': {
        if (!isStored(world, turn.written)) {
          const note = 'loses the swap';
          outcomes.push(await this.#settled({ world, call, note, isFair: true, sights: ['gave up on conflicts'] }));
          break;
        }
        const after = writeStatus(world, turn.written, this.#scenario.caches);
        await told({ kind: 'Written' }, { world: after, note: `reserves as ${nameOf(stored(after))}` });
        if (this.#scenario.mayFail) {
          const note = `reserves as ${nameOf(stored(after))}, answer lost`;
          outcomes.push({ world: after, call, turn: failed, note, isFair: false, sights: ['answer lost'] });
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

  #toldBy(call: Call, event: Told, world: World): Call {
    const seconds = secondsAt(this.#scenario, world.clock + call.skew);
    return this.#calls.told(call, { ...event, seconds });
  }
}

/** The version of an approval in a few characters. */
export function nameOf(approval: StepUpApproval | undefined): string {
  if (approval === undefined) return 'empty';
  const { phase, uses = [], releases = [] } = approval.status ?? {};
  const used = uses.length === 0 ? '' : `, ${uses.length} uses, ${releases.length} released`;
  return `v${approval.metadata.resourceVersion} (${phase}${used})`;
}
