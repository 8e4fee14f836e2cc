// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The part of the operator that has policy engines decide: which there are, and what they are asked.
import type { StepUpApproval, StepUpDecision } from '../../api/kinds.ts';
import { stepUpApprovals, stepUpDecisions } from '../../api/own-resources.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import { unlessAborted } from '../../kube/time/unless-aborted.ts';
import { ask } from './ask.ts';
import { EngineConfiguration, type EngineConfigurationOptions } from './engine-configuration.ts';
import { EngineReconciler, type EngineReconcilerOptions } from './engine-reconciler.ts';

type Made = 'engines' | 'ask' | 'approvalClient' | 'decisionClient';

export interface EnginesDependencies
  extends EngineConfigurationOptions,
    Omit<EngineReconcilerOptions, Made | keyof EngineConfigurationOptions> {
  readonly rest: RestClient;
  readonly keyring: { readonly known: Promise<void> };
}

export interface Engines {
  readonly configuration: EngineConfiguration;
  readonly reconciler: EngineReconciler;
  run(signal: AbortSignal): Promise<void>;
}

export function createEngines(dependencies: EnginesDependencies): Engines {
  const { rest, keyring } = dependencies;
  const configuration = new EngineConfiguration(dependencies);
  const reconciler = new EngineReconciler({
    ...dependencies,
    engines: () => configuration.engines,
    ask,
    approvalClient: new ResourceClient<StepUpApproval>(rest, stepUpApprovals),
    decisionClient: new ResourceClient<StepUpDecision>(rest, stepUpDecisions),
  });
  return {
    configuration,
    reconciler,
    // Without the keys no decision could be sealed.
    run: (signal) => unlessAborted(keyring.known, signal).then(() => reconciler.run(signal)),
  };
}
