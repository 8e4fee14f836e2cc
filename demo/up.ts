// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make up: leaves a control plane with stepup running in the background and writes .run/.
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { eventually } from '../test/support/eventually.ts';
import { type Installation, installStepup } from '../test/support/installation/installation.ts';
import { isAlive, pidIn, runFiles, runFolder } from './run-folder.ts';

const guide = `
stepup is running. Try:
  source .run/env
  kubectl --kubeconfig .run/deployer.kubeconfig -n prod create deployment web --image=nginx:1
  kubectl --kubeconfig .run/approver.kubeconfig -n prod get sua
and the command that the denial prints, with --kubeconfig .run/approver.kubeconfig. Stop it with: make down
`;

const { values } = parseArgs({
  options: { replicas: { type: 'string', default: '2' }, serve: { type: 'boolean', default: false } },
});
const replicas = Number(values.replicas);
if (!Number.isInteger(replicas) || replicas < 1 || replicas > 9) {
  throw new Error(`REPLICAS must be a number from 1 to 9, not ${values.replicas}`);
}
await (values.serve ? serve() : start());

/** The part in the foreground: starts the other one, shows its progress, and ends when all is ready. */
async function start(): Promise<void> {
  const running = pidIn(existsSync(runFiles.pid) ? readFileSync(runFiles.pid, 'utf8') : undefined);
  if (running !== undefined) {
    process.stdout.write(`already running (process ${running}); stop it with make down\n`);
    return;
  }
  rmSync(runFolder, { recursive: true, force: true });
  mkdirSync(runFolder, { recursive: true });
  const log = openSync(runFiles.log, 'a');
  const self = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [self, '--serve', '--replicas', String(replicas)], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  const pid = child.pid ?? 0;
  writeFileSync(runFiles.pid, String(pid));
  child.unref();
  let shown = 0;
  await eventually(
    `the control plane to be ready (see ${runFiles.log})`,
    () => {
      const text = readFileSync(runFiles.log, 'utf8');
      process.stdout.write(text.slice(shown));
      shown = text.length;
      if (!isAlive(pid)) process.exit(1);
      return existsSync(runFiles.ready);
    },
    { timeoutMs: 240_000, intervalMs: 200 },
  );
  process.stdout.write(guide);
}

/** The part in the background: holds everything until it is told to stop. */
async function serve(): Promise<void> {
  const installation = await installStepup({
    replicas,
    progress: (line) => process.stdout.write(`… ${line}\n`),
  });
  writeRunFolder(installation);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await installation.stop();
  rmSync(runFiles.ready, { force: true });
  process.exit(0);
}

function writeRunFolder(installation: Installation): void {
  for (const [actor, file] of Object.entries(installation.kubeconfigs)) {
    copyFileSync(file, `${runFolder}${actor}.kubeconfig`);
  }
  const { kubectl, helm } = installation.cluster.binaries;
  const path = [...new Set([dirname(kubectl), dirname(helm)])].join(delimiter);
  writeFileSync(runFiles.env, `export PATH="${path}:$PATH"\nexport KUBECONFIG="${runFolder}admin.kubeconfig"\n`);
  writeFileSync(runFiles.ready, '');
}
