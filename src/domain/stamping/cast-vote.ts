// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Checks a submitted vote: that it is about the stored approval, and who casts it.

import { type Json, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import { visibleLine } from '../../lib/visible-text.ts';
import type { Approval, Stamp, Verdict } from '../model/approval.ts';
import type { Policy } from '../model/policy.ts';
import type { Requester } from '../model/request.ts';
import { exposedTo, stampOf, unabridged } from '../model/stamp.ts';
import { isNamedAccount, type Vote } from '../votes/eligibility.ts';

/** Who a decision is by, as it is stored. */
export interface CastBy {
  readonly decidedBy: Stamp & JsonObject;
  readonly decidedVia?: Stamp & JsonObject;
  readonly kind: 'Human' | 'Delegate';
}

/** A vote as it was cast. */
export interface Cast {
  /** To be judged: with all groups of the caller. */
  readonly vote: Vote;
  /** To be stored: with the groups that policies name. */
  readonly by: CastBy;
}

export interface Submitted {
  readonly spec: JsonObject;
  readonly verdict: Verdict;
  readonly caller: Requester;
  readonly policy: Policy;
  readonly policies: readonly Policy[];
  readonly requesterMay?: string | undefined;
}

/** How the decision speaks of another approval than there is, undefined when it does not. */
export function mismatchOf(spec: JsonObject, namespace: string, approval: Approval | undefined): string | undefined {
  const name = textAt(spec, '/approval/name');
  const uid = textAt(spec, '/approval/uid');
  if (name === '' || uid === '') return 'spec.approval: must have the name and uid of the approval';
  if (approval === undefined) return `there is no StepUpApproval ${namespace}/${name}`;
  if (approval.metadata.uid !== uid) {
    return `the uid differs: ${namespace}/${name} is not the approval that you looked at; look again, then vote`;
  }
  const digest = valueAt(spec, '/approval/digest');
  const stored = approval.spec.change?.digest;
  if (digest === stored) return undefined;
  if (stored === undefined) return 'the digest differs: the approval has none; leave spec.approval.digest out';
  if (digest === undefined) return 'the digest is missing: set spec.approval.digest to that of the approval';
  return 'the digest differs from that of the approval, so you looked at another change; look again, then vote';
}

const engineSentence = 'spec.kind: only stepup itself records votes of engines; leave kind and engine out';

/** The vote and who stands behind it, or a sentence on what is wrong with how it was written. */
export function castOf({ spec, verdict, caller, policy, policies, requesterMay }: Submitted): Cast | string {
  if (spec.kind === 'Engine' || spec.engine !== undefined) return engineSentence;
  if (spec.bypass !== undefined && typeof spec.bypass !== 'boolean') return 'spec.bypass: must be true or false';
  const bypass = spec.bypass === true;
  if (bypass && textAt(spec, '/reason').trim() === '') return 'spec.reason: break-glass requires a reason';
  const person = assertedPerson(spec.onBehalfOf);
  if (typeof person === 'string') return person;
  const whole = exposedTo(unabridged(caller), requesterMay);
  const stamp = exposedTo(stampOf(caller, policies), requesterMay);
  if (person !== undefined) {
    const vote = { verdict, bypass, decidedBy: person, decidedVia: whole };
    return { vote, by: { decidedBy: person, decidedVia: stamp, kind: 'Delegate' } };
  }
  const kind = isNamedAccount(caller.username, policy) ? 'Delegate' : 'Human';
  return { vote: { verdict, bypass, decidedBy: whole }, by: { decidedBy: stamp, kind } };
}

/** Whom a delegate speaks for; undefined when for itself, a sentence when the name could be read as another one. */
function assertedPerson(value: Json | undefined): (Stamp & JsonObject) | string | undefined {
  if (value === undefined) return undefined;
  const isPlain =
    typeof value === 'string' && value !== '' && value === value.trim() && visibleLine(value, 512) === value;
  return isPlain
    ? { username: value }
    : 'spec.onBehalfOf: must be a username, without spaces around it or hidden characters';
}
