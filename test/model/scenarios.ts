// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The explorations, each small enough to be complete.

import { type Other, type Scenario, scenario } from './scenario.ts';
import { withContent } from './targets.ts';

const status: Other = { name: 'status write', times: 1, write: (target) => (target.isAbsent ? undefined : target) };
const restore: Other = {
  name: 'old content put back',
  times: 1,
  write: (target) => (target.isAbsent || target.content === 'a' ? undefined : withContent(target, { content: 'a' })),
};
const other: Other = {
  name: 'other content',
  times: 1,
  write: (target) => (target.isAbsent || target.content === 'x' ? undefined : withContent(target, { content: 'x' })),
};

export const scenarios: readonly Scenario[] = [
  scenario({ name: 'UPDATE, generation', others: [status, restore], instants: [120, 1100] }),
];
