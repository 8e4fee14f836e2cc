// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The part of the operator that protects what stepup depends on: the guard, its API group, its kinds, and whether the
// API server calls its webhooks at all.

import type { StepUpPolicy } from '../../api/kinds.ts';
import { stepUpPolicies } from '../../api/own-resources.ts';
import { ownApiServiceName } from '../../domain/model/labels.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { EventRecorder } from '../../kube/objects/events.ts';
import type { APIService, KubeObject } from '../../kube/objects/objects.ts';
import type { Resource } from '../../kube/objects/resource.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import * as resources from '../../kube/objects/resources.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { Reflector, ReflectorOptions } from '../../kube/watch/reflector.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import type { Log } from '../../observe/log.ts';
import type { OperatorMetrics } from '../../observe/operator-metrics.ts';
import { ObjectKeeper } from '../admission/object-keeper.ts';
import { TamperingReporter } from '../admission/tampering-reporter.ts';
import type { WebhookConfiguration } from '../admission/webhook-configuration.ts';
import { PolicyKind } from '../gates/policy-kind.ts';
import { type GuardObject, guardForm, guardNames, guards } from '../guard/guard.ts';
import { GuardReconciler } from '../guard/guard-reconciler.ts';
import { APIServiceReconciler } from './api-service-reconciler.ts';
import { type Definition, DefinitionReconciler, ownDefinitions } from './definition-reconciler.ts';
import { createGateWatchdog } from './gate-watchdog.ts';

export interface GuardSettings {
  /** False leaves it to RBAC alone what gated accounts may do to the gate. */
  readonly isOn: boolean;
  /** Usernames of service accounts that may do it nevertheless. */
  readonly exempt: readonly string[];
}

export interface IntegrityDependencies {
  readonly rest: RestClient;
  readonly own: { readonly username: string; readonly namespace: string };
  readonly service: { readonly name: string };
  readonly guard: GuardSettings;
  readonly packsConfigMap: string;
  readonly policies: Watched<StepUpPolicy>;
  /** The gates. */
  readonly configurations: Watched<WebhookConfiguration>;
  readonly watchdogSeconds: number;
  /** Starts a copy of a resource, which runs as long as the operator. */
  readonly reflect: <T extends KubeObject>(
    resource: Resource,
    options?: Omit<ReflectorOptions<T>, 'source'>,
  ) => Reflector<T>;
  readonly onNoticed: () => void;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly metrics: OperatorMetrics;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Integrity {
  readonly tampering: TamperingReporter;
  readonly policyKind: PolicyKind;
  /** Must be whole before `run`. */
  readonly copies: readonly Watched<KubeObject>[];
  run(signal: AbortSignal): Promise<void>;
}

export function createIntegrity(dependencies: IntegrityDependencies): Integrity {
  const { rest, own, service, guard: settings, reflect, log, clock } = dependencies;
  const named = (name: string) => ({ fieldSelector: `metadata.name=${name}` });
  const policies = reflect<GuardObject>(resources.validatingAdmissionPolicies, { transform: onlyGuards });
  const bindings = reflect<GuardObject>(resources.validatingAdmissionPolicyBindings, { transform: onlyGuards });
  const apiServices = reflect<APIService>(resources.apiServices, named(ownApiServiceName));
  const watched = ownDefinitions.map((name) =>
    reflect<KubeObject>(resources.customResourceDefinitions, { ...named(name), transform: metadataOnly }),
  );

  const tampering = new TamperingReporter(dependencies);
  const context = {
    ownUsername: own.username,
    exempt: settings.exempt,
    namespace: own.namespace,
    release: service.name,
  };
  const keeper = (resource: Resource, stored: Watched<GuardObject>) =>
    new ObjectKeeper({ client: new ResourceClient<GuardObject>(rest, resource), stored, form: guardForm, tampering });
  const guard = new GuardReconciler({
    guards: settings.isOn ? guards(context) : [],
    policies,
    policyKeeper: keeper(resources.validatingAdmissionPolicies, policies),
    bindings,
    bindingKeeper: keeper(resources.validatingAdmissionPolicyBindings, bindings),
    log,
    clock,
  });
  const client = new ResourceClient<APIService>(rest, resources.apiServices);
  const apiService = new APIServiceReconciler({ apiServices, client, tampering, log, clock });
  const definitions = new ResourceClient<Definition>(rest, resources.customResourceDefinitions);
  const definition = new DefinitionReconciler({
    watched,
    client: definitions,
    configMaps: new ResourceClient<KubeObject>(rest, resources.configMaps),
    configMap: { namespace: own.namespace, name: dependencies.packsConfigMap },
    tampering,
    log,
    clock,
  });
  const watchdog = createGateWatchdog(dependencies);
  return {
    tampering,
    policyKind: new PolicyKind({ definitions, policies: new ResourceClient(rest, stepUpPolicies) }),
    copies: [policies, bindings, ...watched],
    run: async (signal) => {
      await Promise.all([guard.run(signal), apiService.run(signal), definition.run(signal), watchdog.run(signal)]);
    },
  };
}

/** Of policies that are not ours only the names are kept. */
function onlyGuards({ apiVersion, kind, metadata, spec }: GuardObject): GuardObject {
  return { apiVersion, kind, metadata, spec: guardNames.includes(metadata.name) ? spec : {} };
}

function metadataOnly({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  return { apiVersion, kind, metadata };
}
