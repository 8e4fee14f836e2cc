// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The owners of a service account: people who act through it, and therefore cannot approve what it does.
import type { ApprovalSpec } from './approval.ts';

/** On a ServiceAccount: usernames, separated by commas. */
export const ownerAnnotation = 'stepup.dev/owner';

/** The schema's limit. When a vote is cast, the account is read and all its owners are barred. */
const mostRecorded = 16;
const mostCharacters = 512;

/** The usernames in an annotation. */
export function ownersNamedBy(annotation: string | undefined): readonly string[] {
  const names = (annotation ?? '').split(',').map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}

/** Owners as an approval records them. */
export function recordedOwners(owners: readonly string[]): { readonly owners?: readonly string[] } {
  const kept = owners.filter((owner) => owner.length <= mostCharacters).slice(0, mostRecorded);
  return kept.length === 0 ? {} : { owners: kept };
}

/** The requester with these owners, in addition to those at the time of the request. */
export function ownedBy<R extends ApprovalSpec['requester']>(requester: R, owners: readonly string[]): R {
  return { ...requester, owners: [...new Set([...(requester.owners ?? []), ...owners])] };
}
