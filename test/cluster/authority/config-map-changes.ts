// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// An installation in which every change of a ConfigMap by the deployer needs approval, and changes that ask for one.
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import { type Action, Actors, putBack, tried } from '../../support/installation/actors.ts';
import { approvalNamedIn } from '../../support/installation/approvals.ts';
import { type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

/** With the policy contents beside the ready-made ones. */
export async function installGoverningConfigMaps(): Promise<{
  readonly stepup: Installation;
  readonly actors: Actors;
}> {
  const stepup = await installStepup();
  try {
    const changes = [{ operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], resources: ['configmaps'] }];
    await addPolicy(stepup, 'contents', changes);
    return { stepup, actors: new Actors(stepup) };
  } catch (failure) {
    await stepup.stop();
    throw failure;
  }
}

export const updateOf = (name: string): Action => ({ operation: 'UPDATE', namespace: 'prod', name });

/** Has a change denied, so that its approval is there. */
export async function deniedApproval(actors: Actors, action: Action): Promise<StepUpApproval> {
  await putBack(actors, action);
  const { name, namespace } = approvalNamedIn((await tried(actors, action)).message);
  return actors.reached({ name, namespace }, ({ status }) => status?.approveWith !== undefined);
}
