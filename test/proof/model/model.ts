// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup as an explorer sees it: all that can happen next in a world, and the promises that every world keeps.

import { ApiServers } from './api-servers.ts';
import { versions } from './approval-storage.ts';
import { store } from './etcd.ts';
import type { Model, Step } from './explorer.ts';
import { Operators } from './operators.ts';
import { Promises } from './promises.ts';
import { started } from './replicas.ts';
import { firstWorld, type Scenario, secondsAt } from './scenario.ts';
import { WebhookCalls } from './webhook-call.ts';
import { WebhookSteps } from './webhook-steps.ts';
import { type Flight, keyOfTarget, last, present, type World } from './world.ts';

/** only: this promise alone, and on beyond worlds that break another. */
export function modelOf(scenario: Scenario, { only }: { readonly only?: string } = {}): Model<World> {
  const calls = new WebhookCalls(scenario);
  const webhook = new WebhookSteps(scenario, calls);
  const apiServers = new ApiServers(scenario, webhook);
  const operators = new Operators(scenario);
  const promises = new Promises({ scenario, apiServers, operators, keyOf });

  return {
    initial: firstWorld(scenario),
    keyOf,
    broken: (world) => (only === undefined ? promises.broken(world) : world.broken === only ? only : undefined),
    async steps(world) {
      if (world.broken !== undefined && only === undefined) return [];
      const steps: Step<World>[] = [];
      const sent = new Set<string>();
      for (const [slot, flight] of world.flights.entries()) {
        // Of requests that are alike it does not matter which one moves.
        const key = keyOfFlight(flight);
        if (sent.has(key)) continue;
        sent.add(key);
        for (const { note, ...step } of await apiServers.steps(world, slot)) {
          steps.push({ ...step, label: () => `request ${slot} for ${scenario.wishes[flight.wish]?.verb}: ${note}` });
        }
      }
      for (const { note, ...step } of operators.steps(world)) steps.push({ ...step, label: () => `operator ${note}` });
      steps.push(...otherSteps(world, scenario));
      const followed = steps.filter(({ world: { approvals } }) => usesOf(approvals) <= scenario.mostUses);
      return Promise.all(followed.map(async (step) => ({ ...step, world: await overtaken(step.world, webhook) })));
    },
  };
}

function usesOf(approvals: World['approvals']): number {
  return (last(approvals).status?.uses ?? []).length;
}

async function overtaken(world: World, webhook: WebhookSteps): Promise<World> {
  const flights: Flight[] = [];
  for (const flight of world.flights) {
    const call = flight.at === 'Asking' ? await webhook.overtaken(world, flight.call) : undefined;
    flights.push(flight.at === 'Asking' && call !== undefined && call !== flight.call ? { ...flight, call } : flight);
  }
  return flights.every((flight, slot) => flight === world.flights[slot]) ? world : { ...world, flights };
}

function otherSteps(world: World, scenario: Scenario): readonly Step<World>[] {
  const steps: Step<World>[] = [];
  for (const [index, { name, write }] of scenario.others.entries()) {
    const left = world.left[index] ?? 0;
    const target = left > 0 ? write(present(world)) : undefined;
    if (target === undefined) continue;
    const after = store({ ...world, left: world.left.with(index, left - 1) }, target, scenario);
    steps.push({ label: () => `${name} writes r${present(after).resourceVersion}`, world: after, sights: [name] });
  }
  for (const replica of scenario.mayFail ? world.replicas.keys() : []) {
    const isIdle = world.flights.every((flight) => flight.at !== 'Asking' || flight.call.replica !== replica);
    const after = { ...world, replicas: world.replicas.with(replica, started) };
    if (isIdle) steps.push({ label: () => `replica ${replica} starts anew`, world: after });
  }
  if (world.words < scenario.words.length) {
    const verdict = scenario.words[world.words]?.spec.verdict;
    steps.push({
      label: () => `an approver says ${verdict}`,
      world: { ...world, words: world.words + 1 },
      sights: ['denied by an approver'],
    });
  }
  if (world.clock + 1 < scenario.instants.length) {
    const after = { ...world, clock: world.clock + 1 };
    steps.push({ label: () => `it is ${secondsAt(scenario, after.clock)} s`, world: after });
  }
  return steps;
}

function keyOf(world: World): string {
  const { targets, approvals, words, clock, flights, replicas, writes, left, effects, isBlind, broken } = world;
  return [
    targets.map(keyOfTarget).join(','),
    approvals.map((approval) => versions.idOf(approval)).join(','),
    `${words}.${clock}.${left.join('.')}.${effects}${isBlind ? 'b' : ''}`,
    flights.map(keyOfFlight).sort().join(','),
    replicas.map(({ cached, known }) => `${cached}.${known === undefined ? '' : versions.idOf(known)}`).join(','),
    writes
      .map(({ written }) => versions.idOf(written))
      .sort()
      .join(','),
    broken ?? '',
  ].join('|');
}

function keyOfFlight(flight: Flight): string {
  if (flight.at === 'Idle') return `${flight.wish}`;
  const tried = `${flight.wish}${flight.isCurrent ? 'c' : 's'}${keyOfTarget(flight.orig)}>${keyOfTarget(flight.next)}`;
  if (flight.at === 'Admitted') return `${tried}!${flight.use ?? '-'}`;
  const { call, answer } = flight;
  const known = answer?.knownBefore === undefined ? '' : versions.idOf(answer.knownBefore);
  return `${tried}?${call.id}${answer === undefined ? '' : `=${versions.idOf(answer.approval)}.${known}`}`;
}
