// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The reader for texts that JSON.parse may misread (nodejs/node#63785): each test shows it one such text first.
import { describe, expect, test } from 'vitest';
import { parseJson, readCarefully } from '../../../src/lib/parse-json.ts';
import { parseStrictJson } from '../../../src/lib/parse-strict-json.ts';

/** What is read first, and a text that JSON.parse then reads the same. */
const misread = [
  ['{"a":1,"\\\\":2}', '{"a":1,"\\u0062":2}', { a: 1, b: 2 }],
  ['{"b":1,"k\\\\u":2}', '{"b":1,"k\\u003cl":2}', { b: 1, 'k<l': 2 }],
  ['{"c":1,"k\\\\":2}', '{"c":1,"k\\"":2}', { c: 1, 'k"': 2 }],
  ['[{"d":1,"中\\\\":2}]', '[{"d":1,"中\\u4e2d":2}]', [{ d: 1, 中中: 2 }]],
] as const;

describe.each(misread)('after %s', (before, text, value) => {
  test(`${text} is read as what it says`, () => {
    expect(parseStrictJson(Buffer.from(before)).ok).toBe(true);
    expect(parseStrictJson(Buffer.from(text))).toEqual({ ok: true, value });
    parseJson(before);
    expect(parseJson(text)).toEqual(value);
  });
});

test('a key that really holds a backslash is read as it is', () => {
  expect(parseJson('{"a\\\\b":{"c\\\\":1}}')).toEqual({ 'a\\b': { 'c\\': 1 } });
});

test('what the API server says has numbers only, whichever way it is read', () => {
  expect([parseJson('[9007199254740993]'), parseJson('{"\\\\":9007199254740993}')]).toEqual([
    [9007199254740992],
    { '\\': 9007199254740992 },
  ]);
});

test('what is no JSON throws, whichever way it is read', () => {
  expect(() => parseJson('{"a":')).toThrow();
  expect(() => parseJson('{"\\\\":1,"\\\\":2}')).toThrow('the same key twice');
});

test.each<[string, string, string]>([
  ['nothing', '', 'it is not JSON'],
  ['a list without its end', '[1', 'it is not JSON'],
  ['a comma too many', '[1,]', 'it is not JSON'],
  ['a comma too many, after a member', '{"a":1,}', 'it is not JSON'],
  ['a control character in a text', '"\n"', 'it is not JSON'],
  ['an escape that is none', '"\\x"', 'it is not JSON'],
  ['a text without its end', '"a\\"', 'it is not JSON'],
  ['half a word', 'nul', 'it is not JSON'],
  ['a leading zero', '01', 'it is not JSON'],
  ['two values', '1 2', 'it is not JSON'],
  ['the same key twice', '{"a":1,"\\u0061":2}', 'an object has the same key twice'],
  ['half a surrogate pair', '["\\udfff"]', 'a string has half a surrogate pair'],
  ['a number beyond every double', '-1e400', 'a number is out of range'],
  ['a nest too deep', `${'['.repeat(501)}${']'.repeat(501)}`, 'it is nested deeper than 500 levels'],
])('%s is refused', (_, text, problem) => {
  expect(readCarefully(text)).toEqual({ ok: false, problem });
});
