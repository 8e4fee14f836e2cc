// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Seals for tests: a real keyring, and one that is beside the point.
import { generateKeyPairSync } from 'node:crypto';
import type { StepUpApproval, StepUpDecision } from '../../src/api/kinds.ts';
import { CurrentSealing } from '../../src/api/sealing.ts';
import type { Approval, Decision } from '../../src/domain/model/approval.ts';
import type { Seals } from '../../src/domain/model/seal-check.ts';
import { type KeptKey, Keyring } from '../../src/domain/seals/keyring.ts';

export function keptKey(createdAt = new Date('2026-01-01T00:00:00Z')): KeptKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    createdAt: createdAt.toISOString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

export function keyringOf(keys: readonly KeptKey[], nowMs: () => number = Date.now): Keyring {
  const ring = Keyring.of(keys, nowMs);
  if (typeof ring === 'string') throw new Error(ring);
  return ring;
}

export function sealingOf(seals: Seals): CurrentSealing {
  const sealing = new CurrentSealing();
  sealing.set(seals);
  return sealing;
}

/** Where nobody forges anything: takes everything for sealed. */
const trusting: Seals = { sign: () => 'seal', check: () => 'Sealed' };

/** Everything as if it were sealed. */
export const trusted = sealingOf(trusting);
export const approvalOf = (object: StepUpApproval): Approval => trusted.reader.approval(object);
export const decisionOf = (object: StepUpDecision): Decision => trusted.reader.decision(object);
