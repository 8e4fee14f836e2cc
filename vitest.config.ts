// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The project a test runs in is its folder: rules and unit tests, fast; the proofs that need no cluster of their own but
// much time; the tests of what tests share, which start two control planes by themselves; and everything that needs one
// control plane, two files at a time.
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const slow = { testTimeout: 60_000, hookTimeout: 180_000 };

/** Those that take minutes, the longest first: begun last, one of them would run alone at the end. */
const longest = [
  'cluster/faults',
  'cluster/answers/phases',
  'cluster/wedge/states',
  'proof/storm',
  'cluster/certificates',
  'cluster/clients/table',
  'cluster/e2e/first-time',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = longest.findIndex((name) => moduleId.includes(`/test/${name}`));
      return found === -1 ? longest.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

const inFolder = (name: string) => ({ name, include: [`test/${name}/**/*.test.ts`] });

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { ...inFolder('unit'), sequence: { groupOrder: 0 } } },
      { test: { ...slow, ...inFolder('rules'), sequence: { groupOrder: 0 } } },
      { test: { ...slow, ...inFolder('support'), maxWorkers: 1, sequence: { groupOrder: 1 } } },
      { test: { ...slow, ...inFolder('proof'), testTimeout: 180_000, maxWorkers: 2, sequence: { groupOrder: 2 } } },
      { test: { ...slow, ...inFolder('cluster'), maxWorkers: 2, sequence: { groupOrder: 2 } } },
    ],
  },
});
