// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// One SubjectAccessReview: whether somebody can do something, by the authorizers of the API server.

import type { RestClient } from '../../kube/http/rest.ts';
import { creationPath } from '../../kube/objects/resource.ts';
import { subjectAccessReviews } from '../../kube/objects/resources.ts';
import { isObject, type Json, valueAt } from '../../lib/json.ts';

export interface AccessSubject {
  readonly user: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface AccessLimit {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** True only when the API server says so. Rejects when it cannot be asked. */
export async function isAllowed(
  rest: Pick<RestClient, 'request'>,
  subject: AccessSubject,
  resourceAttributes: object,
  limit: AccessLimit,
): Promise<boolean> {
  const answer = (await rest.request({
    method: 'POST',
    path: creationPath(subjectAccessReviews, undefined),
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { ...subject, resourceAttributes },
    },
    ...limit,
  })) as Json;
  return isObject(answer) && valueAt(answer, '/status/allowed') === true;
}
