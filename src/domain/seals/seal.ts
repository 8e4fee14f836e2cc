// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup signs: votes, the creation of an approval, previews and releases. Anything that is written while its
// webhooks are not called, edited later or moved to another object has no valid seal.

import { digestOf } from '../../lib/digest.ts';
import { isObject, type Json } from '../../lib/json.ts';
import {
  type Approval,
  type ApprovalSpec,
  type ApprovalStatus,
  type Decision,
  type Release,
  type SeenPreview,
  type Use,
  usesOf,
} from '../model/approval.ts';
import type { Seals } from '../model/seal-check.ts';

/** A decision with all it says, bound to the approval's UID by what it says. */
export function decisionStatement(namespace: string, spec: Decision['spec']): string {
  const { seal: _, ...said } = spec;
  return statement('StepUpDecision', { namespace, spec: said as unknown as Json });
}

/** Who created an approval, and everything that it is for: a spec is never changed. */
export function creationStatement(namespace: string, spec: ApprovalSpec): string {
  const { seal: _, ...createdBy } = spec.createdBy ?? { username: '' };
  return statement('StepUpApproval', { namespace, spec: { ...spec, createdBy } as unknown as Json });
}

/** What stepup saw a request for an approval contain. */
export function previewStatement(uid: string, preview: SeenPreview): string {
  const { seal: _, ...said } = preview;
  return statement('Preview', { uid, preview: said });
}

/** That one use, as it was recorded, did not happen and no longer can. */
export function releaseStatement(uid: string, use: Use | undefined, release: Release): string {
  const { seal: _, ...said } = release;
  return statement('Release', { uid, use: (use ?? null) as unknown as Json, release: said as unknown as Json });
}

/** The spec with a seal on who created it. */
export function withSealedCreation(namespace: string, spec: ApprovalSpec, seals: Seals): ApprovalSpec {
  const { createdBy } = spec;
  if (createdBy === undefined) throw new Error('seal: the approval has no createdBy');
  return { ...spec, createdBy: { ...createdBy, seal: seals.sign(creationStatement(namespace, spec)) } };
}

/** The spec with a seal on all that the decision says. */
export function withSealedDecision<T extends Decision['spec']>(namespace: string, spec: T, seals: Seals): T {
  return { ...spec, seal: seals.sign(decisionStatement(namespace, spec)) };
}

/** The status with seals on the releases that were not there before. */
export function withSealedReleases(approval: Approval, status: ApprovalStatus, seals: Seals): ApprovalStatus {
  const { releases } = status;
  const before = approval.status?.releases?.length ?? 0;
  if (releases === undefined || releases.length === before) return status;
  const sealed = releases.map((release, index) => {
    if (index < before) return release;
    const use = usesOf({ spec: approval.spec, status })[release.use];
    return { ...release, seal: seals.sign(releaseStatement(approval.metadata.uid, use, release)) };
  });
  return { ...status, releases: sealed };
}

/** One short text that stands for all of it: what it is, and the digest of its canonical form. */
function statement(what: string, said: Json): string {
  return `stepup.dev/v1alpha1 ${what} ${digestOf(withoutEmpty(said))}`;
}

/** Empty and absent say the same, and the API server makes one of the other by the defaults of the schema. */
function withoutEmpty(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (!isObject(value)) return value;
  const members = Object.entries(value).flatMap(([key, member]) => {
    const kept = member === undefined ? undefined : withoutEmpty(member);
    return kept === undefined || saysNothing(kept) ? [] : [[key, kept] as const];
  });
  return Object.fromEntries(members);
}

function saysNothing(value: Json): boolean {
  return (
    value === '' || (Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0)
  );
}
