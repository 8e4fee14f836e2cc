// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Label selectors with the semantics of the API server (apimachinery, pkg/apis/meta/v1/helpers.go).
import type { LabelSelector } from './policy.ts';

export type Labels = Readonly<Record<string, string>>;

/** True when the labels satisfy every term. A selector without terms matches everything. */
export function selects(selector: LabelSelector, labels: Labels): boolean {
  const isEqual = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return isEqual && (selector.matchExpressions ?? []).every((expression) => holds(expression, labels));
}

type Expression = NonNullable<LabelSelector['matchExpressions']>[number];

function holds({ key, operator, values = [] }: Expression, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** The label keys a selector looks at, sorted. */
export function selectorKeys(selector: LabelSelector): readonly string[] {
  const keys = [
    ...Object.keys(selector.matchLabels ?? {}),
    ...(selector.matchExpressions ?? []).map((expression) => expression.key),
  ];
  return [...new Set(keys)].sort();
}
