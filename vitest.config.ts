// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Four projects, one after the other: unit tests, fast; the model, which explores the promise exhaustively; the harness,
// which starts two control planes by itself; and everything that needs one control plane, two files at a time.
import { defineConfig } from 'vitest/config';

const modelTests = ['test/model/model.test.ts'];
const harnessTests = ['test/controlplane/**/*.test.ts'];
const controlPlaneTests = ['test/**/*.controlplane.test.ts', 'test/chart/**/*.test.ts', 'test/e2e/**/*.test.ts'];
// Minutes long, and not yet seen green on the merged tree: make test-long runs them, make test does not.
const longTests = ['test/faults/**/*.controlplane.test.ts', 'test/clients/**/*.controlplane.test.ts'];
const isLong = process.env.STEPUP_TEST_LONG === 'true';
const slow = { testTimeout: 60_000, hookTimeout: 180_000 };

export default defineConfig({
  test: {
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
        test: { ...slow, name: 'control plane', include: isLong ? longTests : controlPlaneTests, exclude: isLong ? [] : longTests, maxWorkers: 2, sequence: { groupOrder: 3 } },
      },
    ],
  },
});
