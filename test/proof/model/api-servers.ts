// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Gated requests on their way through any number of API servers: each its own watch cache, and the loop around
// admission and compare-and-put (k8s.io/apiserver, GuaranteedUpdate; docs/facts.md, B1–B9).
import type { AdmissionRequest } from '../../../src/domain/model/request.ts';
import { commit, isLandable } from './etcd.ts';
import { readmittedUntilSeconds, type Scenario, usableUntilSeconds } from './scenario.ts';
import { reviewOf, type Wish, wished } from './targets.ts';
import { type Call, lastViewOf, storedWordsAt, type Turn } from './webhook-call.ts';
import type { CallOutcome, WebhookSteps } from './webhook-steps.ts';
import {
  type Admitted,
  type Asking,
  breaking,
  type Flight,
  present,
  stored,
  type Target,
  type World,
} from './world.ts';

/** What may happen to one request. */
export interface FlightStep {
  readonly world: World;
  readonly note: string;
  readonly isFair: boolean;
  readonly sights: readonly string[];
}

interface Tried {
  readonly wish: number;
  readonly orig: Target;
  readonly next: Target;
  readonly isCurrent: boolean;
}

export class ApiServers {
  readonly #scenario: Scenario;
  readonly #webhook: WebhookSteps;
  readonly #reviews = new Map<string, AdmissionRequest>();

  constructor(scenario: Scenario, webhook: WebhookSteps) {
    this.#scenario = scenario;
    this.#webhook = webhook;
  }

  async steps(world: World, slot: number): Promise<readonly FlightStep[]> {
    const flight = world.flights[slot];
    switch (flight?.at) {
      case undefined:
        return [];
      case 'Idle':
        return this.#starts(world, slot, flight.wish);
      case 'Asking':
        return this.#afterCalls(slot, flight, await this.#webhook.next(world, flight));
      case 'Admitted':
        return this.#puts(world, slot, flight);
    }
  }

  /** A client sends it; the API server looks into its watch cache first. */
  async #starts(world: World, slot: number, wish: number): Promise<readonly FlightStep[]> {
    const steps: FlightStep[] = [];
    const visible = world.targets.slice(-1 - this.#scenario.staleness).reverse();
    for (const orig of visible) {
      const isFresh = orig === present(world);
      const started = await this.#asks(world, slot, { wish, orig, isCurrent: false });
      for (const step of started) {
        const sights = isFresh ? step.sights : [...step.sights, 'stale watch cache first'];
        steps.push({
          ...step,
          isFair: step.isFair && isFresh,
          sights,
          note: `sent, found r${orig.resourceVersion}: ${step.note}`,
        });
      }
    }
    return steps;
  }

  /** The change is computed on a state, and the webhook is called. */
  async #asks(
    world: World,
    slot: number,
    { wish, orig, isCurrent }: Omit<Tried, 'next'>,
  ): Promise<readonly FlightStep[]> {
    const wanted = this.#wishOf(wish);
    const next = wished(wanted, orig, () => freshUID(world));
    if (next === undefined) return [];
    const tried: Tried = { wish, orig, next, isCurrent };
    const review = this.#reviewOf(wish, orig, next);
    return this.#afterCalls(slot, tried, await this.#webhook.begin(world, review));
  }

  async #afterCalls(slot: number, tried: Tried, outcomes: readonly CallOutcome[]): Promise<readonly FlightStep[]> {
    const steps: FlightStep[] = [];
    for (const outcome of outcomes) steps.push(...(await this.#afterCall(slot, tried, outcome)));
    return steps;
  }

  async #afterCall(slot: number, tried: Tried, outcome: CallOutcome): Promise<readonly FlightStep[]> {
    const { world, call, turn, note, isFair, sights, answer } = outcome;
    const { wish, orig, next, isCurrent } = tried;
    const as = (flight: Flight, more: string, seen: readonly string[] = []): FlightStep => ({
      world: withFlight(world, slot, flight),
      note: `${note}${more}`,
      isFair,
      sights: [...sights, ...seen],
    });
    switch (turn.kind) {
      case 'Allowed':
      case 'NotGoverned': {
        const admitted: Admitted = {
          wish,
          orig,
          next,
          isCurrent: false,
          at: 'Admitted',
          ...(turn.kind === 'Allowed' ? { use: turn.use } : {}),
        };
        const step = as(admitted, `, ${turn.kind === 'Allowed' ? turn.reason : turn.kind}`, sightsOf(turn, tried));
        const problem = problemOf(turn, call);
        return [problem === undefined ? step : { ...step, world: breaking(step.world, problem) }];
      }
      case 'Denied': {
        // On what may be old, a refusal is looked at once more; where nothing has moved, it stands.
        if (!isCurrent && orig !== present(world)) {
          const again = await this.#again(world, slot, wish);
          return again.map((step) => ({
            ...step,
            note: `${note}, ${turn.reason} on old data: ${step.note}`,
            isFair: isFair && step.isFair,
            sights: [...sights, 'denied on old data, asked again', ...step.sights],
          }));
        }
        const step = as({ at: 'Idle', wish }, `, ${turn.reason}`, [`denied: ${turn.reason}`]);
        const isWrong = this.#scenario.isNeverDenied && world.effects === 0;
        return [isWrong ? { ...step, world: breaking(step.world, 'nobody is refused for nothing') } : step];
      }
      default:
        return [
          as(
            {
              wish,
              orig,
              next,
              isCurrent,
              at: 'Asking',
              call,
              ...(answer === undefined ? {} : { answer }),
            } satisfies Asking,
            '',
          ),
        ];
    }
  }

  /** The loop's next turn, on what etcd holds. */
  async #again(world: World, slot: number, wish: number): Promise<readonly FlightStep[]> {
    const steps = await this.#asks(world, slot, { wish, orig: present(world), isCurrent: true });
    if (steps.length > 0) return steps;
    return [
      { world: withFlight(world, slot, { at: 'Idle', wish }), note: 'nothing left to do', isFair: true, sights: [] },
    ];
  }

  /** An admitted change is persisted, loses, or never arrives. */
  async #puts(world: World, slot: number, flight: Admitted): Promise<readonly FlightStep[]> {
    const { wish } = flight;
    const wanted = this.#wishOf(wish);
    const idle: Flight = { at: 'Idle', wish };
    const steps: FlightStep[] = [];
    const isCreation = wanted.verb === 'CREATE' && (flight.orig.isAbsent || !wanted.isApply);
    const lands = isCreation && !wanted.isApply ? present(world).isAbsent : isLandable(world, flight);
    if (lands) steps.push(...(await this.#lands(world, slot, flight)));
    else if (isCreation && !wanted.isApply)
      steps.push({
        world: withFlight(world, slot, idle),
        note: 'already exists',
        isFair: true,
        sights: ['already exists'],
      });
    else if (wanted.verb === 'UPDATE' && wanted.isBound)
      steps.push({ world: withFlight(world, slot, idle), note: 'conflict, told so', isFair: true, sights: ['409'] });
    else
      for (const step of await this.#again(world, slot, wish))
        steps.push({ ...step, note: `conflict: ${step.note}`, sights: ['conflict, asked again', ...step.sights] });
    if (this.#scenario.mayBeTooLarge && isCreation)
      for (const step of await this.#asks(world, slot, { ...flight, isCurrent: false }))
        steps.push({
          ...step,
          note: `too large, again: ${step.note}`,
          isFair: false,
          sights: ['too large', ...step.sights],
        });
    if (this.#scenario.mayFail)
      steps.push({
        world: withFlight(world, slot, idle),
        note: 'API server dies',
        isFair: false,
        sights: ['admitted, never written'],
      });
    return steps;
  }

  async #lands(world: World, slot: number, flight: Admitted): Promise<readonly FlightStep[]> {
    const { wish, use, next } = flight;
    const after = commit(withFlight(world, slot, { at: 'Idle', wish }), flight, this.#scenario);
    const isLate = (this.#scenario.instants[world.clock] ?? 0) >= usableUntilSeconds;
    const sights =
      use === undefined
        ? []
        : [
            'effect',
            ...(isLate ? ['landed after the window'] : []),
            ...(stored(world).status?.phase === 'Expired' ? ['landed after it had expired'] : []),
            ...(use > 0 ? ['landed by a later use'] : []),
          ];
    const landed: FlightStep = {
      world: after,
      note: `persisted as r${present(after).resourceVersion}`,
      isFair: true,
      sights,
    };
    const isSecondCall =
      this.#wishOf(wish).verb === 'DELETE' && next.isGoing && !next.isAbsent && after.broken === undefined;
    if (!isSecondCall) return [landed];
    const again = await this.#again(after, slot, wish);
    return again.map((step) => ({
      ...step,
      note: `${landed.note}, now removed: ${step.note}`,
      sights: [...sights, ...step.sights],
    }));
  }

  #reviewOf(wish: number, orig: Target, next: Target): AdmissionRequest {
    const key = `${wish} ${Object.values(orig).join(' ')} ${Object.values(next).join(' ')}`;
    const review = this.#reviews.get(key) ?? reviewOf(this.#wishOf(wish), this.#scenario.kind, orig, next);
    this.#reviews.set(key, review);
    return review;
  }

  #wishOf(index: number): Wish {
    const wish = this.#scenario.wishes[index];
    if (wish === undefined) throw new Error(`there is no wish ${index}`);
    return wish;
  }
}

function withFlight(world: World, slot: number, flight: Flight): World {
  return { ...world, flights: world.flights.map((one, index) => (index === slot ? flight : one)) };
}

/** A UID that nobody remembers is as good as one that never was. */
function freshUID({ targets, approvals, flights }: World): string {
  const known = JSON.stringify([
    targets,
    approvals.map(({ status }) => status?.uses),
    flights.map((flight) => ('next' in flight ? flight.next : '')),
  ]);
  for (let number = 2; ; number++) if (!known.includes(`"uid-${number}"`)) return `uid-${number}`;
}

function sightsOf(turn: Turn, { isCurrent }: Tried): readonly string[] {
  if (turn.kind !== 'Allowed') return [];
  const { reason, use } = turn;
  return [
    reason,
    ...(isCurrent && reason === 'Readmitted' ? ['readmitted in the loop'] : []),
    ...(reason === 'Reserved' && use > 0 ? ['reserved again after a release'] : []),
  ];
}

/** What an admission must not have seen. */
function problemOf(turn: Turn, call: Call): string | undefined {
  if (turn.kind !== 'Allowed') return undefined;
  const { approval, words, seconds } = lastViewOf(call);
  const isEnd = ['Consumed', 'Denied', 'TimedOut', 'Expired', 'Withdrawn', 'Revoked', 'Superseded'].includes(
    approval?.status?.phase ?? '',
  );
  if (approval === undefined || isEnd) return 'nothing is admitted by an approval that was seen to have ended';
  if (words > 1) return 'nothing is admitted once a denial was seen';
  // A cache that has not seen the denial may still lead to a reservation; a re-admission writes nothing that could fail.
  if (turn.reason === 'Readmitted' && storedWordsAt(call) > 1) return 'a denial ends re-admission at once';
  const until = turn.reason === 'Reserved' ? usableUntilSeconds : readmittedUntilSeconds;
  return seconds < until ? undefined : 'nothing is admitted when its time is over';
}
