// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Creating an approval by hand is a vote, recorded in the approval's own spec, which a copy would include. The vote
// counts only for the object that was stamped.
import { type Approval, byAge, isEnded, usesOf } from '../model/approval.ts';
import { after, requestCapSeconds } from '../model/deadlines.ts';

/**
 * The clocks of a replica, which writes stampedAt, and of the API server, which writes creationTimestamp, may differ by
 * so much: what stepup bears with everywhere else (test/cluster/faults).
 */
const skewSeconds = 60;

/** So long after its stamp an object may have been created and still be the one that was stamped. */
export const stampedForSeconds = skewSeconds + requestCapSeconds;

/**
 * Why the creator's vote is not this object's; undefined when it is. `others`: every approval on the target, ended ones
 * too, as read live; absent where they are not known.
 */
export function objectionToStamp(approval: Approval, others: readonly Approval[] | undefined): string | undefined {
  const { stampedAt, nonce } = approval.spec.createdBy ?? {};
  if (stampedAt === undefined || nonce === undefined) {
    return 'its stamp is of an older release and not bound to an object; create it again';
  }
  const age = ageAt(approval, stampedAt);
  if (age === 'Negative') return 'it was stamped after it was created, so clocks differ; create it again';
  if (age === 'TooOld') return copied(`of one that was stamped at ${stampedAt}`);
  // A cache holds no ended approvals; one that is too young to remember cannot tell.
  if (others === undefined) return 'stepup has not looked for the original yet';
  const { uid } = approval.metadata;
  const twins = others.filter((other) => other.metadata.uid !== uid && other.spec.createdBy?.nonce === nonce);
  const original = twins.find((twin) => precedes(twin, approval));
  return original && copied(`of ${original.metadata.name}`);
}

/** The older one is the original. Within one second nobody can tell, but once one was used or has ended no other may be. */
function precedes(a: Approval, b: Approval): boolean {
  return isOver(a) === isOver(b) ? byAge(a, b) < 0 : isOver(a);
}

function isOver(approval: Approval): boolean {
  return isEnded(approval) || usesOf(approval).length > 0;
}

function copied(ofWhat: string): string {
  return `it is a copy ${ofWhat}; create it without createdBy, or have it approved`;
}

/** True when an instant that was written as an approval was made is too far from its creation: another one was made then. */
export function isOfAnother({ metadata }: Pick<Approval, 'metadata'>, writtenAt: string): boolean {
  return ageAt({ metadata }, writtenAt) !== 'Possible';
}

/** Whether an approval may have been created by the request in which an instant was written. */
function ageAt({ metadata }: Pick<Approval, 'metadata'>, writtenAt: string): 'Possible' | 'Negative' | 'TooOld' {
  const ageSeconds = (Date.parse(metadata.creationTimestamp) - Date.parse(writtenAt)) / 1000;
  // Instants of creation are whole seconds, so one may seem to be a second earlier than it was.
  if (!(ageSeconds >= -skewSeconds - 1)) return 'Negative';
  return ageSeconds <= stampedForSeconds ? 'Possible' : 'TooOld';
}

/** True when the stamp, on which an original bears its nonce too, was certainly made after the instant. */
export function isStampedAfter({ spec }: Pick<Approval, 'spec'>, instant: Date | undefined): boolean {
  const { stampedAt } = spec.createdBy ?? {};
  if (stampedAt === undefined || instant === undefined) return false;
  return Date.parse(stampedAt) > after(instant, skewSeconds).getTime();
}

/** True when somebody must look for its original: the creator's vote counts for nothing before. */
export function isVotedByCreation({ spec }: Pick<Approval, 'spec'>): boolean {
  return spec.origin === 'Applied' && spec.createdBy?.nonce !== undefined;
}
