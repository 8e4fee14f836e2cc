// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The copies of every replica: all policies, live approvals, all votes, and the labels of namespaces.
import type { StepUpApproval, StepUpDecision, StepUpPolicy } from '../api/kinds.ts';
import { stepUpApprovals, stepUpDecisions, stepUpPolicies } from '../api/own-resources.ts';
import { ends } from '../domain/model/approval.ts';
import { targetLabel } from '../domain/model/labels.ts';
import type { RestClient } from '../kube/http/rest.ts';
import type { KubeObject } from '../kube/objects/objects.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import { namespaces as namespaceResource } from '../kube/objects/resources.ts';
import { Reflector } from '../kube/watch/reflector.ts';
import { errorFields, type Log } from '../observe/log.ts';
import { delayedSource } from './delayed-source.ts';

/** Memory follows live approvals only: ended ones leave the selection. An object without status passes it. */
const live = ends.map((phase) => `status.phase!=${phase}`).join(',');

export function createCaches(rest: RestClient, options: { readonly delayMs: number; readonly log: Log }) {
  const { delayMs, log } = options;
  const clients = {
    policies: new ResourceClient<StepUpPolicy>(rest, stepUpPolicies),
    approvals: new ResourceClient<StepUpApproval>(rest, stepUpApprovals),
    decisions: new ResourceClient<StepUpDecision>(rest, stepUpDecisions),
  };
  const common = <T extends KubeObject>(client: ResourceClient<T>) => ({
    source: delayedSource(client, delayMs),
    transform: withoutManagedFields<T>,
    onError: (error: unknown) =>
      log.warn({ resource: client.resource.plural, ...errorFields(error) }, 'watching failed'),
  });
  const policies = new Reflector<StepUpPolicy>(common(clients.policies));
  const approvals = new Reflector<StepUpApproval, 'target' | 'requester'>({
    ...common(clients.approvals),
    fieldSelector: live,
    indexBy: {
      target: ({ metadata }) => [metadata.labels?.[targetLabel] ?? ''],
      requester: ({ spec }) => [spec.requester.username],
    },
  });
  const decisions = new Reflector<StepUpDecision, 'approval' | 'name'>({
    ...common(clients.decisions),
    indexBy: {
      approval: ({ spec }) => [spec.approval.uid],
      name: ({ metadata, spec }) => [`${metadata.namespace}/${spec.approval.name}`],
    },
  });
  const namespaces = new Reflector<KubeObject>({
    ...common(new ResourceClient<KubeObject>(rest, namespaceResource)),
    transform: labelsOnly,
  });
  const all = [policies, approvals, decisions, namespaces];
  return {
    clients,
    policies,
    approvals,
    decisions,
    namespaces,
    hasSynced: () => all.every((reflector) => reflector.hasSynced),
    run: async (signal: AbortSignal) => {
      await Promise.all(all.map((reflector) => reflector.run(signal)));
    },
  };
}

/** Who wrote which field matters to nobody here, and takes half the memory of an object. */
function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function labelsOnly({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, uid, resourceVersion, creationTimestamp, labels = {} } = metadata;
  return { apiVersion, kind, metadata: { name, uid, resourceVersion, creationTimestamp, labels } };
}
