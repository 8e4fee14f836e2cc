// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Seals as the webhook under test makes them, for objects that a test puts in place itself.
import type { StepUpApproval, StepUpDecision } from '../../../src/api/kinds.ts';
import { releaseStatement, withSealedCreation, withSealedDecision } from '../../../src/domain/seals/seal.ts';
import { keptKey, keyringOf } from '../seals.ts';

/** What the webhook under test seals with. */
export const keyring = keyringOf([keptKey()]);

/** Specs with the seals that admission writes. */
export const sealedDecision = (namespace: string, spec: StepUpDecision['spec']) =>
  withSealedDecision(namespace, spec, keyring);
export const sealedApproval = (namespace: string, spec: StepUpApproval['spec']): StepUpApproval['spec'] =>
  withSealedCreation(namespace, spec, keyring);

export function sealedRelease(
  { metadata, status }: StepUpApproval,
  release: { readonly use: number; readonly releasedAt: string; readonly why: string },
) {
  return { ...release, seal: keyring.sign(releaseStatement(metadata.uid, status?.uses?.[release.use], release)) };
}
