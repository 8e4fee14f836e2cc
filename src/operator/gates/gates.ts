// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The part of the operator that has the API server ask: about votes first, then about what policies govern.
import type { StepUpPolicy } from '../../api/kinds.ts';
import { stepUpPolicies } from '../../api/own-resources.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { Discovery } from '../../kube/objects/discovery.ts';
import type { Resource } from '../../kube/objects/resource.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import { mutatingWebhookConfigurations, validatingWebhookConfigurations } from '../../kube/objects/resources.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import type { Log } from '../../observe/log.ts';
import { ObjectKeeper } from '../admission/object-keeper.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';
import { type WebhookConfiguration, webhookForm } from '../admission/webhook-configuration.ts';
import type { PolicyKind } from './policy-kind.ts';
import { PolicyReconciler } from './policy-reconciler.ts';
import { StampReconciler } from './stamp-reconciler.ts';

export interface GatesDependencies {
  readonly rest: RestClient;
  readonly own: { readonly username: string; readonly namespace: string };
  readonly service: { readonly name: string; readonly port: number };
  readonly policies: Watched<StepUpPolicy>;
  readonly validating: Watched<WebhookConfiguration>;
  readonly mutating: Watched<WebhookConfiguration>;
  /** What the API server is to trust; undefined until there is a certificate. */
  readonly caBundle: () => string | undefined;
  readonly webhookListening: () => boolean;
  readonly discovery: () => Discovery;
  readonly engineExists: (name: string) => boolean;
  readonly policyKind: PolicyKind;
  readonly tampering: Pick<TamperingReporter, 'notice' | 'latest'>;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Gates {
  readonly policies: PolicyReconciler;
  readonly stamp: StampReconciler;
  run(signal: AbortSignal): Promise<void>;
}

export function createGates(dependencies: GatesDependencies): Gates {
  const { rest, own, policies, validating, mutating, webhookListening, discovery, engineExists } = dependencies;
  const { tampering, log, clock } = dependencies;
  const keeper = (resource: Resource, stored: Watched<WebhookConfiguration>) => {
    const client = new ResourceClient<WebhookConfiguration>(rest, resource);
    return new ObjectKeeper({ client, stored, form: webhookForm, tampering });
  };
  const mutatingKeeper = keeper(mutatingWebhookConfigurations, mutating);
  const service = { ...dependencies.service, namespace: own.namespace };
  const context = () => {
    const caBundle = dependencies.caBundle();
    return caBundle === undefined ? undefined : { ownUsername: own.username, service, caBundle };
  };
  // A gate before that would have votes asked for that nobody stamps.
  let isStampInPlace = false;
  const policyReconciler = new PolicyReconciler({
    policies,
    client: new ResourceClient<StepUpPolicy>(rest, stepUpPolicies),
    kind: dependencies.policyKind,
    configurations: validating,
    keeper: keeper(validatingWebhookConfigurations, validating),
    pins: mutating,
    pinKeeper: mutatingKeeper,
    context: () => {
      const known = context();
      const mayGate = isStampInPlace && webhookListening();
      return known === undefined || !mayGate ? undefined : { ...known, discovery: discovery(), engineExists };
    },
    tampering,
    log,
    clock,
  });
  const stamp = new StampReconciler({
    configurations: mutating,
    keeper: mutatingKeeper,
    context,
    onInPlace: () => {
      if (!isStampInPlace) policyReconciler.enqueueAll();
      isStampInPlace = true;
    },
    log,
    clock,
  });
  return {
    policies: policyReconciler,
    stamp,
    run: async (signal) => {
      await Promise.all([stamp.run(signal), policyReconciler.run(signal)]);
    },
  };
}
