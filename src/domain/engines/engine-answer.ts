// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the answer of a policy engine comes to: a vote, or an abstention with its reason (docs/engines.md).

import { isObject, type Json } from '../../lib/json.ts';
import { visibleLine } from '../../lib/visible-text.ts';
import type { EngineFormat } from './engine-review.ts';

export type EngineAnswer =
  | { readonly verdict: 'Approve' | 'Deny'; readonly reason: string; readonly rule: string }
  | { readonly verdict: 'Abstain'; readonly why: string };

/** What an answer comes to, and whether it was one of the contract at all. */
export interface ReadAnswer {
  readonly answer: EngineAnswer;
  readonly result: EngineAnswer['verdict'] | 'BadAnswer';
}

const mostReason = 1024;

const mostRule = 253;

const mostWhy = 160;

function abstained(why: string): ReadAnswer {
  return { result: 'Abstain', answer: abstain(why) };
}

function bad(why: string): ReadAnswer {
  return { result: 'BadAnswer', answer: abstain(why) };
}

/** An abstention, its reason made safe to be shown. */
export function abstain(why: string): EngineAnswer & { readonly verdict: 'Abstain' } {
  return { verdict: 'Abstain', why: shown(why, mostWhy) };
}

/** What deceives is spelled out, which takes room: cut to what the schema stores. */
function shown(text: string, most: number): string {
  return visibleLine(text, most).slice(0, most);
}

function isText(value: Json | undefined, most: number): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= most;
}

function verdictOf(value: Json): ReadAnswer {
  if (!isObject(value)) return bad('the answer is not an object with a verdict');
  const { verdict, reason, rule } = value;
  switch (verdict) {
    case 'Approve':
    case 'Deny':
      if (!isText(reason, mostReason)) return bad(`the answer has verdict ${verdict} without a reason`);
      if (!isText(rule, mostRule)) return bad(`the answer has verdict ${verdict} without the id of a rule`);
      return { result: verdict, answer: { verdict, reason: shown(reason, mostReason), rule: shown(rule, mostRule) } };
    case 'Abstain':
      return abstained(isText(reason, mostReason) ? reason : 'the answer has no reason');
    default:
      return bad('the verdict is not Approve, Deny or Abstain');
  }
}

/** Whatever is not exactly an answer of the contract is an abstention that says why. */
export function engineAnswerOf(body: Json, format: EngineFormat): ReadAnswer {
  if (!isObject(body)) return bad('the answer is not a JSON object');
  if (format === 'stepup') return verdictOf(body);
  // OPA leaves result out where the rule is undefined for the input.
  return body.result === undefined ? abstained('its rule is undefined for this input') : verdictOf(body.result);
}
