// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a row of the benchmark is, and what it hands to the report.
import type { Lab } from './bench-lab.ts';

export interface Goal {
  readonly what: string;
  readonly goal: string;
  readonly measured: string;
  readonly isMet: boolean;
  /** What stops it, where it is known; shown only when the goal is not met. */
  readonly otherwise?: string;
}

export interface Table {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface RowResult {
  readonly goals: readonly Goal[];
  readonly tables: readonly Table[];
  /** Numbers as they were taken. */
  readonly raw: unknown;
}

export interface Row {
  readonly id: string;
  readonly title: string;
  /** How it is measured, for the docs. */
  readonly method: string;
  run(lab: Lab): Promise<RowResult>;
}

/** Two or three digits are all that a noisy machine can tell. */
export function shown(value: number, digits = 2): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(digits);
}
