// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The approval that the webhook files for a denied request.

import { defined } from '../../lib/json.ts';
import type { Attempt } from '../change/attempt.ts';
import { digestVersion } from '../change/change-digest.ts';
import { statedOn } from '../change/describe.ts';
import { askedOnOf } from '../lifecycle/target-drift.ts';
import type { ApprovalSpec, Preview } from '../model/approval.ts';
import { recordedOwners } from '../model/owners.ts';
import { grantOf, type Policy } from '../model/policy.ts';
import type { AdmissionRequest } from '../model/request.ts';

/** The spec to file for an attempt; stamped as made by us because a request was denied. */
export function draftOf(
  attempt: Attempt,
  request: AdmissionRequest,
  policy: Policy,
  preview: Preview,
  ownUsername: string,
  owners: readonly string[] = [],
): ApprovalSpec {
  const { requester, change } = attempt;
  const reason = statedOn(request, 'reason');
  const ticket = statedOn(request, 'ticket');
  const askedOn = askedOnOf(change, request);
  return {
    policy: { name: policy.metadata.name, uid: policy.metadata.uid, generation: policy.metadata.generation },
    requester: {
      username: requester.username,
      ...(requester.uid === '' ? {} : { uid: requester.uid }),
      ...defined({ pod: requester.pod, node: requester.node, credential: requester.credential }),
      ...recordedOwners(owners),
    },
    action: attempt.action,
    change: {
      digest: change.digest,
      digestVersion,
      ...defined({ fields: change.fields, askedOn }),
      preview,
    },
    ttlSeconds: grantOf(policy).ttlSeconds,
    ...(reason === undefined ? {} : { reason: reason.slice(0, 1024) }),
    ...(ticket === undefined ? {} : { ticket: ticket.slice(0, 256) }),
    origin: 'Denied',
    createdBy: { username: ownUsername },
  };
}
