// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Checks with the API server whether a requester could cast a vote itself, a few access reviews at a time.

import {
  groupsOfRequester,
  type Own,
  powersOver,
  powersOverAll,
  powersPhrase,
  type VotePower,
} from '../../domain/integrity/vote-powers.ts';
import type { ApprovalSpec, Stamp } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { defined } from '../../lib/json.ts';
import { type AccessLimit, isAllowed } from '../reads/access-review.ts';

type Gated = ApprovalSpec['requester'];

/** Reservations share the connections and go first. */
const mostAtOnce = 4;
/** What an account may do for all votes is asked once in so long a time. */
const freshMs = 60_000;
const mostRemembered = 1_000;

export class Powers {
  readonly #rest: Pick<RestClient, 'request'>;
  readonly #own: Own;
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly atMs: number; readonly powers: readonly VotePower[] }>();

  constructor(rest: Pick<RestClient, 'request'>, own: Own, clock: Clock) {
    this.#rest = rest;
    this.#own = own;
    this.#clock = clock;
  }

  /** As a phrase, what the requester may do so that the voter's vote could be its own. Rejects when it cannot be told. */
  async overVote(requester: Gated, voter: Stamp, policy: Policy, limit: AccessLimit): Promise<string | undefined> {
    const overOne = await this.#had(requester, powersOver(voter, policy), limit);
    return powersPhrase([...overOne, ...(await this.#overAll(requester, limit))]);
  }

  async #overAll(requester: Gated, limit: AccessLimit): Promise<readonly VotePower[]> {
    const key = `${requester.username} ${requester.uid ?? ''}`;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known.get(key);
    if (known !== undefined && nowMs - known.atMs < freshMs) return known.powers;
    const powers = await this.#had(requester, powersOverAll(this.#own), limit);
    this.#known.delete(key);
    this.#known.set(key, { atMs: nowMs, powers });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostRemembered) break;
      this.#known.delete(oldest);
    }
    return powers;
  }

  async #had(
    { username, uid }: Gated,
    powers: readonly VotePower[],
    limit: AccessLimit,
  ): Promise<readonly VotePower[]> {
    const who = { user: username, groups: groupsOfRequester(username), ...defined({ uid }) };
    const had: VotePower[] = [];
    for (let at = 0; at < powers.length; at += mostAtOnce) {
      const some = powers.slice(at, at + mostAtOnce);
      const answers = await Promise.all(some.map((power) => isAllowed(this.#rest, who, { ...power }, limit)));
      had.push(...some.filter((_, index) => answers[index] === true));
    }
    return had;
  }
}
