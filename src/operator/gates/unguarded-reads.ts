// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds reads of missing keys in a condition: to CEL they are errors, and an error denies the request (measured). Found
// in the text only, so it is only a warning.
import type { Operation } from '../../domain/model/request.ts';

type Root = 'object' | 'oldObject';

const chain =
  /\b(object|oldObject|request\.userInfo\.extra)((?:\s*\.\s*[A-Za-z_]\w*(?!\w*\s*\()|\s*\[\s*'[^']*'\s*\]|\s*\[\s*"[^"]*"\s*\])+)/g;
const part = /\.\s*([A-Za-z_]\w*)|\[\s*(?:'([^']*)'|"([^"]*)")\s*\]/g;
/** Every object has these. */
const always = new Set(['apiVersion', 'kind', 'metadata', 'metadata/name', 'metadata/uid']);

/** One sentence for each thing the expression reads without a guard, with the fix. */
export function unguardedIn(expression: string, operations: readonly Operation[]): readonly string[] {
  const plain = expression.replace(/\s+/g, ' ');
  const reads = [...plain.matchAll(chain)].map((match) => ({
    root: match[1] ?? '',
    keys: [...(match[2] ?? '').matchAll(part)].map(([, name, single, double]) => name ?? single ?? double ?? ''),
  }));
  const absent: readonly (readonly [Root, Operation])[] = [
    ['oldObject', 'CREATE'],
    ['object', 'DELETE'],
  ];
  const missing = absent.flatMap(([root, operation]) => {
    const isRead = reads.some((read) => read.root === root);
    const isGuarded = new RegExp(`\\b${root} [!=]= null|has\\(${root}\\)`).test(plain);
    if (!isRead || isGuarded || !operations.includes(operation)) return [];
    return [`reads ${root}, which a ${operation} does not have; begin it with ${root} == null ||`];
  });
  const guards = guardsIn(plain);
  const keys = reads.flatMap((read) => {
    const place = read.keys.join('/');
    const isGuarded = always.has(place) || guards.some((guard) => isGuardOf(guard, read.root, place));
    const text = `${read.root}.${read.keys.join('.')}`;
    return isGuarded ? [] : [`reads ${text}, which may be absent; guard it with ${guardFor(read.root, read.keys)}`];
  });
  return [...new Set([...missing, ...keys])];
}

interface ReadGuard {
  readonly root: string;
  readonly place: string;
  /** has(a.b.c) speaks of a.b too; 'c' in a.b reads a.b itself. */
  readonly isDeep: boolean;
}

/** What has(…) and '…' in … ask for. */
function guardsIn(plain: string): readonly ReadGuard[] {
  const asked = [...plain.matchAll(/\bhas\( ?((?:object|oldObject|request\.userInfo\.extra)[^()]*?) ?\)/g)].map(
    ([, text = '']) => text,
  );
  const members = [
    ...plain.matchAll(/['"]([^'"]*)['"] in ((?:object|oldObject|request\.userInfo\.extra)(?:\.\w+|\['[^']*'\])*)/g),
  ].map(([, key = '', text = '']) => `${text}['${key}']`);
  const all = [...asked.map((one) => [one, true] as const), ...members.map((one) => [one, false] as const)];
  return all.flatMap(([text, isDeep]) => {
    const [, root = ''] = /^(object|oldObject|request\.userInfo\.extra)/.exec(text) ?? [];
    const keys = [...text.slice(root.length).matchAll(part)].map(
      ([, name, single, double]) => name ?? single ?? double,
    );
    return root === '' ? [] : [{ root, place: keys.join('/'), isDeep }];
  });
}

/** A guard of the same place, or of something inside of it. */
function isGuardOf(guard: ReadGuard, root: string, place: string): boolean {
  return guard.root === root && (guard.place === place || (guard.isDeep && guard.place.startsWith(`${place}/`)));
}

function guardFor(root: string, keys: readonly string[]): string {
  const parent = [root, ...keys.slice(0, -1)].join('.');
  const last = keys.at(-1) ?? '';
  return /^[A-Za-z_]\w*$/.test(last) && root !== 'request.userInfo.extra'
    ? `has(${parent}.${last})`
    : `'${last}' in ${parent}`;
}
