// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Secrets that Kubernetes fills with a token of a service account (pkg/controller/serviceaccount/tokens_controller.go).
import { textAt } from '../../lib/json.ts';
import type { AdmissionRequest } from '../model/request.ts';

/** The type never changes once the Secret is there. */
export const tokenSecretType = 'kubernetes.io/service-account-token';

/** Whose token it is. */
export const tokenOwners: readonly string[] = ['name', 'uid'].map(
  (key) => `/metadata/annotations/kubernetes.io~1service-account.${key}`,
);

export function isTokenSecret({ object }: AdmissionRequest): boolean {
  return textAt(object, '/type') === tokenSecretType;
}
