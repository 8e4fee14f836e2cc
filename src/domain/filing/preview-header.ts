// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The lines above a preview's diff: who requests what and why, and the risk, so that an approver can decide at a
// glance.

import { visibleLine } from '../../lib/visible-text.ts';
import type { Attempt } from '../change/attempt.ts';
import type { Deletion } from '../change/change.ts';
import { actionText } from '../decision/message.ts';
import { historyLine, type PastUse } from '../lifecycle/history.ts';
import type { Policy } from '../model/policy.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { imagesByTag } from './image-tags.ts';

export interface Background {
  /** Why the requester wants it, in its own words. */
  readonly reason?: string | undefined;
  readonly ticket?: string | undefined;
  /** Whom the requesting account names as its owners. */
  readonly owners?: readonly string[] | undefined;
  /** What it did to the target before; absent where nobody has looked. */
  readonly before?: readonly PastUse[] | undefined;
}

const mostCharacters = 300;
const mostListed = 8;

/** Comment lines without line breaks; whatever the requester chose in them is on one line and visible. */
export function previewHeader(
  attempt: Attempt,
  request: AdmissionRequest,
  policy: Policy,
  { reason, ticket, owners = [], before }: Background,
): readonly string[] {
  const { action, change } = attempt;
  const tags = request.operation === 'DELETE' ? [] : imagesByTag(request.object);
  return [
    line(`${attempt.policy}: ${actionText(action)}`),
    line(`requester: ${requesterText(attempt)}`),
    ...(owners.length === 0 ? [] : [line(`owners: ${firstOf(owners)}`)]),
    ...(before === undefined ? [] : [line(historyLine(attempt.policy, before))]),
    line(`reason: ${reason ?? 'none given'}`),
    ...(ticket === undefined ? [] : [line(`ticket: ${ticket}`)]),
    ...riskLines(policy),
    ...(change.fields === undefined ? [] : [line(`changes: ${firstOf(change.fields)}`)]),
    ...(change.deletion === undefined ? [] : deletionLines(change.deletion)),
    ...tags.slice(0, mostListed).map((image) => line(`image by tag: ${image}`)),
    ...(tags.length > mostListed ? [line(`and ${tags.length - mostListed} more images by tag`)] : []),
  ];
}

function requesterText({ requester }: Attempt): string {
  const { username, pod, node, credential } = requester;
  const from = [
    ...(pod === undefined ? [] : [`pod ${pod.name}`]),
    ...(node === undefined ? [] : [`node ${node.name}`]),
    ...(credential === undefined ? [] : [`credential ${credential}`]),
  ];
  return from.length === 0 ? username : `${username} (${from.join(', ')})`;
}

function riskLines({ spec }: Policy): readonly string[] {
  const { level, irreversible, why } = spec.risk ?? {};
  const levels = [...(level === undefined ? [] : [level]), ...(irreversible === true ? ['cannot be undone'] : [])];
  if (levels.length === 0 && why === undefined) return [];
  return [line(`risk: ${[levels.join(', '), why].filter((part) => part !== undefined && part !== '').join('; ')}`)];
}

/** What the object alone does not tell: a force-deleted pod may still run, and orphans go on without an owner. */
function deletionLines({ propagation, immediate }: Deletion): readonly string[] {
  return [
    ...(propagation === 'Background' ? [] : [line(`dependents: ${propagation}`)]),
    ...(immediate ? [line('at once, without the grace period')] : []),
  ];
}

function firstOf(names: readonly string[]): string {
  const left = names.length - mostListed;
  return names.slice(0, mostListed).join(', ') + (left > 0 ? ` and ${left} more` : '');
}

function line(text: string): string {
  return `# ${visibleLine(text, mostCharacters)}`;
}
