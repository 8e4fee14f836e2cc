// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What conditions read: labels and annotations, and what may be absent. Told by one walk over their CEL, so tested together.
import { describe, expect, test } from 'vitest';
import { conditionLabelsOf } from '../../../../src/domain/coverage/condition-labels.ts';
import type { Operation } from '../../../../src/domain/model/request.ts';
import { unguardedIn } from '../../../../src/operator/gates/unguarded-reads.ts';
import { conditions, notParsed } from './conditions.ts';

const all: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE'];
const labelsOf = (expression: string) => conditionLabelsOf({ conditions: [{ name: 'c', expression }] });

/** The sentences without their advice. */
function unguarded(expression: string): string {
  const sentences = unguardedIn(expression, all)?.map((sentence) =>
    sentence
      .replace(/^reads (\S+), which a (.*) does not have.*/, '$1 in $2')
      .replace(/^reads (.*), which (?:may be absent|the API server).*/, '$1'),
  );
  return sentences?.join(' | ') ?? notParsed;
}

describe('the condition', () => {
  test.each(conditions)('%s reads %s and unguarded %s', (expression, labels, missing) => {
    expect(labelsOf(expression).pointers.join(' ')).toBe(labels);
    expect(unguarded(expression)).toBe(missing);
  });
});

describe('a key that only the request tells', () => {
  test.each([
    ["object[request.name].labels['x'] == ''", ['/metadata/labels/x']],
    ["object.metadata[request.name]['x'] == ''", ['/metadata/annotations/x', '/metadata/labels/x']],
    ["object[request.name][request.name] == ''", ['/metadata/annotations', '/metadata/labels']],
    ["string(object.metadata) == ''", ['/metadata/annotations', '/metadata/labels']],
    ["object.spec[request.name].metadata.labels['x'] == ''", []],
    ["['a', request.name].exists(k, k in object.metadata.labels)", ['/metadata/labels']],
  ])('%s may be any', (expression, want) => {
    expect(labelsOf(expression).pointers).toEqual(expect.arrayContaining(want));
    if (want.length === 0) expect(labelsOf(expression).pointers).toEqual([]);
  });
});

test('many places are not told apart for ever', () => {
  const expression = `object${"[request.dryRun ? 'metadata' : 'labels']".repeat(90)} == ''`;
  expect(labelsOf(expression).pointers).toContain('/metadata/labels/labels');
});

describe('labels of the new object only', () => {
  test.each([
    ["object.metadata.labels['tier'] == 'a'", true],
    ["(oldObject == null ? object : oldObject).metadata.labels['tier'] == 'a'", false],
    ["oldObject == null || object.metadata.labels['tier'] == 'a'", true],
    ["object.metadata.labels['tier'] == 'a' || oldObject.metadata.labels['other'] == 'b'", true],
    ["object.metadata.labels['tier'] == 'a' || oldObject.metadata.labels.exists(key, key == 'tier')", false],
    ["object.spec.x == 'a'", false],
  ])('%s: %s', (expression, isBlind) => {
    expect(labelsOf(expression).onNewOnly).toEqual(isBlind ? ['c'] : []);
  });
});

describe('a raw string that ends in a backslash', () => {
  test.each([
    ["object.metadata.name == r'\\' || object.metadata.labels['x'] == r'\\'", notParsed],
    ["[r'''\\''', object.metadata.labels['x'], '''''']  == []", notParsed],
    ["object.metadata.name.matches(r'\\d') || object.metadata.name == 'it\\'s'", 'object in DELETE'],
  ])('is not taken for another one: %s', (expression, want) => {
    expect(unguarded(expression)).toBe(want);
  });
});

describe('advice', () => {
  test.each([
    ["object.metadata.labels['a.b/c'] == ''", "has(object.metadata.labels) && 'a.b/c' in object.metadata.labels"],
    ["has(object.metadata.labels) && object.metadata.labels.a == ''", 'has(object.metadata.labels.a)'],
    ['has(object.metadata.labels.a)', 'has(object.metadata.labels)'],
    [
      "object.metadata.labels[request.name] == ''",
      'has(object.metadata.labels) && request.name in object.metadata.labels',
    ],
    ["['a'].exists(k, object.data[k + request.name] == '')", 'has(object.data) && k + request.name in object.data'],
    ["request.subResource == ''", 'has(request.subResource)'],
  ])('for %s is %s, and following it helps', (expression, guard) => {
    expect(unguardedIn(expression, ['UPDATE'])?.map((one) => one.replace(/.*; guard it with /, ''))).toEqual([guard]);
    if (!expression.includes('exists')) expect(unguardedIn(`${guard} && ${expression}`, ['UPDATE'])).toEqual([]);
  });
  test('names each operation that lacks an object', () => {
    expect(unguardedIn("oldObject.kind == 'x'", ['CREATE', 'CONNECT'])).toEqual([
      'reads oldObject, which a CREATE or CONNECT does not have; begin it with oldObject == null ||',
    ]);
  });
});

/** Each place that names a key of a label, in each way in which CEL makes something of it: none is lost on the way. */
describe('a label that is read', () => {
  const places = ["oldObject.metadata.labels['env']", "oldObject.metadata.?labels[?'env']"];
  const ways: readonly ((place: string) => string)[] = [
    (place) => `'p' in [${place}]`,
    (place) => `!('p' in [${place}, object.metadata.name])`,
    (place) => `['p'].all(i, i in [${place}])`,
    (place) => `'p' in [${place}].map(i, i)`,
    (place) => `'p' in [${place}].filter(i, true)`,
    (place) => `'p' in optional.of([${place}]).orValue([])`,
    (place) => `${place}.optMap(i, true).orValue(false)`,
    (place) => `${place}.optMap(i, 'yes').hasValue()`,
    (place) => `${place}.optFlatMap(i, optional.of(true)).orValue(false)`,
    (place) => `${place}.hasValue()`,
    (place) => `optional.ofNonZeroValue(${place}).hasValue()`,
    (place) => `{'k': ${place}}.k == 'p'`,
    (place) => `{${place}: true}.exists(k, k == 'p')`,
    (place) => `(request.name == 'a' ? [${place}] : ['b'])[0] == 'p'`,
    (place) => `[1].map(i, ${place})[0] == 'p'`,
    (place) => `[[${place}]] == [['p']]`,
    (place) => `'%s'.format([${place}]) == 'p'`,
    (place) => `${place} == null`,
    (place) => `type(${place}) == string`,
    // Whatever becomes of it: nothing looks at these values, and the name alone counts.
    (place) => `[${place}].map(i, 1).size() == 1`,
    (place) => `[${place}].exists(i, true)`,
  ];
  test.each(places.flatMap((place) => ways.map((way) => way(place))))('%s is seen', (expression) => {
    expect(labelsOf(expression).pointers.join(' ')).toMatch(/^\/metadata\/labels(\/env)?$/);
  });

  test.each(['oldObject.metadata.?labels.hasValue()', 'optional.ofNonZeroValue(oldObject.metadata.labels).hasValue()'])(
    '%s asks for all of them',
    (expression) => {
      expect(labelsOf(expression).pointers).toEqual(['/metadata/labels']);
    },
  );

  test('as has(), which asks for none, does not', () => {
    expect(labelsOf('has(oldObject.metadata.labels)').pointers).toEqual([]);
  });
});

/** A policy is read by every replica: a condition of 4,096 characters must not hold them up. */
describe('what takes too long is bounded, and loses no label', () => {
  const long = "oldObject.metadata.labels['x'] == 'y'";
  test.each([
    ['texts that double', `['a']${'.map(v, v + v)'.repeat(40)}.exists(v, oldObject.metadata.labels[v] == 'x')`],
    [
      'places that multiply',
      `[oldObject.metadata]${'.map(v, [v.a, v.b, v.c, v.d][0])'.repeat(30)}.size() == 1 && ${long}`,
    ],
    ['depth', `${'!'.repeat(3_000)}true && ${long}`],
  ])('%s', (_, expression) => {
    expect(labelsOf(expression).pointers).toContain('/metadata/labels');
    expect(() => unguardedIn(expression, all)).not.toThrow();
  });
});
