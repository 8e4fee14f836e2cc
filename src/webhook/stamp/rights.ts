// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Checks with the API server whether RBAC allows the creator of a vote to vote.

import type { AdmissionRequest } from '../../domain/model/request.ts';
import { lackSentence, type Right, type RightVerb } from '../../domain/stamping/rbac-verb.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { type AccessLimit, isAllowed } from '../reads/access-review.ts';

export interface RightsDependencies {
  readonly rest: Pick<RestClient, 'request'>;
  readonly log: Log;
}

export class Rights {
  readonly #rest: Pick<RestClient, 'request'>;
  readonly #log: Log;

  constructor({ rest, log }: RightsDependencies) {
    this.#rest = rest;
    this.#log = log;
  }

  /** Whether the caller, with all that the API server knows of them, has the verb on the policy. An error is a no. */
  async ask(request: AdmissionRequest, verb: RightVerb, policy: string, limit: AccessLimit): Promise<Right> {
    const { username, uid, groups } = request.requester;
    const resourceAttributes = {
      group: 'stepup.dev',
      version: 'v1alpha1',
      resource: 'stepuppolicies',
      name: policy,
      verb,
    };
    const subject = { user: username, uid, groups, extra: request.extra ?? {} };
    try {
      const isGranted = await isAllowed(this.#rest, subject, resourceAttributes, limit);
      return isGranted ? { isGranted } : { isGranted, why: lackSentence(username, verb, policy) };
    } catch (error) {
      this.#log.warn({ policy, verb, ...errorFields(error) }, 'checking a permission of a voter failed');
      const why = `could not check whether user "${username}" can "${verb}" stepuppolicies "${policy}"; try again`;
      return { isGranted: false, why };
    }
  }
}
