// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the benchmark writes into etcd is what the product would have stored: at rest, found, and covering its request.
import { expect, test } from 'vitest';
import { parseReview } from '../../../src/api/admission-review.ts';
import type { StepUpApproval, StepUpDecision } from '../../../src/api/kinds.ts';
import { SealedReader } from '../../../src/api/sealed-reader.ts';
import { attemptOf } from '../../../src/domain/change/attempt.ts';
import { describer } from '../../../src/domain/change/describe.ts';
import { decide } from '../../../src/domain/decision/decide.ts';
import { plan } from '../../../src/domain/lifecycle/plan.ts';
import type { Json } from '../../../src/lib/json.ts';
import { policy as builtPolicy, deploys } from '../../support/builders/domain.ts';
import { deployment, review as reviewOf } from '../../support/builders/reviews.ts';
import { keptKey, keyringOf } from '../../support/seals.ts';
import type { Review } from './review.ts';
import { likeOne, type Stored, spent, stored } from './stored.ts';

const policy = builtPolicy({ actions: [{ ...deploys, operations: ['UPDATE'] }] }, 'bench');
const recorded = reviewOf({
  operation: 'UPDATE',
  object: deployment({ image: 'web:2', metadata: { uid: 'u', resourceVersion: '1', generation: 2 } }),
  oldObject: deployment({ image: 'web:1', metadata: { uid: 'u', resourceVersion: '1', generation: 1 } }),
}) as unknown as Review;
const seals = keyringOf([keptKey()]);
const reader = new SealedReader(seals);
const createdAt = new Date('2026-01-01T12:00:00.400Z');
const decidedAt = new Date('2026-01-01T12:00:30.007Z');
const now = new Date('2026-01-01T12:01:00Z');
const wanted = { namespace: 'stored-1', name: 'web-1', createdAt };

function planned({ approval, decision }: Pick<Stored, 'approval' | 'decision'>) {
  return plan({
    approval: reader.approval(approval),
    decisions: decision === undefined ? [] : [reader.decision(decision)],
    policy,
    policies: [policy],
    siblings: [],
    seen: { kind: 'Nothing' },
    retentionSeconds: 86_400,
    now,
  });
}

function answered({ approval, decision, review }: Stored) {
  const parsed = parseReview(review as Json);
  if (!parsed.ok) throw new Error(parsed.problems.join());
  const { request } = parsed;
  const describeUnder = describer(request);
  const described = describeUnder(policy, []);
  if (described.kind !== 'Privileged') throw new Error(described.reason);
  return decide({
    request,
    attempt: attemptOf(policy.metadata.name, request, described.change),
    policy,
    policies: [policy],
    describeUnder,
    view: {
      approvals: [reader.approval(approval)],
      decisions: decision === undefined ? [] : [reader.decision(decision)],
      isLive: true,
    },
    ownNamespace: 'stepup-system',
    now,
  });
}

const pending = stored(recorded, policy, wanted, seals);
const approved = stored(recorded, policy, { ...wanted, decidedAt }, seals);
const like = (one: Parameters<typeof likeOne>[0]) =>
  [...likeOne(one, 2, (index) => `elsewhere-${index}`, seals)] as unknown as {
    readonly approval: StepUpApproval;
    readonly decision?: StepUpDecision;
  }[];

test('nothing is left to write on it, whoever asked', () => {
  const userInfo = { username: 'grace.hopper', groups: ['system:authenticated'] };
  const person = stored({ ...recorded, request: { ...recorded.request, userInfo } } as Review, policy, wanted, seals);
  for (const one of [pending, approved, person, ...like(pending), ...like(approved), ...like(person)]) {
    expect(planned(one)).toMatchObject({ events: [], isToBeRemoved: false });
    expect(planned(one).status).toBeUndefined();
  }
  expect(planned({ approval: spent(pending, now) }).status).toBeUndefined();
});

test('it covers its request, when it is approved', () => {
  expect(answered(approved)).toMatchObject({ outcome: 'Allowed', reason: 'Reserved' });
  const denial = answered(pending);
  expect(denial).toMatchObject({ outcome: 'NeedsApproval', approvalName: pending.approval.metadata.name });
});

test('each of many has a name, a target and a namespace of its own', () => {
  const made = like(approved);
  const distinct = (pick: (approval: StepUpApproval) => unknown) =>
    new Set(made.map(({ approval }) => pick(approval))).size;
  expect(
    [
      distinct(({ metadata }) => metadata.name),
      distinct(({ metadata }) => metadata.namespace),
      distinct(({ metadata }) => metadata.labels?.['stepup.dev/target']),
      distinct(({ spec }) => spec.change?.digest),
    ],
    JSON.stringify(made.map(({ approval }) => approval.metadata)),
  ).toEqual([2, 2, 2, 2]);
});
