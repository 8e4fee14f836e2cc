// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The promises about what can still come: where no request is under way, let the operator look at everything and an
// honest client send its request once more, with nothing failing, and see what becomes of it.

import { openUseOf } from '../../../src/domain/lifecycle/reservation.ts';
import { isEnded } from '../../../src/domain/model/approval.ts';
import { approvalOf } from '../../support/seals.ts';
import type { ApiServers } from './api-servers.ts';
import type { Operators } from './operators.ts';
import { readmittedUntilSeconds, type Scenario, secondsAt, usableUntilSeconds } from './scenario.ts';
import { present, stored, type World } from './world.ts';

export interface PromisesOptions {
  readonly scenario: Scenario;
  readonly apiServers: ApiServers;
  readonly operators: Operators;
  readonly keyOf: (world: World) => string;
}

export class Promises {
  readonly #options: PromisesOptions;

  constructor(options: PromisesOptions) {
    this.#options = options;
  }

  async broken(world: World): Promise<string | undefined> {
    if (world.broken !== undefined) return world.broken;
    const isQuiet = world.flights.every(({ at }) => at === 'Idle') && world.writes.length === 0;
    if (!isQuiet || this.#options.scenario.operator === undefined) return undefined;
    const settled = this.#settled(world);
    return settled.broken ?? this.#afterSettling(world, settled) ?? (await this.#afterRetry(settled));
  }

  /** What the approval is once an operator has seen all there is. */
  #afterSettling(before: World, world: World): string | undefined {
    const { scenario } = this.#options;
    const { phase, evidence } = approvalOf(stored(world)).status ?? {};
    const wasEnded = isEnded(approvalOf(stored(before)));
    const mayLook = scenario.operator?.mayLook === true;
    if (!wasEnded && !world.isBlind && mayLook && world.effects > 0) {
      const isTold = phase === 'Consumed' && evidence === 'Observed';
      if (!isTold) return `an effect that happened is told: Consumed and Observed, not ${phase} ${evidence ?? ''}`;
    }
    const isOver = secondsAt(scenario, world.clock) >= readmittedUntilSeconds;
    if (isOver && !isEnded(approvalOf(stored(world)))) return `when its time is over an approval ends, not ${phase}`;
    return undefined;
  }

  /** An approval whose effect did not happen, and no longer can, serves its request. */
  async #afterRetry(world: World): Promise<string | undefined> {
    const { scenario } = this.#options;
    // A clock that is ahead may end it early; then it has ended by time.
    const latest = secondsAt(scenario, world.clock + Math.max(...scenario.operatorSkews));
    const isPlain = !world.isBlind && world.words === 1 && world.effects === 0;
    if (!isPlain || latest >= usableUntilSeconds || !this.#isServing(world)) return undefined;
    for (const slot of world.flights.keys()) {
      const ends = await this.#retried(world, slot);
      const broken = ends.find((end) => end.broken !== undefined);
      if (broken !== undefined) return broken.broken;
      // Nothing to do, or done whichever replica was asked.
      if (ends.every(({ effects }) => effects === 1)) return undefined;
    }
    return `an approval whose effect did not happen is not lost: ${stored(world).status?.phase}`;
  }

  /** What the design gives back: not a CREATE that was admitted once, nor what nobody may look at and has moved on. */
  #isServing(world: World): boolean {
    const { wishes, target, operator } = this.#options.scenario;
    const now = present(world);
    const open = openUseOf(approvalOf(stored(world)));
    if (wishes[0]?.verb === 'CREATE') return now.isAbsent && (stored(world).status?.uses ?? []).length === 0;
    if (now.isAbsent || now.uid !== target.uid) return false;
    return operator?.mayLook === true || open === undefined || open.use.oldResourceVersion === `${now.resourceVersion}`;
  }

  #settled(world: World): World {
    let now = world;
    for (let steps = 0; steps < 20; steps++) {
      const step = this.#options.operators.steps(now).find(({ isFair }) => isFair);
      if (step === undefined) return now;
      now = step.world;
    }
    return { ...now, broken: 'an operator that sees everything comes to rest' };
  }

  /** What comes of the request by way of each replica; nothing where it has nothing to do. */
  async #retried(world: World, slot: number): Promise<readonly World[]> {
    const starts = (await this.#options.apiServers.steps(world, slot)).filter(({ isFair }) => isFair);
    return Promise.all(starts.map((start) => this.#ended(start.world, slot)));
  }

  async #ended(world: World, slot: number): Promise<World> {
    let now = world;
    for (let steps = 0; steps < 20 && now.flights[slot]?.at !== 'Idle'; steps++) {
      const step = (await this.#options.apiServers.steps(now, slot)).find(({ isFair }) => isFair);
      if (step === undefined) throw new Error('an honest request goes on');
      now = step.world;
    }
    return now;
  }
}
