// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A scale whose parent moves while its calls are under way: a Scale carries no generation, so the parent is read live.
import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../../../src/lib/json.ts';
import {
  answer,
  approval,
  type Case,
  context,
  deployment,
  policy,
  request,
  reserved,
  set,
  word,
} from '../../../support/builders/domain.ts';

/** The parent with so many replicas at a generation and a resourceVersion. */
function parent(replicas: number, generation: number, resourceVersion: string): JsonObject {
  const written = set(deployment('web:1', generation), ['metadata', 'resourceVersion'], resourceVersion);
  return set(written, ['spec', 'replicas'], replicas);
}

/** A call that starts from a Scale of 3 replicas at a resourceVersion and finds its parent as it is by then. */
function call(resourceVersion: string, live: JsonObject, from = 3): Case {
  const scale = (replicas: number): JsonObject => ({
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'web', namespace: 'prod', uid: 'uid-web', resourceVersion },
    spec: { replicas },
  });
  const asked = request({ subresource: 'scale', oldObject: scale(from), object: scale(5) });
  return { request: asked, context: { ...context, live } };
}

describe('a scale', () => {
  const first = call('1', parent(3, 1, '1'));
  const filed = approval(first.request, policy());
  const approved = { approvals: [filed], words: [word(filed)] };
  const answerTo = (reserving: Case, next: Case) =>
    answer({ ...approved, ...next, approvals: [reserved({ ...approved, ...reserving })] });

  test('is admitted again after a status write', () => {
    expect(answerTo(first, call('2', parent(3, 1, '2')))).toBe('Allowed Readmitted');
  });
  test('is admitted again when the status was written before its parent was read', () => {
    expect(answerTo(call('1', parent(3, 1, '2')), call('2', parent(3, 1, '2')))).toBe('Allowed Readmitted');
  });
  test('is admitted again when the image was changed before its parent was read', () => {
    expect(answerTo(call('1', parent(3, 2, '2')), call('2', parent(3, 2, '2')))).toBe('Allowed Readmitted');
  });
  test('is not when its parent moves on by a generation', () => {
    expect(answerTo(call('1', parent(3, 1, '2')), call('3', parent(3, 2, '3')))).toBe('NeedsApproval AlreadyUsed');
  });
  test('is not when its parent was scaled by somebody else before it was read', () => {
    expect(answerTo(call('1', parent(4, 2, '2')), call('2', parent(4, 2, '2'), 4))).toBe('NeedsApproval AlreadyUsed');
  });
});
