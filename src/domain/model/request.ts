// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One admission request, parsed, as the domain reads it.
import type { JsonObject } from '../../lib/json.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** Who sends a request, as the API server authenticated it. */
export interface Requester {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  /** The pod to which a bound service account token belongs (docs/facts.md, B20). */
  readonly pod?: { readonly name: string; readonly uid: string };
  /** The node of that pod; without UID if the API server did not find the node when it issued the token. */
  readonly node?: { readonly name: string; readonly uid?: string };
  /** The ID of the credential, if the API server reports one (docs/facts.md, B20). */
  readonly credential?: string;
}

export interface AdmissionRequest {
  /** New for every call to every webhook, so it does not identify a user's request (docs/facts.md, B1). */
  readonly uid: string;
  readonly operation: Operation;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  /** Empty for items of a deletecollection; then only the old object names the target (docs/facts.md, B10). */
  readonly name: string;
  readonly requester: Requester;
  /** Other attributes of the requester: authorizers other than RBAC can use them. */
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  readonly dryRun: boolean;
  readonly object?: JsonObject;
  readonly oldObject?: JsonObject;
  readonly options?: JsonObject;
}

export function isNamespaceObject(request: AdmissionRequest): boolean {
  return request.group === '' && request.resource === 'namespaces';
}
