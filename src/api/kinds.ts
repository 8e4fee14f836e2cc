// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The kinds of stepup.dev as the API server returns them, with a compile-time check that the domain can read them.
import type { Policy } from '../domain/model/policy.ts';
import type { KubeObject, ObjectMeta } from '../kube/objects/kube-object.ts';
import type * as generated from './generated/v1alpha1.ts';

type Namespaced<T extends KubeObject> = T & { readonly metadata: ObjectMeta & { readonly namespace: string } };

export type StepUpPolicy = generated.StepUpPolicy & { readonly metadata: ObjectMeta & { readonly generation: number } };
export type StepUpApproval = Namespaced<generated.StepUpApproval>;
export type StepUpDecision = Namespaced<generated.StepUpDecision>;

// The domain's types are narrower views of the generated ones: this function and sealed-reader.ts are the compiler's
// check of it, and the only places where one becomes the other.
export const policyOf = (object: StepUpPolicy): Policy => object;
