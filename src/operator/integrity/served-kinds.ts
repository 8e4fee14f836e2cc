// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Waits until the API server serves stepup's kinds: the first thing that a leader does.

import { stepUpApprovals, stepUpDecisions, stepUpPolicies } from '../../api/own-resources.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import { type Discovery, discover } from '../../kube/objects/discovery.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import { errorFields, type Log } from '../../observe/log.ts';

interface ServedKindsDependencies {
  readonly rest: RestClient;
  readonly log: Log;
  readonly clock: Clock;
}

const againMs = 500;

/** Waits until the API server serves our three kinds. */
export async function servedKinds(
  { rest, log, clock }: ServedKindsDependencies,
  signal: AbortSignal,
): Promise<Discovery | undefined> {
  const own = [stepUpPolicies, stepUpApprovals, stepUpDecisions];
  while (!signal.aborted) {
    try {
      const discovery = await discover(rest, signal);
      if (own.every(({ group, plural }) => discovery.find(group, plural) !== undefined)) return discovery;
      log.info({}, 'waiting for the kinds of stepup.dev');
    } catch (error) {
      if (!signal.aborted) log.warn(errorFields(error), 'discovery failed');
    }
    await sleep(clock, againMs, signal);
  }
  return undefined;
}
