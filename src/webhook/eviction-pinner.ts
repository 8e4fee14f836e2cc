// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The mutating endpoint for governed evictions: adds the UID of the pod that stepup is about to judge.
import type { Answer } from '../api/admission-review.ts';
import { isEviction, uidNamedBy, withUidNamed } from '../domain/change/eviction.ts';
import type { AdmissionRequest } from '../domain/model/request.ts';
import { withinLimit } from '../kube/http/call-limit.ts';
import type { RestClient } from '../kube/http/rest.ts';
import { textAt } from '../lib/json.ts';
import { readLiveTarget } from './reads/live-target.ts';

const innerDeadlineMs = 3_000;

export class Pinner {
  readonly #rest: Pick<RestClient, 'request'>;

  constructor(rest: Pick<RestClient, 'request'>) {
    this.#rest = rest;
  }

  /** Never denies: the gate denies an eviction that was not changed here, with its reason. Rejects at the deadline. */
  async review(request: AdmissionRequest): Promise<Answer> {
    if (!isEviction(request) || uidNamedBy(request) !== '') return {};
    const limit = { attempt: `name the pod of request ${request.uid}`, deadlineMs: innerDeadlineMs };
    const live = await withinLimit(limit, (signal) =>
      readLiveTarget(this.#rest, request, { deadlineMs: innerDeadlineMs, signal }),
    );
    const uid = live.kind === 'Read' ? textAt(live.object, '/metadata/uid') : '';
    return uid === '' ? {} : { patch: withUidNamed(request, uid) };
  }
}
