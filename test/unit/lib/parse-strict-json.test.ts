// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// No two texts of different meaning give one value, and nothing throws.
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseStrictJson } from '../../../src/lib/parse-strict-json.ts';
import { readSlowly } from './reference-reader.ts';

const numRuns = 3_000;

/** Texts with what makes readers disagree: odd numbers, escapes that spell another key, the same key twice. */
const hostileText = fc.letrec<{ value: string }>((tie) => {
  const space = fc.constantFrom('', '', '', ' ', '\n\t');
  const text = fc.oneof(
    fc.constantFrom(
      '"a"',
      '"\\u0061"',
      '"\\u0041"',
      '"__proto__"',
      '"constructor"',
      '"1"',
      '"01"',
      '""',
      '"é"',
      '"\\u00e9"',
    ),
    fc.constantFrom(
      '"\\\\"',
      '"\\\\\\""',
      '"\\""',
      '":"',
      '"\\":\\""',
      '"{a:1}"',
      '"\\ud83d\\ude00"',
      '"😀"',
      '"\\\\ud800"',
    ),
    fc.constantFrom(
      '"\\ud800"',
      '"\\uDFFF"',
      '"\\uD7ff"',
      '"12345678901234567890"',
      '"1e400"',
      '"\u2028"',
      '"\\u003c"',
    ),
    fc.string({ unit: 'grapheme' }).map((one) => JSON.stringify(one)),
  );
  const number = fc.oneof(
    fc.constantFrom(
      '0',
      '-0',
      '1e5',
      '1E+2',
      '1e-400',
      '1e400',
      '-1E400',
      '0e999',
      '1.5e3',
      '1e22',
      '5e-324',
      '01',
      '1.',
      '+1',
    ),
    fc.constantFrom(
      '9007199254740991',
      '9007199254740992',
      '9007199254740993',
      '-9007199254740993',
      '9007199254740993.0',
    ),
    fc.constantFrom('0.1234567890123456789', '12345678.12345678', '900719925474099300000e0', '9'.repeat(400), '-'),
    fc.bigInt().map(String),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => JSON.stringify(one)),
  );
  const spaced = (arbitrary: fc.Arbitrary<string>) => fc.tuple(space, arbitrary, space).map((parts) => parts.join(''));
  const member = fc.tuple(spaced(text), tie('value')).map((parts) => parts.join(':'));
  const depthSize = 'small';
  return {
    value: fc.oneof(
      { depthSize, withCrossShrink: true },
      fc.oneof(spaced(number), spaced(text), fc.constantFrom('true', 'false', 'null', 'nul', '')),
      fc.array(member, { maxLength: 4 }).map((members) => `{${members.join(',')}}`),
      fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
    ),
  };
}).value;

/** Such texts, some of them damaged in one place. */
const hostileBytes = fc
  .tuple(hostileText, fc.option(fc.tuple(fc.nat(), fc.constantFrom(...'{}[]:,"\\ue0 1', '', '\ufeff', '\xff'))))
  .map(([text, damage]) => {
    if (damage === null) return Buffer.from(text);
    const [where, put] = damage;
    const at = where % (text.length + 1);
    const encoding = put === '\xff' ? 'latin1' : 'utf8';
    return Buffer.concat([Buffer.from(text.slice(0, at)), Buffer.from(put, encoding), Buffer.from(text.slice(at + 1))]);
  });

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
    ['the same key twice', '{"a":1,"a":1}', 'an object has the same key twice'],
    ['the same key twice, once escaped', '{"a":1,"\\u0061":2}', 'an object has the same key twice'],
    ['the same key twice, deep', '[{"b":[{"a":"}","c":{},"a":2}]}]', 'an object has the same key twice'],
    ['half a surrogate pair', '{"a":"\\uD800"}', 'a string has half a surrogate pair'],
    ['half a surrogate pair in a key', '{"\\udfff":1}', 'a string has half a surrogate pair'],
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
        expect(parse(text)).toEqual({ ok: false, problem: 'an object has the same key twice' });
      }),
    );
  });

  // Against an independent reader of the grammar: what is looked at in the bytes must never disagree with the parser.
  test('accepts exactly the texts that a reader of the grammar accepts, as the same values', () => {
    let accepted = 0;
    fc.assert(
      fc.property(hostileBytes, (bytes) => {
        const parsed = parseStrictJson(bytes);
        const wanted = readSlowly(bytes);
        accepted += parsed.ok ? 1 : 0;
        return isDeepStrictEqual(parsed.ok ? { value: parsed.value } : undefined, wanted);
      }),
      { numRuns },
    );
    // Neither side says always the same.
    expect(accepted).toBeGreaterThan(numRuns / 10);
    expect(accepted).toBeLessThan((numRuns * 9) / 10);
  });

  test('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(typeof parseStrictJson(Buffer.from(bytes)).ok).toBe('boolean');
      }),
    );
  });
});
