// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A client that does not give up: asks until its approved change has come about, or never will.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request } from './requests.ts';
import type { Lab } from './storm-lab.ts';

const longestMs = 60_000;

/** Sends what is approved again until it comes about, as a client would; says why it never will. */
export async function insist(
  lab: Lab,
  requests: readonly Request[],
  approval: string,
  isDone: () => Promise<boolean>,
): Promise<string> {
  const endsAtMs = performance.now() + longestMs;
  let last = '';
  for (let turn = 0; performance.now() < endsAtMs; turn++) {
    for (const [index, request] of requests.entries()) {
      const told = await lab.clients.send(request, turn + index);
      last = `${told.kind}: ${told.message}`;
      if (told.kind === 'passed' || told.kind === 'conflict') {
        if (await isDone()) return 'passed';
      }
    }
    if (await isDone()) return 'passed';
    const life = lab.ledger.livesOf(approval).at(-1);
    if (isEnd(life?.phase) || (isCreation(requests) && life?.phase === 'Reserved')) {
      return `${life?.phase} ${life?.evidence}, ${life?.uses} uses, ${life?.releases} releases; ${last}`;
    }
    await sleep(100);
  }
  return `not within ${longestMs} ms; ${last}`;
}

function isEnd(phase = ''): boolean {
  return !['', 'Pending', 'Approved', 'Reserved'].includes(phase);
}

/** A client's next try of a creation is another object: a reservation made for the first is not its own. */
function isCreation(requests: readonly Request[]): boolean {
  return requests.every(({ method }) => method === 'POST');
}
