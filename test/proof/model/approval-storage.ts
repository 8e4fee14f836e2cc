// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The API server's side of the approval: compare-and-swap, JSON on the wire, and the rules of the schema.
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import { type ApprovalStatus, isEnded } from '../../../src/domain/model/approval.ts';
import { sameJson } from '../../../src/lib/json.ts';
import { approvalOf } from '../../support/seals.ts';
import { Interner } from './interner.ts';
import { breaking, stored, type World } from './world.ts';

export const versions = new Interner<StepUpApproval>();

/** A status as it comes back; without conditions, which nothing decides on and which remember when they changed. */
export function asStored(status: ApprovalStatus): NonNullable<StepUpApproval['status']> {
  const { conditions: _, ...rest } = JSON.parse(JSON.stringify(status));
  return rest;
}

/** Is the version that a writer has decided on still the stored one? Once it is not, it never is again. */
export function isStored(world: World, { metadata }: StepUpApproval): boolean {
  return stored(world).metadata.resourceVersion === metadata.resourceVersion;
}

/** The API server makes no new version of a write that changes nothing. */
export function changesNothing(world: World, written: StepUpApproval): boolean {
  return afterWrite(stored(world), written) === stored(world);
}

/** Writes the status of a version that is still stored. */
export function writeStatus(world: World, written: StepUpApproval, keep: 'FirstAndStored' | 'Any'): World {
  const before = stored(world);
  const after = afterWrite(before, written);
  if (after === before) return world;
  const held = keep === 'Any' ? world.approvals : world.approvals.slice(0, 1);
  const next: World = {
    ...world,
    approvals: [...held, after],
    // What has been decided on the old version conflicts, and leaves nothing behind.
    writes: [],
  };
  const problem = problemOf(before, after, world);
  return problem === undefined ? next : breaking(next, problem);
}

const known = new WeakMap<StepUpApproval, WeakMap<StepUpApproval, StepUpApproval>>();

function afterWrite(before: StepUpApproval, written: StepUpApproval): StepUpApproval {
  const ofBefore = known.get(before) ?? new WeakMap<StepUpApproval, StepUpApproval>();
  known.set(before, ofBefore);
  const after = ofBefore.get(written) ?? nextVersion(before, written);
  ofBefore.set(written, after);
  return after;
}

function nextVersion(before: StepUpApproval, written: StepUpApproval): StepUpApproval {
  const status = asStored(approvalOf(written).status ?? {});
  // A write that changes nothing is none: the API server leaves the resourceVersion.
  if (sameJson(JSON.parse(JSON.stringify(before.status)), JSON.parse(JSON.stringify(status)))) return before;
  const resourceVersion = String(Number(before.metadata.resourceVersion) + 1);
  return versions.same({ ...before, metadata: { ...before.metadata, resourceVersion }, status });
}

function problemOf(before: StepUpApproval, after: StepUpApproval, world: World): string | undefined {
  const [old, now] = [approvalOf(before).status ?? {}, approvalOf(after).status ?? {}];
  if (isEnded(approvalOf(before)) && now.phase !== old.phase) return 'an ended approval stays ended';
  if (!continues(old.uses, now.uses)) return 'uses are only ever added';
  if (!continues(old.releases, now.releases)) return 'releases are only ever added';
  if (now.phase === 'Consumed' && now.evidence === 'Observed' && world.effects === 0)
    return 'Consumed with evidence Observed means that the effect happened';
  if (now.phase === 'Expired' && old.phase === 'Reserved' && world.effects > 0)
    return 'Expired means that nothing had happened';
  return undefined;
}

function continues(before: readonly unknown[] = [], after: readonly unknown[] = []): boolean {
  return before.every((item, index) => JSON.stringify(item) === JSON.stringify(after[index]));
}
