// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The judge finds in forged histories what a storm must never see, and nothing in those that are as they should be.
import { describe, expect, test } from 'vitest';
import { adminName, type Claim, judge, type State } from './judge.ts';

const key = '/registry/deployments/storm/web';
let at = 0;
const state = (content: string, more: Partial<State> = {}): State => ({
  ...{ key, at: ++at, kind: 'Written', isCreation: false, uid: 'one', managers: [adminName] },
  content,
  ...more,
});
const created = (content: string, more: Partial<State> = {}) => state(content, { isCreation: true, ...more });
const deleted = (more: Partial<State> = {}) => state('', { kind: 'Deleted', ...more });
const approved: Claim = { approval: 'a', key, effect: 'Content', content: 'new' };

/** How often the effect of each claim is there, and how much no claim covers. */
function counted(states: readonly State[], claims: readonly Claim[] = [approved], closedAt?: number) {
  const rules = { claims, ofAdmin: ['old'], strangers: ['stranger'], ...(closedAt === undefined ? {} : { closedAt }) };
  const { effects, uncovered } = judge(states, rules);
  return [effects.map((revisions) => revisions.length), uncovered.length];
}

describe('an approved content', () => {
  test('that was never written is no effect', () => {
    expect(counted([created('old'), state('old')])).toEqual([[0], 0]);
  });

  test('that was written once is one, however often the object is written after that', () => {
    expect(counted([created('old'), state('new'), state('new'), state('old'), state('old')])).toEqual([[1], 0]);
  });

  test('that was put back and written again is two', () => {
    expect(counted([created('old'), state('new'), state('old'), state('new')])).toEqual([[2], 0]);
  });

  test('counts in the order of revisions, not of arrival', () => {
    const states = [created('old'), state('new'), state('new')];
    expect(counted([...states].reverse())).toEqual([[1], 0]);
  });

  test('is one effect of its own approval beside that of another one', () => {
    const other: Claim = { ...approved, approval: 'b', content: 'newer' };
    const states = [created('old'), state('new'), state('newer'), state('new')];
    expect(counted(states, [approved, other])).toEqual([[2, 1], 0]);
  });

  test('is covered by no approval when it is another content or another object', () => {
    expect(counted([created('old'), state('newest')])).toEqual([[0], 1]);
    expect(counted([created('old', { key: 'other' }), state('new', { key: 'other' })])).toEqual([[0], 1]);
  });

  test('is covered by no approval when another account wrote it, which counts as its effect too', () => {
    const managers = [adminName, 'stranger'];
    expect(counted([created('old'), state('new', { managers }), state('old', { managers })])).toEqual([[1], 1]);
  });
});

test('an approval of any content covers one change, whichever it is', () => {
  const any: Claim = { approval: 'a', key, effect: 'AnyContent' };
  expect(counted([created('old'), state('1')], [any])).toEqual([[1], 0]);
  expect(counted([created('old'), state('1'), state('2')], [any])).toEqual([[2], 0]);
});

describe('an approved deletion', () => {
  const deletion: Claim = { approval: 'a', key, effect: 'Deletion' };

  test('is one effect, and two when what was made anew is deleted as well', () => {
    expect(counted([created('old'), deleted(), created('old', { uid: 'two' })], [deletion])).toEqual([[1], 0]);
    const twice = [created('old'), deleted(), created('old', { uid: 'two' }), deleted({ uid: 'two' })];
    expect(counted(twice, [deletion])).toEqual([[2], 0]);
  });

  test('does not cover another object', () => {
    expect(counted([created('old', { key: 'other' }), deleted({ key: 'other' })], [deletion])).toEqual([[0], 1]);
  });

  test('is not what removes the objects when the round is over', () => {
    const states = [created('old'), deleted(), created('old', { uid: 'two' }), deleted({ uid: 'two' })];
    expect(counted(states, [deletion], at - 1)).toEqual([[1], 0]);
  });
});

describe('an approved creation', () => {
  const creation: Claim = { approval: 'a', key, effect: 'Creation', content: 'new' };
  const managers = ['deployer'];

  test('is one effect, and two when it was removed and is made again', () => {
    expect(counted([created('new', { managers }), deleted()], [creation])).toEqual([[1], 0]);
    const twice = [created('new', { managers }), deleted(), created('new', { managers, uid: 'two' })];
    expect(counted(twice, [creation])).toEqual([[2], 0]);
  });

  test('does not cover another content or another name', () => {
    expect(counted([created('other', { managers })], [creation])).toEqual([[0], 1]);
    expect(counted([created('new', { managers, key: 'other' })], [creation])).toEqual([[0], 1]);
  });
});
