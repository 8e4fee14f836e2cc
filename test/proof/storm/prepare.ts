// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes ready what a round is about: its objects, and approvals in the way that every approval comes about.
import { setTimeout as sleep } from 'node:timers/promises';
import { createObject, type Kind, kinds } from './kinds.ts';
import type { Place } from './mix.ts';
import { type Random, randomOf } from './random.ts';
import type { Request } from './requests.ts';
import type { Lab } from './storm-lab.ts';

export interface RoundOptions {
  readonly seed: number;
  readonly round: number;
  readonly requests: number;
}

export interface Prepared extends RoundOptions {
  readonly kind: Kind;
  readonly place: Place;
  readonly random: Random;
  /** By claim, "namespace/name". */
  readonly approvals: readonly string[];
}

const longestMs = 60_000;

/** Makes the round's objects and has its changes approved; repeats what a disturbance of another round spoils. */
export async function prepareRound(lab: Lab, options: RoundOptions): Promise<Prepared> {
  const random = randomOf(options.seed, options.round);
  const kind = kinds[options.round % kinds.length];
  if (kind === undefined) throw new Error('find the kind of a round: there are none');
  const place = kind.placeOf(`${options.round}`);
  const { name, other } = place;
  const names = kind.hasObject ? [name, other] : [];
  for (const one of [name, other]) lab.ledger.follow(place.key(one), kind.contentOf);
  for (const one of names) {
    await untilDone(`create ${one}`, async () => {
      await createObject(lab.admin(random.between(0, 1)), place, kind.object(one)).catch(ignoreExisting);
      return true;
    });
  }
  const approvals: string[] = [];
  // One after the other: a newer content replaces an older one that nobody has decided yet.
  for (const request of kind.asking(place)) approvals.push(await approved(lab, request, random));
  return { ...options, kind, place, random, approvals };
}

function ignoreExisting(failure: unknown): void {
  if (!/ 409 /.test(String(failure))) throw failure;
}

async function untilDone<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
  const endsAtMs = performance.now() + longestMs;
  let cause: unknown;
  while (performance.now() < endsAtMs) {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (failure) {
      cause = failure;
    }
    await sleep(20);
  }
  throw new Error(`${what}: not within ${longestMs} ms (${cause})`, { cause });
}

/** Has the request refused and what it asks for approved. */
async function approved(lab: Lab, request: Request, random: Random): Promise<string> {
  const approval = await untilDone('be refused', async () => {
    const told = await lab.clients.send(request, random.between(0, 1));
    // Nothing more is asked then; what came of it is in the history.
    return told.kind === 'passed' ? 'passed' : told.approval || undefined;
  });
  if (approval === 'passed') throw new Error('a change passed that nobody has approved');
  const [namespace, name] = approval.split('/');
  const path = `/apis/stepup.dev/v1alpha1/namespaces/${namespace}`;
  await untilDone(`approve ${approval}`, async () => {
    const { code, body } = await lab.clients.approve('GET', `${path}/stepupapprovals/${name}`);
    if (code !== 200) return undefined;
    const { metadata, spec } = body as { metadata: { uid: string }; spec: { change: { digest: string } } };
    const decision = {
      ...{ apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpDecision' },
      metadata: { name: `${name}-vote`, namespace },
      spec: { approval: { name, uid: metadata.uid, digest: spec.change.digest }, verdict: 'Approve' },
    };
    const made = await lab.clients.approve('POST', `${path}/stepupdecisions`, decision);
    return made.code === 201 || made.code === 409 ? true : undefined;
  });
  return approval;
}
