// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The digest of a change, in each version that this release knows (docs/adr/0008-digest-versions.md).

import { digestOf } from '../../lib/digest.ts';
import type { JsonObject } from '../../lib/json.ts';
import type { ApprovalSpec, Use } from '../model/approval.ts';
import type { AdmissionRequest, Operation } from '../model/request.ts';

/** Names how digests are made. A release knows its own version and the one before; any other never matches. */
export type DigestVersion = 'v1' | 'v2';

/** What is filed now. */
export const digestVersion: DigestVersion = 'v2';
/** What the release before filed. */
export const previousDigestVersion: DigestVersion = 'v1';

/** What a change amounts to, and on what. */
export interface DigestInput {
  readonly operation: Operation;
  readonly subresource: string;
  readonly content: JsonObject;
}

export interface ChangeDigests {
  /** In the current version. */
  readonly digest: string;
  readonly digests: Readonly<Record<DigestVersion, string>>;
}

/** The digests of a change. The previous one is made when somebody asks: almost nobody does. */
export function changeDigests({ group, resource }: AdmissionRequest, described: DigestInput): ChangeDigests {
  const { operation, subresource, content } = described;
  const digest = digestOf(['stepup.dev/v2', operation, group, resource, subresource, content]);
  let previous: string | undefined;
  return {
    digest,
    digests: {
      v2: digest,
      get v1() {
        previous ??= digestOf(content);
        return previous;
      },
    },
  };
}

export function isKnownVersion(version: unknown): version is DigestVersion {
  return version === digestVersion || version === previousDigestVersion;
}

/** True when the approval names this very change, in a version that is known. */
export function namesChange({ change: named }: Pick<ApprovalSpec, 'change'>, change: ChangeDigests): boolean {
  return isKnownVersion(named?.digestVersion) && named.digest === change.digests[named.digestVersion];
}

/** The version in which keys are held against an approval: its own, the current one where it has none that is known. */
export function versionOf({ change }: Pick<ApprovalSpec, 'change'>): DigestVersion {
  return isKnownVersion(change?.digestVersion) ? change.digestVersion : digestVersion;
}

/** The version in which a use was recorded. The release before this one did not write it down. */
export function versionOfUse({ digestVersion: version = previousDigestVersion }: Pick<Use, 'digestVersion'>): string {
  return version;
}
