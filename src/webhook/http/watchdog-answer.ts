// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Answers the watchdog's probe: being called is all that it tests (ADR 0014).
import type { Answer } from '../../api/admission-review.ts';
import { rejectionDetails, rejectionMessage } from '../../domain/decision/message.ts';
import { probeWarnings } from '../../domain/integrity/watchdog-probe.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';

/** A dry run passes, because a denial would count in the API server's metrics and audit log. Nothing is ever stored. */
export function answerProbe(policy: string, { dryRun, object }: AdmissionRequest): Answer {
  if (dryRun) return { warnings: probeWarnings(policy, object) };
  const message = rejectionMessage(policy, 'InvalidRequest', 'A Lease of the watchdog is for dry runs only');
  return {
    refusal: { code: 403, reason: 'InvalidRequest', message, details: rejectionDetails(policy, 'InvalidRequest') },
  };
}
