// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What whoever decides is told besides the change itself, and that it opens and closes nothing.
import { describe, expect, test } from 'vitest';
import { targetKeyOf } from '../../../../src/domain/change/attempt.ts';
import { historyLine, isFirstTime, pastUses } from '../../../../src/domain/lifecycle/history.ts';
import { askedOnOf, hasChangedSince } from '../../../../src/domain/lifecycle/target-drift.ts';
import type { Approval, AskedOn } from '../../../../src/domain/model/approval.ts';
import type { Seen } from '../../../../src/domain/model/seen.ts';
import type { JsonObject } from '../../../../src/lib/json.ts';
import {
  answer,
  approval,
  at,
  attempt,
  creation,
  deletion,
  deployer,
  deployment,
  policy,
  request,
  set,
  word,
} from '../../../support/builders/domain.ts';

const ungenerated = (resourceVersion: string) =>
  set(set(deployment(), ['metadata', 'generation'], undefined), ['metadata', 'resourceVersion'], resourceVersion);

describe('the state that was asked on', () => {
  const of = (asked = request(), live?: JsonObject, under = policy()) =>
    askedOnOf(attempt(asked, under, { selectorKeys: [], ...(live === undefined ? {} : { live }) }).change, asked);
  const scaling = (replicas: number): JsonObject => ({
    metadata: { name: 'web', namespace: 'prod', uid: 'uid-web', resourceVersion: '101' },
    spec: { replicas },
  });
  const scale = request({ subresource: 'scale', oldObject: scaling(3), object: scaling(5) });

  test('is the generation, of an update and of a deletion', () => {
    expect(of()).toEqual({ uid: 'uid-web', generation: 1 });
    expect(of(deletion(deployment('web:1', 4)))).toEqual({ uid: 'uid-web', generation: 4 });
  });

  test('is the resourceVersion where there is no generation', () => {
    const oldObject = ungenerated('7');
    expect(of(request({ oldObject, object: set(oldObject, ['spec', 'replicas'], 9) }))).toEqual({
      uid: 'uid-web',
      resourceVersion: '7',
    });
  });

  test("of a scale is its parent's, by generation where that was read", () => {
    expect(of(scale, deployment('web:1', 1))).toEqual({ uid: 'uid-web', generation: 1 });
    expect(of(scale)).toEqual({ uid: 'uid-web', resourceVersion: '101' });
  });

  test('is none of what does not exist yet', () => {
    expect(of(creation(deployment()))).toBeUndefined();
  });
});

describe('the target has changed since', () => {
  const state = (object: JsonObject): Seen => ({ kind: 'State', object, isNext: false });
  const byGeneration: AskedOn = { uid: 'uid-web', generation: 1 };
  const byVersion: AskedOn = { uid: 'uid-web', resourceVersion: '7' };

  test.each<[string, boolean | undefined, AskedOn | undefined, Seen]>([
    ['is not the case where its generation is the same', false, byGeneration, state(deployment('web:1', 1))],
    ['is the case where its generation is another', true, byGeneration, state(deployment('web:1', 2))],
    ['is not the case where its resourceVersion is the same', false, byVersion, state(ungenerated('7'))],
    ['is the case where its resourceVersion is another', true, byVersion, state(ungenerated('8'))],
    [
      'is the case where it is another object',
      true,
      byGeneration,
      state(set(deployment(), ['metadata', 'uid'], 'other')),
    ],
    ['is the case where it is gone', true, byGeneration, { kind: 'Absent' }],
    ['is not known where nobody looked', undefined, byGeneration, { kind: 'Nothing' }],
    ['is not known where nothing was recorded', undefined, undefined, state(deployment())],
    ['is not known where its generation is not told', undefined, byGeneration, state(ungenerated('7'))],
  ])('%s', (_, want, askedOn, seen) => {
    expect(hasChangedSince(askedOn, seen)).toBe(want);
  });
});

describe('what was done before', () => {
  const key = targetKeyOf(approval().spec);
  const used = (name: string, second: number, over: { under?: string; releasedBy?: 'Sealed' | 'Missing' } = {}) => {
    const one = approval(request(), policy({}, over.under), {
      name,
      status: {
        phase: 'Consumed',
        uses: [{ attemptKey: 'k', digest: 'd', base: { kind: 'Deletion' }, reservedAt: at(second).toISOString() }],
        ...(over.releasedBy === undefined ? {} : { releases: [{ use: 0, releasedAt: '', why: '' }] }),
      },
    });
    return over.releasedBy === undefined ? one : { ...one, seals: { ...one.seals, releases: [over.releasedBy] } };
  };
  const names = (approvals: readonly Approval[]) => pastUses(key, approvals).map((use) => use.approval);

  test('is told with the newest first', () => {
    expect(names([used('old', 0), used('new', 9), approval()])).toEqual(['new', 'old']);
  });

  test('leaves out what was given back, by a seal only', () => {
    expect(names([used('lost', 0, { releasedBy: 'Sealed' }), used('claimed', 1, { releasedBy: 'Missing' })])).toEqual([
      'claimed',
    ]);
  });

  test('is of this target, whatever the label says', () => {
    const elsewhere = used('elsewhere', 0);
    const spec = { ...elsewhere.spec, action: { ...elsewhere.spec.action, name: 'other' } };
    expect(names([{ ...elsewhere, spec }])).toEqual([]);
  });

  test('is of this policy for the first time, and for people', () => {
    const line = (approvals: readonly Approval[]) => historyLine('production-deploys', pastUses(key, approvals));
    const other = used('other', 0, { under: 'other' });
    expect(isFirstTime('production-deploys', pastUses(key, [other]))).toBe(true);
    expect(line([other])).toBe('history: first time on record');
    expect(isFirstTime('production-deploys', pastUses(key, [other, used('a', 1)]))).toBe(false);
    expect(line([other, used('a', 1)])).toBe('history: admitted once, last at 2026-01-01T12:00:01.000Z (a)');
    expect(line([used('a', 1), used('b', 2)])).toBe('history: admitted 2 times, last at 2026-01-01T12:00:02.000Z (b)');
  });
});

describe('an approval covers the same attempt', () => {
  const pod = { name: 'runner', uid: 'uid-pod' };
  const from = (node: string, uid = 'uid-pod') =>
    request({ requester: { ...deployer, pod: { ...pod, uid }, node: { name: node } } });
  const bound = policy({ grant: { bindIdentity: 'Pod' } });
  const on = approval(from('node-1'), bound);
  const passes = (asked = from('node-1'), one = on) =>
    answer({ request: asked, policy: bound, approvals: [one], words: [word(one)] });

  test('from another node, and not from another pod', () => {
    expect(on.spec.requester.node).toEqual({ name: 'node-1' });
    expect(passes()).toBe('Allowed Reserved');
    expect(passes(from('node-2'))).toBe('Allowed Reserved');
    expect(passes(from('node-1', 'uid-other'))).toBe('NeedsApproval ApprovalRequired');
  });

  test('whatever state it was asked on', () => {
    expect(on.spec.change?.askedOn).toEqual({ uid: 'uid-web', generation: 1 });
    const elsewhere = { ...on.spec.change, askedOn: { uid: 'uid-web', generation: 99 } };
    expect(passes(from('node-1'), { ...on, spec: { ...on.spec, change: elsewhere } })).toBe('Allowed Reserved');
  });
});
