// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// No two texts of different meaning give one value, and nothing throws.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseStrictJson } from '../../src/api/strict-json.ts';

const parse = (text: string) => parseStrictJson(Buffer.from(text));

describe('parseStrictJson', () => {
  test.each<[string, string, unknown]>([
    ['an integer within 2^53 is a number', '9007199254740991', 9007199254740991],
    ['an integer beyond 2^53 is a bigint', '{"a":9007199254740993}', { a: 9007199254740993n }],
    ['a negative one too', '[-9007199254740993]', [-9007199254740993n]],
    ['digits in a text stay a text', '{"a":"9007199254740993"}', { a: '9007199254740993' }],
    [
      'a text that looks like a member is a text',
      '{"a":"\\":\\"b\\":12345678901234567890"}',
      { a: '":"b":12345678901234567890' },
    ],
    ['a large double is a number', '[1e20]', [1e20]],
    [
      'the same key in different objects is fine',
      '{"a":{"a":1},"b":[{"a":1},{"a":2}]}',
      { a: { a: 1 }, b: [{ a: 1 }, { a: 2 }] },
    ],
    ['a colon in a text is no member', '{"a:b":"c:d\\\\"}', { 'a:b': 'c:d\\' }],
    ['a whole surrogate pair is fine', '"\\ud83d\\ude00"', '😀'],
    ['an escaped backslash before ud800 is fine', '"\\\\ud800"', '\\ud800'],
    ['null is a value', 'null', null],
  ])('%s', (_, text, value) => {
    expect(parse(text)).toEqual({ ok: true, value });
  });

  test('a key named __proto__ is a plain member', () => {
    const parsed = parse('{"__proto__":{"a":1}}');
    expect(parsed.ok && Object.keys(parsed.value ?? {})).toEqual(['__proto__']);
  });

  test.each<[string, string | Buffer, string]>([
    ['nothing', '', 'it is not JSON'],
    ['half an object', '{"a":', 'it is not JSON'],
    ['two values', '{} {}', 'it is not JSON'],
    ['the same key twice', '{"a":1,"a":1}', 'an object holds the same key twice'],
    ['the same key twice, once escaped', '{"a":1,"\\u0061":2}', 'an object holds the same key twice'],
    ['the same key twice, deep', '[{"b":[{"a":"}","c":{},"a":2}]}]', 'an object holds the same key twice'],
    ['half a surrogate pair', '{"a":"\\uD800"}', 'a text holds half a surrogate pair'],
    ['half a surrogate pair in a key', '{"\\udfff":1}', 'a text holds half a surrogate pair'],
    ['a number beyond every double', '[1e400]', 'a number is out of range'],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'it is not UTF-8'],
    ['a nest too deep', `${'['.repeat(501)}${']'.repeat(501)}`, 'it is nested deeper than 500 levels'],
    ['a nest far too deep', `${'['.repeat(200_000)}${']'.repeat(200_000)}`, 'it is nested deeper than 500 levels'],
  ])('%s is refused', (_, text, problem) => {
    expect(parseStrictJson(Buffer.from(text))).toEqual({ ok: false, problem });
  });

  test('reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
        const text = JSON.stringify(value);
        const parsed = parse(text);
        // Integers beyond 2^53 compare as what they are written as.
        const plain = JSON.stringify(parsed.ok && parsed.value, (_, member: unknown) =>
          typeof member === 'bigint' ? Number(member) : member,
        );
        expect(plain).toBe(text);
      }),
    );
  });

  test('keeps every integer apart', () => {
    fc.assert(
      fc.property(fc.bigInt(), (integer) => {
        const parsed = parse(`{"a":[${integer}]}`);
        expect(
          parsed.ok &&
            JSON.stringify(parsed.value, (_, member: unknown) => (typeof member === 'bigint' ? `${member}` : member)),
        ).toContain(`${integer}`);
      }),
    );
  });

  test('refuses any object with a repeated key', () => {
    const member = fc.tuple(fc.string({ minLength: 1 }), fc.jsonValue());
    fc.assert(
      fc.property(fc.array(member, { minLength: 1 }), (members) => {
        const [first] = members;
        const twice = [...members, ...(first === undefined ? [] : [first])];
        const text = `{${twice.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
        expect(parse(text)).toEqual({ ok: false, problem: 'an object holds the same key twice' });
      }),
    );
  });

  test('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(typeof parseStrictJson(Buffer.from(bytes)).ok).toBe('boolean');
      }),
    );
  });
});
