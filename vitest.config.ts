// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Two projects: unit tests, fast and alone; and tests on real control planes, at most two at a time.
import { defineConfig } from 'vitest/config';

const controlPlaneTests = ['test/**/*.controlplane.test.ts', 'test/controlplane/**/*.test.ts', 'test/chart/**/*.test.ts', 'test/e2e/**/*.test.ts'];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: controlPlaneTests,
        },
      },
      {
        test: {
          name: 'control plane',
          include: controlPlaneTests,
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
