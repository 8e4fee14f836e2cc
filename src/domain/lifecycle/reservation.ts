// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reserves an approval for one attempt, and tells whether a later attempt is the same one.

import { defined, type JsonObject } from '../../lib/json.ts';
import type { Attempt } from '../change/attempt.ts';
import { generationOf } from '../change/base.ts';
import { type DigestVersion, isKnownVersion, versionOf, versionOfUse } from '../change/change-digest.ts';
import { showsEffect } from '../change/content.ts';
import { type Approval, type ApprovalStatus, type Base, type Release, type Use, usesOf } from '../model/approval.ts';
import type { Life } from '../model/deadlines.ts';
import type { Tally } from '../votes/vote.ts';

/** The schema's limit on uses and releases; an approval that has reached it can no longer be used. */
const mostUses = 16;

/** The use that holds the approval: the newest without a sealed release. */
export function openUseOf(approval: Approval): { readonly use: Use; readonly index: number } | undefined {
  const uses = usesOf(approval);
  const { releases = [] } = approval.status ?? {};
  const sealed = releases.filter((_, index) => approval.seals.releases[index] === 'Sealed');
  const released = new Set(sealed.map((release) => release.use));
  for (let index = uses.length - 1; index >= 0; index--) {
    const use = uses[index];
    if (use !== undefined && !released.has(index)) return { use, index };
  }
  return undefined;
}

export function hasRoomForUse(approval: Approval): boolean {
  return usesOf(approval).length < mostUses;
}

/**
 * True when both name the same state of the target, on which the write can succeed at most once (ADR 0003).
 * A review of a Scale has no generation, so the live generation of its parent is compared if the resourceVersion differs.
 */
export function isSameBase(reserved: Base, asked: Base): boolean {
  if (reserved.kind !== asked.kind) return false;
  switch (reserved.kind) {
    case 'Generation':
      return (
        sameText(reserved.uid, asked.uid) &&
        reserved.generation !== undefined &&
        reserved.generation === asked.generation
      );
    case 'ResourceVersion':
      return sameText(reserved.uid, asked.uid) && sameText(reserved.resourceVersion, asked.resourceVersion);
    case 'Scale':
      return (
        sameText(reserved.uid, asked.uid) &&
        (sameText(reserved.resourceVersion, asked.resourceVersion) ||
          (reserved.generation !== undefined && reserved.generation === asked.generation))
      );
    case 'Deletion':
    case 'Creation':
      return sameText(reserved.uid, asked.uid);
    case 'Request':
      return sameText(reserved.requestUID, asked.requestUID);
  }
}

/** True when the use was made for the same attempt, in whichever digest version it was recorded. */
export function isUseOf(use: Use | undefined, attempt: Attempt): boolean {
  if (use === undefined) return false;
  const version = versionOfUse(use);
  return isKnownVersion(version) && use.attemptKey === attempt.attemptKeys[version];
}

/** True for a base that no later request can have: the next attempt of a client differs and finds the approval used. */
export function isOnce(base: Base): boolean {
  return base.kind === 'Creation' || base.kind === 'Request';
}

/** An empty or absent value never equals another: unknown values are not the same. */
function sameText(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && a !== '' && a === b;
}

/**
 * True when a review proves that the reserved write lost and never can win: it is the same attempt, one generation
 * on, and the state it starts from does not show the effect (ADR 0003).
 */
export function provesLoss(use: Use, attempt: Attempt, oldObject: JsonObject | undefined): boolean {
  const { base, effect } = use;
  return (
    isUseOf(use, attempt) &&
    base.kind === 'Generation' &&
    attempt.change.base.kind === 'Generation' &&
    sameText(base.uid, attempt.change.base.uid) &&
    base.generation !== undefined &&
    attempt.change.base.generation === base.generation + 1 &&
    generationOf(oldObject) === base.generation + 1 &&
    oldObject !== undefined &&
    effect !== undefined &&
    !showsEffect(effect, oldObject)
  );
}

/** The reservation of the attempt, in this digest version. */
export function useOf(attempt: Attempt, version: DigestVersion, now: Date, votes: readonly string[]): Use {
  const { change } = attempt;
  return {
    attemptKey: attempt.attemptKeys[version],
    digest: change.digests[version],
    digestVersion: version,
    base: change.base,
    ...defined({ effect: change.effect }),
    reservedAt: now.toISOString(),
    requestUID: attempt.requestUID,
    ...defined({ objectUID: change.objectUID, oldResourceVersion: change.oldResourceVersion }),
    votes,
  };
}

/** The status that reserves the approval for the attempt; with lost, that use is released in the same write. */
export function reservedStatus(
  approval: Approval,
  attempt: Attempt,
  by: { readonly tally: Tally; readonly life: Life; readonly now: Date; readonly lost?: number },
): ApprovalStatus {
  const { uses = [], releases = [] } = approval.status ?? {};
  // In the digest version of the approval, so that replicas of the previous release recognize it.
  const use = useOf(attempt, versionOf(approval.spec), by.now, by.tally.voters);
  const release: Release[] =
    by.lost === undefined
      ? []
      : [
          {
            use: by.lost,
            releasedAt: use.reservedAt,
            why: 'the next generation of the target does not have the change, so the write lost to another one',
          },
        ];
  return {
    ...approval.status,
    phase: 'Reserved',
    ...(by.life.approvedAt === undefined ? {} : { approvedAt: by.life.approvedAt.toISOString() }),
    ...(by.life.usableUntil === undefined ? {} : { usableUntil: by.life.usableUntil.toISOString() }),
    uses: [...uses, use],
    ...(releases.length + release.length === 0 ? {} : { releases: [...releases, ...release] }),
  };
}
