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
