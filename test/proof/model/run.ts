// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Explores one scenario and says what came of it in one line.
import { type Exploration, type ExploreOptions, explore } from './explorer.ts';
import { modelOf } from './model.ts';
import type { Scenario } from './scenario.ts';

export interface Run extends Exploration {
  readonly scenario: string;
  /** What the scenario is there for and never met. */
  readonly unseen: readonly string[];
}

export async function runScenario(
  scenario: Scenario,
  options: ExploreOptions & { readonly only?: string } = {},
): Promise<Run> {
  const exploration = await explore(modelOf(scenario, options), options);
  const unseen = scenario.sights.filter((sight) => !exploration.sights.has(sight));
  return { ...exploration, scenario: scenario.name, unseen };
}

const widths = [52, 9, 11, 5, 7] as const;
export const heading = row(['scenario', 'states', 'transitions', 'depth', 'seconds']);

export function lineOf({ scenario, states, transitions, depth, seconds }: Run): string {
  return row([scenario, `${states}`, `${transitions}`, `${depth}`, seconds.toFixed(1)]);
}

function row(cells: readonly string[]): string {
  return cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[at] ?? 0))).join('  ');
}
