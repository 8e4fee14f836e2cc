// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Round after round, counted; at the end all of them are judged once more, for what came late.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { judge } from './judge.ts';
import { prepareRound, type RoundOptions } from './prepare.ts';
import { type Outcome, runRound } from './round.ts';
import type { Lab } from './storm-lab.ts';

export interface StormOptions {
  readonly seed: number;
  readonly rounds: number;
  /** In each round. */
  readonly requests: number;
  /** The number of the first round. */
  readonly from?: number;
  /** Called after each round. */
  readonly progress?: (totals: Totals) => void;
  /** Ends the storm early, after the round under way. */
  readonly signal?: AbortSignal;
  /** Folder for traces of rounds in which something was wrong. */
  readonly traces: string;
}

export interface Totals {
  rounds: number;
  approvals: number;
  requests: number;
  /** Approvals whose effect was persisted, once. */
  winners: number;
  /** Effects beyond the first of an approval. */
  doubleEffects: number;
  /** Effects that no approval covers. */
  uncovered: number;
  lost: number;
  wrongDenials: number;
  /** Creations spent without effect, which is documented. */
  unconfirmed: number;
  /** Identical requests of calm rounds that were refused since another one had spent the approval meanwhile. */
  overtaken: number;
  /** Effects that came about only when the request was sent again after the disturbance. */
  late: number;
  /** Replicas that died with an approval reserved and the answer not given. */
  diedReserving: number;
  /** Rounds that could not be run to their end. */
  broken: number;
  readonly answers: Record<string, number>;
  readonly disturbances: Record<string, number>;
  readonly kinds: Record<string, number>;
  /** By pod, the most reviews that it was seen to have answered since it started. */
  readonly reviews: Record<string, number>;
  /** Each violation in a sentence. */
  readonly violations: string[];
}

export async function runStorm(lab: Lab, options: StormOptions): Promise<Totals> {
  const totals = noTotals();
  const from = options.from ?? 0;
  const outcomes: Pick<Outcome, 'round' | 'rules' | 'keys' | 'effects'>[] = [];
  for (let round = from; round < from + options.rounds && !options.signal?.aborted; round++) {
    lab.ledger.forgetApprovals();
    const outcome = await oneRound(lab, { seed: options.seed, round, requests: options.requests }, totals);
    if (outcome === undefined) continue;
    const { rules, keys, effects } = outcome;
    outcomes.push({ round, rules, keys, effects });
    const before = totals.violations.length;
    add(totals, outcome);
    if (totals.violations.length > before) writeTrace(lab, options.traces, outcome);
    if (round % 10 === 0) await countReviews(lab, totals);
    options.progress?.(totals);
  }
  await lab.history.caughtUp();
  for (const { round, rules, keys, effects } of outcomes) {
    const again = judge(lab.ledger.statesOf(keys), rules);
    for (const [index, revisions] of again.effects.entries()) {
      const more = revisions.length - Math.max(effects[index] ?? 0, 1);
      if (more <= 0) continue;
      totals.doubleEffects += more;
      totals.violations.push(`round ${round}: ${more} effects after its end, at ${revisions.slice(-more).join(', ')}`);
    }
  }
  return totals;
}

/** A replica that was started anew counts from 0 again: what is kept is the most. */
async function countReviews(lab: Lab, { reviews }: Totals): Promise<void> {
  for (const [pod, count] of Object.entries(await lab.reviews())) reviews[pod] = Math.max(reviews[pod] ?? 0, count);
}

/** A round that cannot be run to its end is a violation of its own; three of them end the storm. */
async function oneRound(lab: Lab, options: RoundOptions, totals: Totals): Promise<Outcome | undefined> {
  try {
    return await runRound(lab, await prepareRound(lab, options));
  } catch (failure) {
    totals.broken += 1;
    totals.violations.push(`round ${options.round} could not be run: ${failure}`);
    if (totals.broken >= 3) throw failure;
    return undefined;
  }
}

function noTotals(): Totals {
  return {
    ...{ rounds: 0, approvals: 0, requests: 0, winners: 0, doubleEffects: 0, uncovered: 0, lost: 0, wrongDenials: 0 },
    ...{
      unconfirmed: 0,
      late: 0,
      overtaken: 0,
      diedReserving: 0,
      broken: 0,
      reviews: {},
      answers: {},
      disturbances: {},
      kinds: {},
      violations: [],
    },
  };
}

function add(totals: Totals, outcome: Outcome): void {
  const { round, kind, disturbance, effects, uncovered, lost, wronglyDenied, answers, notes } = outcome;
  totals.rounds += 1;
  totals.approvals += effects.length;
  totals.lost += lost.length;
  totals.wrongDenials += wronglyDenied.length;
  totals.uncovered += uncovered.length;
  totals.unconfirmed += outcome.unconfirmed;
  totals.late += outcome.late;
  totals.overtaken += outcome.overtaken;
  totals.diedReserving += notes.some((note) => note.startsWith('killed between')) ? 1 : 0;
  const where = `round ${round}, ${kind}, ${disturbance}`;
  totals.violations.push(...lost, ...wronglyDenied, ...uncovered.map((what) => `${where}: not covered: ${what}`));
  for (const count of effects) {
    if (count === 1) totals.winners += 1;
    if (count <= 1) continue;
    totals.doubleEffects += count - 1;
    totals.violations.push(`${where}: ${count} effects of one approval`);
  }
  for (const [answer, count] of Object.entries(answers)) {
    totals.requests += count;
    totals.answers[answer] = (totals.answers[answer] ?? 0) + count;
  }
  totals.disturbances[disturbance] = (totals.disturbances[disturbance] ?? 0) + 1;
  totals.kinds[kind] = (totals.kinds[kind] ?? 0) + 1;
}

function writeTrace(lab: Lab, folder: string, { round, trace, ...outcome }: Outcome): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, log } of lab.node.pods()) copyFileSync(log, `${folder}/round-${round}-${name}.log`);
  const head = JSON.stringify({ round, ...outcome, rules: undefined });
  writeFileSync(`${folder}/round-${round}.jsonl`, `${[head, ...trace].join('\n')}\n`);
}

/** The counts in one line. */
export function lineOf(totals: Totals): string {
  const { rounds, winners, doubleEffects, lost, wrongDenials, uncovered, unconfirmed } = totals;
  return (
    `rounds ${rounds}, winners ${winners}, double effects ${doubleEffects}, lost ${lost}, ` +
    `wrong denials ${wrongDenials}, uncovered effects ${uncovered}, unconfirmed creations ${unconfirmed}`
  );
}
