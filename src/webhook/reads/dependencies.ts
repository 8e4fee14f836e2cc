// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the webhook needs from the rest of the process, as small interfaces.
import type { Registry } from 'prom-client';
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { ObjectView } from '../../kube/watch/object-store.ts';
import type { Audit } from '../../observe/audit.ts';
import type { Log } from '../../observe/log.ts';
import type { Mutators } from '../stamp/foreign-mutators.ts';

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

export interface WebhookDependencies {
  readonly caches: Caches;
  readonly clients: Clients;
  /** For targets whose review does not carry them: the parent of a scale, the pod of an eviction. */
  readonly rest: Pick<RestClient, 'request'>;
  /** Our own identity, as SelfSubjectReview tells it, and the namespace we run in. */
  readonly own: { readonly username: string; readonly namespace: string };
  /** The keys that votes and releases are sealed with. */
  readonly sealing: Sealing;
  /** The Secret in our namespace that keeps the keys of seals. */
  readonly keysSecret: string;
  readonly mutators: Pick<Mutators, 'foreign'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Audit;
  readonly registry: Registry;
  /** Keys the hashes that stand for secret values in previews. */
  readonly previewKey: Uint8Array;
}
