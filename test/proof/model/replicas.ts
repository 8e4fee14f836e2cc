// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Replicas of the webhook as far as they remember anything: how far their cache has come, and which approvals they know
// to be used or ended. Where a scenario names none, every call meets a replica that has just started, with any cache.
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import { isEnded } from '../../../src/domain/model/approval.ts';
import type { World } from './world.ts';

export interface Replica {
  /** The version its cache has come to; caches never go back. */
  readonly cached: number;
  /** The newest version that its UseMemory has noted. */
  readonly known?: StepUpApproval;
}

export const started: Replica = { cached: 0 };

/** What a call to a replica may find in its cache: nothing yet, or a version not older than the last one. */
export function heldBy(world: World, replica: number): readonly (StepUpApproval | undefined)[] {
  const { cached } = world.replicas[replica] ?? started;
  const held = world.approvals.filter((approval) => versionOf(approval) >= cached).reverse();
  return cached === 0 ? [...held, undefined] : held;
}

export function holding(world: World, replica: number, approval: StepUpApproval | undefined): World {
  return approval === undefined ? world : withReplica(world, replica, { cached: versionOf(approval) });
}

/** The replica notes what it has read or written, as UseMemory does. */
export function knowing(world: World, replica: number, approval: StepUpApproval): World {
  const isWorthNoting = (approval.status?.uses ?? []).length > 0 || isEnded(approval);
  const before = world.replicas[replica]?.known;
  const isNews = before === undefined || versionOf(approval) > versionOf(before);
  return isWorthNoting && isNews ? withReplica(world, replica, { known: approval }) : world;
}

function withReplica(world: World, replica: number, change: Partial<Replica>): World {
  const before = world.replicas[replica];
  if (before === undefined) return world;
  return { ...world, replicas: world.replicas.with(replica, { ...before, ...change }) };
}

function versionOf({ metadata }: StepUpApproval): number {
  return Number(metadata.resourceVersion);
}
