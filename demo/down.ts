// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make down: stops what make up started and removes .run/.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { eventually } from '../test/support/eventually.ts';
import { isAlive, pidIn, runFiles, runFolder } from './run-folder.ts';

const pid = pidIn(existsSync(runFiles.pid) ? readFileSync(runFiles.pid, 'utf8') : undefined);
if (pid === undefined) {
  process.stdout.write('nothing is running\n');
} else {
  process.kill(pid, 'SIGTERM');
  await eventually('everything to stop', () => !isAlive(pid), { timeoutMs: 60_000 });
  process.stdout.write('stopped\n');
}
rmSync(runFolder, { recursive: true, force: true });
