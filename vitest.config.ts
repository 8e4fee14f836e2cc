// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Four projects, one after the other: unit tests, fast; the model, which explores the promise exhaustively; the harness,
// which starts two control planes by itself; and everything that needs one control plane, two files at a time.
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const modelTests = ['test/model/model.test.ts'];
// With them what takes seconds and no control plane: bundling.
const harnessTests = ['test/controlplane/**/*.test.ts', 'test/supply/bundle.test.ts'];
const controlPlaneTests = ['test/**/*.controlplane.test.ts', 'test/chart/**/*.test.ts', 'test/e2e/**/*.test.ts'];
const slow = { testTimeout: 60_000, hookTimeout: 180_000 };

/** Those that take minutes, the longest first: begun last, one of them would run alone at the end. */
const longest = ['faults', 'answers/phases', 'wedge/states', 'storm', 'certificates', 'clients/table', 'e2e/first-time'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = longest.findIndex((name) => moduleId.includes(`/test/${name}`));
      return found === -1 ? longest.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...modelTests, ...harnessTests, ...controlPlaneTests],
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: { ...slow, name: 'model', include: modelTests, testTimeout: 180_000, sequence: { groupOrder: 1 } },
      },
      {
        test: { ...slow, name: 'harness', include: harnessTests, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
      {
        test: { ...slow, name: 'control plane', include: controlPlaneTests, maxWorkers: 2, sequence: { groupOrder: 3 } },
      },
    ],
  },
});
