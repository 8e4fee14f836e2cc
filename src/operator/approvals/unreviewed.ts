// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Counts the break-glass approvals, ended ones too, that nobody has reviewed.
import type { StepUpApproval } from '../../api/kinds.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import type { OperatorMetrics } from '../../observe/operator-metrics.ts';

/** Selects them; there are few, so all are held. */
export const unreviewedOnly = { fieldSelector: 'status.review=Required' };

export function countUnreviewed(unreviewed: Watched<StepUpApproval>, metrics: OperatorMetrics): void {
  unreviewed.onChange(() => metrics.unreviewed(unreviewed.objects.size));
}
