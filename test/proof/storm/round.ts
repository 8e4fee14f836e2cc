// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One round: an approval, requests that race for it while something is disturbed, and what etcd's history says of it.
import { type DisturbanceName, disturb, disturbanceOf } from './disturbances.ts';
import { insist } from './insist.ts';
import { judge, type Rules } from './judge.ts';
import type { Kind } from './kinds.ts';
import type { Place } from './mix.ts';
import type { Prepared } from './prepare.ts';
import type { Request, Told } from './requests.ts';
import type { Lab } from './storm-lab.ts';

export interface Outcome {
  readonly round: number;
  readonly kind: Kind['name'];
  readonly disturbance: DisturbanceName;
  /** What of the disturbance took place. */
  readonly notes: readonly string[];
  readonly answers: Readonly<Record<Told['kind'], number>>;
  /** By claim, how often its effect was persisted. */
  readonly effects: readonly number[];
  /** Effects that came about only when the request was sent again. */
  readonly late: number;
  readonly uncovered: readonly string[];
  readonly lost: readonly string[];
  readonly wronglyDenied: readonly string[];
  /** Identical requests of a calm round that were refused since another one had spent the approval meanwhile. */
  readonly overtaken: number;
  /** Creations that may have been spent without effect, as documented. */
  readonly unconfirmed: number;
  /** To judge once more, when all is over. */
  readonly rules: Rules;
  readonly keys: readonly string[];
  /** What explains a violation. */
  readonly trace: readonly string[];
}

export async function runRound(lab: Lab, prepared: Prepared): Promise<Outcome> {
  const { kind, place, approvals, round } = prepared;
  const disturbance = disturbanceOf(round);
  const requests = kind.mix(place, prepared.requests, prepared.random);
  const keys = [place.key(place.name), place.key(place.other)];
  const claims = kind.claims(place).map((claim, index) => ({ ...claim, approval: approvals[index] ?? '' }));
  const rules: Rules = { claims, ofAdmin: kind.ofAdmin, strangers: ['stranger'] };
  const judged = async () => {
    await lab.history.caughtUp();
    return judge(lab.ledger.statesOf(keys), rules);
  };

  const hasCome = async (index: number) => ((await judged()).effects[index]?.length ?? 0) > 0;

  const { told, notes, early } = await race(lab, prepared, requests, hasCome);
  const calm = isCalm(disturbance, requests, told);
  const first = await judged();
  const ends = await Promise.all(
    claims.map(async ({ approval }, index) => {
      if (await hasCome(index)) return 'passed';
      return insist(lab, kind.again(requests, index), approval, () => hasCome(index));
    }),
  );
  const without = ends.flatMap((end, index) =>
    end === 'passed' ? [] : [`round ${round}, ${kind.name}, ${disturbance}: ${approvals[index]}: ${end}`],
  );
  const mayBeUnconfirmed = kind.name === 'creation' && !calm;
  const wrong = calm ? [...early, ...(await wronglyDenied(lab, prepared, requests, told, first.effects))] : [];
  const second = await judged();
  await replay(lab, prepared, requests);
  const last = await judged();
  const closedAt = await lab.history.caughtUp();
  await removeObjects(lab, place);

  const answers = { passed: 0, denied: 0, undecided: 0, conflict: 0, failed: 0 };
  for (const { kind: of } of told) answers[of] += 1;
  return {
    ...{ round, kind: kind.name, disturbance, notes, answers, keys },
    effects: last.effects.map((revisions) => revisions.length),
    late: second.effects.flat().length - first.effects.flat().length,
    uncovered: last.uncovered,
    lost: mayBeUnconfirmed ? [] : without,
    unconfirmed: mayBeUnconfirmed ? without.length : 0,
    wronglyDenied: wrong,
    overtaken: calm && kind.isIdempotent ? deniedOnes(requests, told).length : 0,
    rules: { ...rules, closedAt },
    trace: [
      ...claims.map((claim, index) => ({ claim, at: last.effects[index] })),
      ...lab.ledger.statesOf(keys),
      ...approvals.flatMap((name) => lab.ledger.livesOf(name).map((life) => ({ name, ...life }))),
      ...requests.map((request, index) => ({ server: index % 2, request, told: told[index] })),
    ].map((one) => JSON.stringify(one)),
  };
}

/**
 * All requests at once, spread over the API servers, while something is disturbed; until both are over. Early is who was
 * refused before the change had come about: nothing can have overtaken him.
 */
async function race(
  lab: Lab,
  { kind, place, approvals, random, round }: Prepared,
  requests: readonly Request[],
  hasCome: (index: number) => Promise<boolean>,
) {
  const disturbance = disturbanceOf(round);
  // In every second round the race begins while caches may not know of the vote yet.
  if (random.next() < 0.5) await isApproved(lab, approvals);
  const notes: string[] = [];
  const over = new AbortController();
  const scene = { lab, kind, place, approvals, random, over: over.signal, note: (what: string) => notes.push(what) };
  const disturbing = disturb(disturbance, scene);
  const early: string[] = [];
  const send = async (request: Request, server: number) => {
    const answer = await lab.clients.send(request, server);
    const isDoubtful = answer.kind === 'denied' && request.isIdentical && kind.isIdempotent && disturbance === 'none';
    if (isDoubtful && !(await hasCome(0))) early.push(`round ${round}, ${kind.name}: early: ${answer.message}`);
    return answer;
  };
  const racing = Promise.all(requests.map(send));
  const told = await racing.finally(() => over.abort());
  await disturbing;
  if (/killed|frozen/.test(disturbance)) await lab.calm();
  return { told, notes, early };
}

async function isApproved(lab: Lab, approvals: readonly string[]): Promise<void> {
  const isThere = () => approvals.every((name) => lab.ledger.livesOf(name).some(({ phase }) => phase === 'Approved'));
  // While nobody leads, nobody writes it down either.
  await lab.ledger.until(isThere, AbortSignal.timeout(1_000));
}

/** Puts the old content back and sends what was approved again: a second effect would show. */
async function replay(lab: Lab, { kind, place, random }: Prepared, requests: readonly Request[]): Promise<void> {
  await kind.undo(lab.admin(random.between(0, 1)), place).catch(() => {}); // already as it was
  const again = random.shuffled(requests.filter(({ isIdentical }) => isIdentical)).slice(0, 6);
  await Promise.all(again.map((request, index) => lab.clients.send(request, index)));
}

async function removeObjects(lab: Lab, { path, name, other }: Place): Promise<void> {
  for (const one of [name, other])
    await lab
      .admin(0)
      .send('DELETE', `${path}/${one}`)
      .catch(() => {});
}

/** True when every request that was approved got an answer that decides: nothing disturbed them, and no overload either. */
function isCalm(disturbance: DisturbanceName, requests: readonly Request[], told: readonly Told[]): boolean {
  const isUnanswered = ({ kind }: Told, index: number) =>
    requests[index]?.isIdentical === true && (kind === 'undecided' || kind === 'failed');
  return disturbance === 'none' && !told.some(isUnanswered);
}

/**
 * In a calm round what is approved comes about at once, and who is refused was overtaken: another approval is asked of
 * him than the one that an identical request has spent, and where the change repeats nothing he passes on the next try.
 */
async function wronglyDenied(
  lab: Lab,
  { kind, round, approvals }: Prepared,
  requests: readonly Request[],
  told: readonly Told[],
  effects: readonly (readonly number[])[],
): Promise<readonly string[]> {
  const without = effects.filter((revisions) => revisions.length === 0).length;
  const absent = `${without} of ${effects.length} approved changes did not come about`;
  const denied = deniedOnes(requests, told);
  const misled = denied.filter(({ answer }) => approvals.includes(answer.approval)).map(({ answer }) => answer.message);
  const overtaken = kind.isIdempotent ? denied.slice(0, 5) : [];
  const again = await Promise.all(overtaken.map(({ request }, index) => lab.clients.send(request, index)));
  const late = again.filter(({ kind: of }) => of === 'denied').map(({ message }) => `again: ${message}`);
  return [...(without > 0 ? [absent] : []), ...misled, ...late].map((what) => `round ${round}, ${kind.name}: ${what}`);
}

/** Identical requests that were refused for want of an approval. */
function deniedOnes(requests: readonly Request[], told: readonly Told[]) {
  return requests.flatMap((request, index) => {
    const answer = told[index];
    return request.isIdentical && answer?.kind === 'denied' ? [{ request, answer }] : [];
  });
}
