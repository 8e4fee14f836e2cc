// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the benchmark: medians, ratios within one round, and which rounds count.

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Linear between the two nearest ranks; NaN of nothing. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** What was measured in one round, by cell. */
export interface Sample {
  readonly round: number;
  readonly value: number;
  /** Others used so much of the machine meanwhile that the value says little. */
  readonly isDisturbed: boolean;
}

/** The samples that count: undisturbed ones where there are any. */
export function counting<T extends { readonly isDisturbed: boolean }>(samples: readonly T[]): readonly T[] {
  const calm = samples.filter(({ isDisturbed }) => !isDisturbed);
  return calm.length > 0 ? calm : samples;
}

/** The median over the rounds of measured / baseline, each within its round; disturbed rounds only for want of others. */
export function ratioOf(measured: readonly Sample[], baseline: readonly Sample[]): number {
  const pairs = measured.flatMap((sample) =>
    baseline
      .filter(({ round }) => round === sample.round)
      .map((base) => ({ ratio: sample.value / base.value, isDisturbed: sample.isDisturbed || base.isDisturbed })),
  );
  return median(counting(pairs).map(({ ratio }) => ratio));
}

/** The items in another order each round: rotated, and every second time reversed. */
export function orderOf<T>(items: readonly T[], round: number): readonly T[] {
  const by = Math.floor(round / 2) % Math.max(items.length, 1);
  const rotated = [...items.slice(by), ...items.slice(0, by)];
  return round % 2 === 0 ? rotated : rotated.reverse();
}
