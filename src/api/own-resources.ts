// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The resources of stepup's three kinds.
import { cluster, namespaced } from '../kube/objects/resources.ts';

const ownGroup = { group: 'stepup.dev', version: 'v1alpha1' } as const;

export const stepUpPolicies = cluster(ownGroup, 'stepuppolicies', 'StepUpPolicy');
export const stepUpApprovals = namespaced(ownGroup, 'stepupapprovals', 'StepUpApproval');
export const stepUpDecisions = namespaced(ownGroup, 'stepupdecisions', 'StepUpDecision');
