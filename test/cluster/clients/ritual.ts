// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One way of writing, tried as a user does: denied, approved, the very same again, and once more when it is done.

import { type ApprovalObject, approve } from '../../support/installation/approvals.ts';
import type { Installation } from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';
import { auditOf, type SentRequest } from './audit-log.ts';

export type Run = () => Promise<CommandResult>;

export interface Observed {
  /** Runs that were refused before one passed. */
  readonly refusals: readonly Refusal[];
  /** All that the gated account sent in the run that passed. */
  readonly sent: readonly SentRequest[];
  /** Approvals used up between the first try and the one that passed. */
  readonly spent: number;
  readonly passed: CommandResult;
  readonly again: Again;
}

interface Refusal {
  readonly result: CommandResult;
  readonly sent: readonly SentRequest[];
}

/** What one more run did when everything had passed. */
interface Again {
  readonly result: CommandResult;
  readonly sent: readonly SentRequest[];
  readonly spent: number;
}

const mostRounds = 4;

export async function perform(stepup: Installation, run: Run, pauseMs = 0): Promise<Observed> {
  const audit = auditOf(stepup);
  const before = await spentApprovals(stepup);
  const refusals: Refusal[] = [];
  let passed = await run();
  let sent = await audit();
  while (passed.code !== 0 && refusals.length < mostRounds) {
    refusals.push({ result: passed, sent });
    const approved = await approveAll(stepup, passed);
    if (approved === 0) throw new Error(`failed without naming an approval: ${passed.stderr}`);
    passed = await run();
    sent = await audit();
  }
  const spent = (await spentApprovals(stepup)) - before;
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  const result = await run();
  const again = { result, sent: await audit(), spent: (await spentApprovals(stepup)) - before - spent };
  return { refusals, sent, spent, passed, again };
}

/** Approvals that have admitted something. */
export async function spentApprovals(stepup: Installation): Promise<number> {
  return (await approvals(stepup)).filter(({ status }) => (status?.uses ?? []).length > 0).length;
}

export async function approvals(stepup: Installation): Promise<readonly ApprovalObject[]> {
  const { items } = await stepup.cluster.admin.list<ApprovalObject & { metadata: { name: string } }>(
    '/apis/stepup.dev/v1alpha1/stepupapprovals',
  );
  return items;
}

/** Every approval that the output of one run names, each once. */
export function approvalsNamedIn(message: string): readonly { readonly namespace: string; readonly name: string }[] {
  const keys = [...message.matchAll(/Approval ([a-z0-9-]+)\/([a-z0-9.-]+)\./g)].map(
    ([, namespace = '', name = '']) => ({
      namespace,
      name,
    }),
  );
  return keys.filter((key, i) => keys.findIndex(({ name }) => name === key.name) === i);
}

/** Has everything approved that a failed run named. */
export async function approveAll(stepup: Installation, refused: CommandResult): Promise<number> {
  const keys = approvalsNamedIn(refused.stderr);
  for (const key of keys) {
    const vote = await approve(stepup, key);
    if (vote.code !== 0) throw new Error(`approve ${key.name}: ${vote.stderr}`);
  }
  return keys.length;
}
