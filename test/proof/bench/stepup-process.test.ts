// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reading what stepup counts.
import { expect, test } from 'vitest';
import { sumOf } from './stepup-process.ts';

const text = '# HELP hits Hits.\nhits{path="a",ok="true"} 2\nhits{path="b",ok="true"} 3\nhits_total 50\nleader 1\n';

test.each([
  ['over all label sets', 'hits', {}, 5],
  ['over those that contain the labels', 'hits', { path: 'b' }, 3],
  ['without labels', 'leader', {}, 1],
  ['of nothing', 'misses', {}, 0],
])('a counter is summed %s', (_name, metric, labels, wanted) => {
  expect(sumOf(text, metric, labels)).toBe(wanted);
});
