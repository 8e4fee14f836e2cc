// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Builds CEL for matchConditions: escaped text, globs, and comparisons of subtrees, without unguarded keys.
import { pointerTokens } from '../../lib/json.ts';

/** A string literal that stands for exactly this text. */
export function celText(text: string): string {
  // The escapes of JSON are escapes of CEL too; only the quotes change places.
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${escaped}'`;
}

export function celTexts(texts: readonly string[]): string {
  return `[${texts.map(celText).join(', ')}]`;
}

/** An RE2 pattern that matches exactly the text. */
function literalPattern(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$/-]/g, '\\$&');
}

/** An RE2 pattern, not anchored, in which * stands for a run of what `any` matches. */
export function globPattern(glob: string, any: string): string {
  return glob.split('*').map(literalPattern).join(any);
}

/** The value that a JSON pointer names in an object, as an optional: absent is none, and none is not null. */
export function celAt(root: 'object' | 'oldObject', pointer: string): string {
  return `${root}${pointerTokens(pointer)
    .map((token) => `[?${celText(token)}]`)
    .join('')}`;
}

/**
 * True when the subtree at the pointer differs between the old and the new object. A pointer that leads into a list
 * names all of it, as in the domain; CEL would end in an error there, which refuses the request.
 */
export function celDiffers(pointer: string): string {
  const tokens = pointer.split('/').slice(1);
  const differs = (length: number) => {
    const place = `/${tokens.slice(0, length).join('/')}`;
    return `${celAt('oldObject', place)} != ${celAt('object', place)}`;
  };
  const isList = (length: number) => {
    const place = `/${tokens.slice(0, length).join('/')}`;
    const lists = (['oldObject', 'object'] as const).map((root) => `type(${celAt(root, place)}.orValue(null)) == list`);
    return anyOf(lists);
  };
  let expression = differs(tokens.length);
  for (let length = tokens.length - 1; length > 0; length--) {
    if (isNeverList(tokens.slice(0, length))) continue;
    expression = `((${isList(length)}) ? (${differs(length)}) : (${expression}))`;
  }
  return expression;
}

/** Places that hold an object wherever there is something: metadata, the top of each object, and templates of pods. */
function isNeverList(tokens: readonly string[]): boolean {
  if (tokens.length === 1) return true;
  return /^(spec\/(jobTemplate\/spec\/)?template\/)?(metadata|spec)(\/(annotations|labels))?$|^spec\/(jobTemplate\/spec\/)?template$|^spec\/jobTemplate(\/(spec|metadata))?$/.test(
    tokens.join('/'),
  );
}

export function anyOf(terms: readonly string[]): string {
  return terms.length === 1 ? (terms[0] ?? '') : terms.map((term) => `(${term})`).join(' || ');
}

export function allOf(terms: readonly string[]): string {
  return terms.length === 1 ? (terms[0] ?? '') : terms.map((term) => `(${term})`).join(' && ');
}
