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

/** A vote with its whole spec, which binds it to the approval's UID. */
export function decisionStatement(namespace: string, spec: Decision['spec']): string {
  const { seal: _, ...said } = spec;
  return statement('StepUpDecision', { namespace, spec: said as unknown as Json });
}

/** Who created an approval, and its whole spec, which never changes. */
export function creationStatement(namespace: string, spec: ApprovalSpec): string {
  const { seal: _, ...createdBy } = spec.createdBy ?? { username: '' };
  return statement('StepUpApproval', { namespace, spec: { ...spec, createdBy } as unknown as Json });
}

/** The preview of a request that stepup has seen for an approval. */
export function previewStatement(uid: string, preview: SeenPreview): string {
  const { seal: _, ...said } = preview;
  return statement('Preview', { uid, preview: said });
}

/** That one recorded use did not happen and no longer can. */
export function releaseStatement(uid: string, use: Use | undefined, release: Release): string {
  const { seal: _, ...said } = release;
  return statement('Release', { uid, use: (use ?? null) as unknown as Json, release: said as unknown as Json });
}

/** The spec with a seal on its creation. */
export function withSealedCreation(namespace: string, spec: ApprovalSpec, seals: Seals): ApprovalSpec {
  const { createdBy } = spec;
  if (createdBy === undefined) throw new Error('seal: the approval has no createdBy');
  return { ...spec, createdBy: { ...createdBy, seal: seals.sign(creationStatement(namespace, spec)) } };
}

/** The spec of a vote with its seal. */
export function withSealedDecision<T extends Decision['spec']>(namespace: string, spec: T, seals: Seals): T {
  return { ...spec, seal: seals.sign(decisionStatement(namespace, spec)) };
}

/** The status with seals on its new releases. */
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

/** A short text to sign: the kind of statement, and the digest of its canonical form. */
function statement(what: string, said: Json): string {
  return `stepup.dev/v1alpha1 ${what} ${digestOf(withoutEmptyMembers(said))}`;
}

/** Empty and absent members mean the same, and the API server may turn one into the other by schema defaults. */
function withoutEmptyMembers(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutEmptyMembers);
  if (!isObject(value)) return value;
  const members = Object.entries(value).flatMap(([key, member]) => {
    const kept = member === undefined ? undefined : withoutEmptyMembers(member);
    return kept === undefined || saysNothing(kept) ? [] : [[key, kept] as const];
  });
  return Object.fromEntries(members);
}

function saysNothing(value: Json): boolean {
  return (
    value === '' || (Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0)
  );
}
