// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Creates an approval of stepup's own in the namespace of its target, or in stepup's where there is no room.
import type { StepUpApproval } from '../../api/kinds.ts';
import { targetLabelOf } from '../../domain/change/attempt.ts';
import type { ApprovalSpec } from '../../domain/model/approval.ts';
import { targetLabel } from '../../domain/model/labels.ts';
import type { Seals } from '../../domain/model/seal-check.ts';
import { withSealedCreation } from '../../domain/seals/seal.ts';
import { ApiError, isForbidden } from '../../kube/http/api-error.ts';
import type { CallOptions, ResourceClient } from '../../kube/objects/resource-client.ts';

export interface NewApproval {
  readonly name: string;
  /** The namespace where approvals of its target live. */
  readonly home: string;
  /** Sealed here for the namespace that it is created in. */
  readonly spec: ApprovalSpec;
}

/** Rejects with the API server's error, AlreadyExists among them. */
export async function createApproval(
  { name, home, spec }: NewApproval,
  to: {
    readonly approvals: Pick<ResourceClient<StepUpApproval>, 'create'>;
    readonly ownNamespace: string;
    readonly seals: Seals;
    /** The home has no room: what is tried again belongs in stepup's namespace, where this try may have stored it. */
    readonly onNoRoom?: () => void;
  },
  options: CallOptions = {},
): Promise<StepUpApproval> {
  const labels = { [targetLabel]: targetLabelOf(spec) };
  const createIn = (namespace: string) =>
    to.approvals.create(
      { metadata: { name, namespace, labels }, spec: withSealedCreation(namespace, spec, to.seals) },
      options,
    );
  try {
    return await createIn(home);
  } catch (error) {
    if (home === to.ownNamespace || !isNoRoom(error)) throw error;
    to.onNoRoom?.();
    return createIn(to.ownNamespace);
  }
}

/** The namespace is terminating, or its quota is used up (the API server's words; both are Forbidden). */
function isNoRoom(error: unknown): boolean {
  if (!isForbidden(error) || !(error instanceof ApiError)) return false;
  const causes = error.details?.causes ?? [];
  return causes.some(({ reason }) => reason === 'NamespaceTerminating') || /exceeded quota/.test(error.message);
}
