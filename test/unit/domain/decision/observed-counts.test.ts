// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a policy in mode Observe has seen: sums that lose no count, in bounded room.
import { expect, test } from 'vitest';
import {
  type Blocked,
  type Observed,
  observedOne,
  observedTogether,
} from '../../../../src/domain/decision/observed-counts.ts';
import { at, policy } from '../../../support/builders/domain.ts';

const blocked: Blocked = { requester: 'ci/deployer', action: 'DELETE secrets prod/db', reason: 'ApprovalRequired' };
const under = policy({ mode: 'Observe' });
const seen = (all: readonly (readonly [number, Blocked | undefined])[]) =>
  all.reduce<Observed | undefined>((sum, [second, one]) => observedOne(sum, under, one, at(second)), undefined);

test('the same requester, action and reason are one row with a count and the last instant', () => {
  const other = { ...blocked, action: 'DELETE secrets prod/api' };
  const sum = seen([
    [1, blocked],
    [2, other],
    [3, undefined],
    [4, blocked],
  ]);
  expect(sum).toMatchObject({ requests: 4, wouldHaveBlocked: 3 });
  expect(sum?.blocked).toEqual([
    { ...blocked, count: 2, lastAt: at(4).toISOString() },
    { ...other, count: 1, lastAt: at(2).toISOString() },
  ]);
});

test.each([
  ['requester', { requester: 'ci/other' }],
  ['action', { action: 'DELETE secrets prod/api' }],
  ['reason', { reason: 'TokenTooLong' }],
])('another %s is another row', (_, change) => {
  expect(
    seen([
      [1, blocked],
      [2, { ...blocked, ...change }],
    ])?.blocked,
  ).toHaveLength(2);
});

test('two replicas add up, whichever writes last', () => {
  const [one, other] = [seen([[1, blocked]]), seen([[5, blocked]])];
  if (one === undefined || other === undefined) throw new Error('nothing seen');
  const want = [{ ...blocked, count: 2, lastAt: at(5).toISOString() }];
  expect(observedTogether(one, other).blocked).toEqual(want);
  expect(observedTogether(other, one).blocked).toEqual(want);
});

test('what was stored before there were rows is added to', () => {
  const { blocked: _, ...stored } = seen([[1, blocked]]) as Observed;
  expect(observedTogether(stored, seen([[2, blocked]]) as Observed)).toMatchObject({
    wouldHaveBlocked: 2,
    blocked: [{ count: 1 }],
  });
});

test('of more than fifty rows the oldest go, and no count is lost', () => {
  const many = Array.from({ length: 60 }, (_, n) => [n, { ...blocked, action: `DELETE secrets prod/${n}` }] as const);
  const sum = seen(many);
  expect(sum?.wouldHaveBlocked).toBe(60);
  expect(sum?.blocked).toHaveLength(50);
  expect(sum?.blocked?.at(-1)?.action).toBe('DELETE secrets prod/10');
});
