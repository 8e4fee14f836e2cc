// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds ended approvals to remove, page by page, without keeping them in memory.
import type { StepUpApproval } from '../../api/kinds.ts';
import { isEnded } from '../../domain/model/approval.ts';
import { after } from '../../domain/model/deadlines.ts';
import { keptFrom } from '../../domain/votes/break-glass.ts';
import type { ObjectKey } from '../../kube/objects/resource.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import { type Clock, sleep } from '../../kube/time/clock.ts';
import { defined } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';

export interface RetentionOptions {
  readonly client: Pick<ResourceClient<StepUpApproval>, 'page'>;
  readonly retentionSeconds: number;
  readonly scanSeconds: number;
  /** Called for each that is due before the next scan. */
  readonly onDue: (approval: ObjectKey) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Not live; an approval without status has an empty phase. */
const endedOnly = ['', 'Pending', 'Approved', 'Reserved'].map((phase) => `status.phase!=${phase}`).join(',');
const betweenPagesMs = 200;

/** Scans at once and then again and again until the signal aborts. */
export async function scanForEnds(options: RetentionOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, scanSeconds } = options;
  while (!signal.aborted) {
    try {
      await scanOnce(options, signal);
    } catch (error) {
      if (!signal.aborted) log.warn(errorFields(error), 'scanning for ended approvals failed');
    }
    await sleep(clock, scanSeconds * 1000, signal);
  }
}

async function scanOnce(options: RetentionOptions, signal: AbortSignal): Promise<void> {
  const { client, clock, retentionSeconds, scanSeconds, onDue } = options;
  let token: string | undefined;
  do {
    const { metadata, items } = await client.page({
      fieldSelector: endedOnly,
      limit: 250,
      signal,
      ...defined({ continue: token }),
    });
    const horizon = after(clock.now(), scanSeconds - retentionSeconds);
    for (const approval of items) {
      if (isEnded(approval) && keptFrom(approval) <= horizon) onDue(approval.metadata);
    }
    token = metadata.continue || undefined;
    if (token !== undefined) await sleep(clock, betweenPagesMs, signal);
  } while (token !== undefined && !signal.aborted);
}
