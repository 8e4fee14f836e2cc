// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the webhook reads from: copies and clients of stepup's kinds, as small interfaces.
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../api/kinds.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { ObjectView } from '../../kube/watch/object-store.ts';

/** Copies of the three kinds, and of the labels of namespaces. Approvals may leave out ended ones. */
export interface Caches {
  readonly policies: ObjectView<StepUpPolicy>;
  /** target: the label stepup.dev/target; requester: spec.requester.username. */
  readonly approvals: ObjectView<StepUpApproval, 'target' | 'requester'>;
  /** approval: the UID in spec.approval.uid. */
  readonly decisions: ObjectView<StepUpDecision, 'approval'>;
  readonly namespaces: ObjectView<KubeObject>;
  hasSynced(): boolean;
  /** The monotonic instant since which nothing that happened to live approvals was missed; undefined before all is synced. */
  approvalsUnbrokenSinceMs(): number | undefined;
}

export interface Clients {
  readonly policies: Pick<ResourceClient<StepUpPolicy>, 'get' | 'replaceStatus'>;
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'get' | 'list' | 'create' | 'replaceStatus'>;
  readonly decisions: Pick<ResourceClient<StepUpDecision>, 'list'>;
}
