// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The lifetime of a requested token, compared with the limit of a policy.
import { sameJson, textAt, valueAt } from '../../lib/json.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { isTokenSecret, tokenOwners } from './token-secret.ts';

/** What the API server gives where nothing is asked (k8s.io/api/authentication/v1, defaults). */
const defaultSeconds = 3600;

/**
 * The API server gives a token that is bound to a pod and asked for 3607 s a year
 * (pkg/registry/core/serviceaccount/storage/token.go, --service-account-extend-token-expiration).
 */
const extended = { askedSeconds: 3607, seconds: 365 * 24 * 3600 };

/** True when the request would get a token that lives longer than that. */
export function isTokenTooLong(request: AdmissionRequest, mostSeconds: number | undefined): boolean {
  if (mostSeconds === undefined) return false;
  if (`${request.group}/${request.resource}` === '/secrets') return getsEndlessToken(request);
  const isToken = `${request.group}/${request.resource}/${request.subresource}` === '/serviceaccounts/token';
  if (!isToken || request.operation !== 'CREATE') return false;
  const asked = valueAt(request.object, '/spec/expirationSeconds') ?? defaultSeconds;
  const isExtended = asked === extended.askedSeconds && textAt(request.object, '/spec/boundObjectRef/kind') === 'Pod';
  // What is no number cannot be known to be short.
  return typeof asked !== 'number' || (isExtended ? extended.seconds : asked) > mostSeconds;
}

/** The token that Kubernetes writes into a Secret has no end (pkg/controller/serviceaccount/tokens_controller.go). */
function getsEndlessToken(request: AdmissionRequest): boolean {
  if (!isTokenSecret(request)) return false;
  if (request.operation === 'CREATE') return true;
  const { operation, object, oldObject } = request;
  return (
    operation === 'UPDATE' && tokenOwners.some((place) => !sameJson(valueAt(object, place), valueAt(oldObject, place)))
  );
}
