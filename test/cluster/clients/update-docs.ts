// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes what the tests of this folder observe into docs/clients.md: node test/cluster/clients/update-docs.ts
import { spawn } from 'node:child_process';

const args = ['run', '--project', 'cluster', '--maxWorkers', '1', 'test/cluster/clients'];
const child = spawn('vitest', args, { stdio: 'inherit', env: { ...process.env, STEPUP_UPDATE_DOCS: '1' } });
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
