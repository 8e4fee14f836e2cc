// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The kinds of stepup.dev as the API serves them, and proof that the domain reads them as they are.
import type * as domain from '../domain/approval.ts';
import type { Policy } from '../domain/policy.ts';
import type { KubeObject, ObjectMeta } from './kube-object.ts';
import type * as generated from './v1alpha1/generated.ts';

type Namespaced<T extends KubeObject> = T & { readonly metadata: ObjectMeta & { readonly namespace: string } };

export type StepUpPolicy = generated.StepUpPolicy & { readonly metadata: ObjectMeta & { readonly generation: number } };
export type StepUpApproval = Namespaced<generated.StepUpApproval>;
export type StepUpDecision = Namespaced<generated.StepUpDecision>;

// The domain's types are narrower views of the generated ones, so objects pass without being copied. These functions
// are the compiler's check of it, and the only places where one becomes the other.
export const policyOf = (object: StepUpPolicy): Policy => object;
export const approvalOf = (object: StepUpApproval): domain.Approval => object;
export const decisionOf = (object: StepUpDecision): domain.Decision => object;
