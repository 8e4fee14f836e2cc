// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the benchmark.
import { describe, expect, test } from 'vitest';
import { counting, median, orderOf, percentile, ratioOf } from './statistics.ts';

const sample = (round: number, value: number, isDisturbed = false) => ({ round, value, isDisturbed });

describe('median and percentile', () => {
  test.each([
    ['of one value is the value', [7], 7],
    ['of an odd number is the middle one', [9, 1, 5], 5],
    ['of an even number lies between the middle ones', [4, 1, 2, 3], 2.5],
  ])('the median %s', (_name, values, wanted) => {
    expect(median(values)).toBe(wanted);
  });

  test('of nothing is not a number', () => {
    expect(median([])).toBeNaN();
  });

  test('a percentile lies between the two nearest ranks', () => {
    expect(percentile([10, 20, 30, 40, 50], 90)).toBeCloseTo(46);
  });
});

describe('a ratio', () => {
  test('is the median of the ratios within each round, not the ratio of medians', () => {
    const measured = [sample(0, 100), sample(1, 50), sample(2, 90)];
    const baseline = [sample(0, 200), sample(1, 50), sample(2, 100)];
    expect(ratioOf(measured, baseline)).toBeCloseTo(0.9);
  });

  test('leaves out rounds in which either was disturbed', () => {
    const measured = [sample(0, 10, true), sample(1, 90), sample(2, 95)];
    const baseline = [sample(0, 100), sample(1, 100), sample(2, 50, true)];
    expect(ratioOf(measured, baseline)).toBeCloseTo(0.9);
  });

  test('takes disturbed rounds when there are no others', () => {
    expect(ratioOf([sample(0, 30, true)], [sample(0, 60)])).toBe(0.5);
  });
});

test('disturbed samples count only for want of others', () => {
  expect(counting([sample(0, 1, true), sample(1, 2)])).toEqual([sample(1, 2)]);
  expect(counting([sample(0, 1, true)])).toEqual([sample(0, 1, true)]);
});

test('the order rotates and turns round', () => {
  expect([0, 1, 2, 3].map((round) => orderOf(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'cba', 'bca', 'acb']);
});
