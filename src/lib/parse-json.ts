// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A JSON parser (RFC 8259), for the few texts that JSON.parse cannot be trusted with.
import { type Json, mayBeMisread } from './json.ts';

export type ParsedJson = { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly problem: string };

/** Deeper than any Kubernetes object, shallow enough for every recursion over it. */
export const mostDepth = 500;

/** JSON.parse, without its misread keys. Throws an error that may quote the text. */
export function parseJson(text: string): unknown {
  const value: Json = JSON.parse(text);
  if (!mayBeMisread(value)) return value;
  const read = readCarefully(text, { bigIntegers: 'AsNumbers' });
  if (!read.ok) throw new Error(read.problem);
  return read.value;
}

/** Refuses what strict-json.ts says. Never throws, and never quotes the text: it may be a Secret. */
export function readCarefully(
  text: string,
  { bigIntegers = 'Exactly' }: { readonly bigIntegers?: 'Exactly' | 'AsNumbers' } = {},
): ParsedJson {
  try {
    return { ok: true, value: new JsonReader(text, bigIntegers === 'Exactly').whole() };
  } catch (error) {
    if (error instanceof JsonProblem) return { ok: false, problem: error.message };
    throw error;
  }
}

class JsonProblem extends Error {}

const noJson = 'it is not JSON';
const numberHere = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const spaceHere = /[ \t\n\r]*/y;

class JsonReader {
  readonly #text: string;
  readonly #isExact: boolean;
  #at = 0;

  constructor(text: string, isExact: boolean) {
    this.#text = text;
    this.#isExact = isExact;
  }

  whole(): Json {
    const value = this.#value(0);
    if (this.#at !== this.#text.length) throw new JsonProblem(noJson);
    return value;
  }

  /** A value and the space around it. */
  #value(depth: number): Json {
    this.#skipSpace();
    const value = this.#bareValue(depth);
    this.#skipSpace();
    return value;
  }

  #bareValue(depth: number): Json {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#list(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): Json {
    const members = new Map<string, Json>();
    this.#open(depth);
    while (!this.#isClosed('}', members.size)) {
      this.#skipSpace();
      const key = this.#string();
      if (members.has(key)) throw new JsonProblem('an object has the same key twice');
      this.#skipSpace();
      this.#take(':');
      members.set(key, this.#value(depth + 1));
    }
    // Makes a plain member of __proto__ too.
    return Object.fromEntries(members);
  }

  #list(depth: number): Json {
    const items: Json[] = [];
    this.#open(depth);
    while (!this.#isClosed(']', items.length)) items.push(this.#value(depth + 1));
    return items;
  }

  #open(depth: number): void {
    if (depth >= mostDepth) throw new JsonProblem(`it is nested deeper than ${mostDepth} levels`);
    this.#at += 1;
    this.#skipSpace();
  }

  /** True past the end; otherwise past the comma, of which there is none before the first. */
  #isClosed(end: '}' | ']', before: number): boolean {
    if (this.#text[this.#at] === end) {
      this.#at += 1;
      return true;
    }
    if (before > 0) this.#take(',');
    return false;
  }

  #string(): string {
    const start = this.#at;
    this.#take('"');
    while (this.#text[this.#at] !== '"') {
      if (this.#at >= this.#text.length) throw new JsonProblem(noJson);
      this.#at += this.#text[this.#at] === '\\' ? 2 : 1;
    }
    this.#at += 1;
    const value = unescaped(this.#text.slice(start, this.#at));
    if (!value.isWellFormed()) throw new JsonProblem('a string has half a surrogate pair');
    return value;
  }

  #number(): number | bigint {
    const source = this.#match(numberHere);
    const value = Number(source);
    if (source === '') throw new JsonProblem(noJson);
    if (!Number.isFinite(value)) throw new JsonProblem('a number is out of range');
    return this.#isExact && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value;
  }

  #literal<T extends Json>(literal: string, value: T): T {
    if (!this.#text.startsWith(literal, this.#at)) throw new JsonProblem(noJson);
    this.#at += literal.length;
    return value;
  }

  #take(char: string): void {
    if (this.#text[this.#at] !== char) throw new JsonProblem(noJson);
    this.#at += 1;
  }

  #skipSpace(): void {
    this.#match(spaceHere);
  }

  #match(here: RegExp): string {
    here.lastIndex = this.#at;
    const [found = ''] = here.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }
}

/** One text by itself has no key that could be mistaken. */
function unescaped(literal: string): string {
  try {
    const value: unknown = JSON.parse(literal);
    if (typeof value === 'string') return value;
  } catch {
    // a control character, or an escape that is none
  }
  throw new JsonProblem(noJson);
}
