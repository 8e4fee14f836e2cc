// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A requester at machine speed asks for two contents within a second: the one asked for last must stay approvable.
import { expect, test } from 'vitest';
import { plan } from '../../../../src/domain/lifecycle/plan.ts';
import type { Approval } from '../../../../src/domain/model/approval.ts';
import { approval, at, deployment, policy, request, situation } from '../../../support/builders/domain.ts';

const asked = (image: string, uid: string, seconds: number): Approval =>
  approval(request({ object: deployment(image, 2) }), policy(), { name: `for-${uid}`, uid, created: at(seconds) });

const phaseOf = (one: Approval, other: Approval) => plan(situation(one, { siblings: [other] })).status?.phase;

test.each([
  ['a', 'b'],
  ['b', 'a'],
])('of two filed within a second neither is superseded, whatever their UIDs (%s, %s)', (uid, other) => {
  expect(phaseOf(asked('web:2', uid, 0), asked('web:3', other, 0))).toBe('Pending');
});

test('of two filed a second apart the older is', () => {
  expect(phaseOf(asked('web:2', 'b', 0), asked('web:3', 'a', 1))).toBe('Superseded');
  expect(phaseOf(asked('web:3', 'a', 1), asked('web:2', 'b', 0))).toBe('Pending');
});
