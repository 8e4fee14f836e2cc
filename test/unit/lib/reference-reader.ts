// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What strict JSON means, spelled out: RFC 8259 read one character after the other, slowly and without JSON.parse.
import { isUtf8 } from 'node:buffer';
import type { Json } from '../../../src/lib/json.ts';

const mostDepth = 500;

/** The value that the bytes stand for, or undefined when they are to be refused. */
export function readSlowly(bytes: Buffer): { readonly value: Json } | undefined {
  if (!isUtf8(bytes)) return undefined;
  const reader = new Reader(bytes.toString('utf8'));
  try {
    return { value: reader.whole() };
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

class Refused extends Error {}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Json {
    const value = this.#value(0);
    if (this.#at !== this.#text.length) throw new Refused();
    return value;
  }

  /** What the pattern matches here, which is skipped; refused when it does not. */
  #take(pattern: RegExp): string {
    const sticky = new RegExp(pattern, 'uy');
    sticky.lastIndex = this.#at;
    const [found] = sticky.exec(this.#text) ?? [];
    if (found === undefined) throw new Refused();
    this.#at += found.length;
    return found;
  }

  #value(depth: number): Json {
    this.#space();
    const value = this.#bare(depth);
    this.#space();
    return value;
  }

  #space(): void {
    this.#take(/[ \t\r\n]*/);
  }

  #bare(depth: number): Json {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#list(depth);
      case '"':
        return this.#string();
      case 't':
        this.#take(/true/);
        return true;
      case 'f':
        this.#take(/false/);
        return false;
      case 'n':
        this.#take(/null/);
        return null;
      default:
        return this.#number();
    }
  }

  #object(depth: number): Json {
    if (depth >= mostDepth) throw new Refused();
    const members = new Map<string, Json>();
    this.#take(/\{/);
    this.#space();
    while (this.#text[this.#at] !== '}') {
      if (members.size > 0) this.#take(/,/);
      this.#space();
      const key = this.#string();
      if (members.has(key)) throw new Refused();
      this.#space();
      this.#take(/:/);
      members.set(key, this.#value(depth + 1));
    }
    this.#take(/\}/);
    return Object.fromEntries(members);
  }

  #list(depth: number): Json {
    if (depth >= mostDepth) throw new Refused();
    const items: Json[] = [];
    this.#take(/\[/);
    this.#space();
    while (this.#text[this.#at] !== ']') {
      if (items.length > 0) this.#take(/,/);
      items.push(this.#value(depth + 1));
    }
    this.#take(/\]/);
    return items;
  }

  #string(): string {
    let text = '';
    this.#take(/"/);
    while (this.#text[this.#at] !== '"') {
      const piece = this.#take(/\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|[^"\\\p{Cc}]|[\u007f-\u009f]/u);
      if (piece.startsWith('\\u')) text += String.fromCharCode(Number.parseInt(piece.slice(2), 16));
      else if (piece.startsWith('\\')) text += escapes[piece.slice(1)] ?? '';
      else text += piece;
    }
    this.#take(/"/);
    if (/\p{Surrogate}/u.test(text)) throw new Refused();
    return text;
  }

  #number(): Json {
    const source = this.#take(/-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/);
    const value = Number(source);
    if (!Number.isFinite(value)) throw new Refused();
    const isInteger = /^-?[0-9]+$/.test(source);
    return isInteger && Math.abs(value) > Number.MAX_SAFE_INTEGER ? BigInt(source) : value;
  }
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};
