// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Labels and annotations that a policy's CEL reads: taking one away takes the object out of the policy's reach.
import { pointerToken } from '../../lib/json.ts';
import type { PolicySpec } from '../model/policy.ts';

export interface Marks {
  /** JSON pointers, sorted; to all labels or annotations where the expression does not say which. */
  readonly pointers: readonly string[];
  /** Names of the conditions that read a mark and never look at oldObject: whoever takes the mark away is not seen. */
  readonly onNewOnly: readonly string[];
}

type Condition = NonNullable<PolicySpec['conditions']>[number];

/** The marks that the conditions read, told from their text: rather one too many than one too few. */
export function marksOf({ conditions = [] }: Pick<PolicySpec, 'conditions'>): Marks {
  const read = conditions.map((condition) => ({ condition, pointers: pointersIn(condition) }));
  const onNewOnly = read
    .filter(({ condition, pointers }) => pointers.length > 0 && !/\boldObject\b/.test(condition.expression))
    .map(({ condition }) => condition.name);
  return { pointers: [...new Set(read.flatMap(({ pointers }) => pointers))].sort(), onNewOnly };
}

/** metadata.labels, in each way that CEL selects a member: .labels, .?labels, ["labels"], [?"labels"]. */
const access = /\bmetadata\s*(?:\.\s*\??\s*(labels|annotations)\b|\[\s*\??\s*(['"])(labels|annotations)\2\s*\])/g;
const text = String.raw`(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")`;
const index = new RegExp(String.raw`^\s*\[\s*\??\s*${text}\s*\]`);
const member = /^\s*\.\s*\??\s*([A-Za-z_][A-Za-z0-9_]*)(\s*\()?/;
const keyIn = new RegExp(String.raw`${text}\s+in\s+[^'"&|?:]*$`);

function pointersIn({ expression }: Condition): readonly string[] {
  return [...expression.matchAll(access)].flatMap((match) => {
    const map = `/metadata/${match[1] ?? match[3]}`;
    const end = match.index + match[0].length;
    const key = keyAfter(expression.slice(end)) ?? keyBefore(expression.slice(0, match.index));
    if (key === undefined) return isPresenceTest(expression, match.index, end) ? [] : [map];
    return [`${map}/${pointerToken(key)}`];
  });
}

function keyAfter(rest: string): string | undefined {
  const byIndex = index.exec(rest);
  if (byIndex !== null) return literal(byIndex[1] ?? byIndex[2] ?? '');
  const byMember = member.exec(rest);
  return byMember === null || byMember[2] !== undefined ? undefined : byMember[1];
}

/** The key of: 'key' in object.metadata.labels. */
function keyBefore(before: string): string | undefined {
  const found = keyIn.exec(before);
  return found === null ? undefined : literal(found[1] ?? found[2] ?? '');
}

/** has(object.metadata.labels) asks for no key; that it was the last one is seen where the key is read. */
function isPresenceTest(expression: string, start: number, end: number): boolean {
  return /\bhas\(\s*[A-Za-z.\s]*$/.test(expression.slice(0, start)) && /^\s*\)/.test(expression.slice(end));
}

/** Undefined where the text has escapes that are not worth reading: then every mark counts. */
function literal(quoted: string): string | undefined {
  return quoted.includes('\\') ? undefined : quoted;
}
