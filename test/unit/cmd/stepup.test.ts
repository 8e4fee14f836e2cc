// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The command line of the binary: what it understands, what it says to the rest, and how it exits.
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runCommand } from '../../support/run-command.ts';

/** Each starts a process, on a machine that may be busy. */
const processTimeoutMs = 30_000;

const binary = fileURLToPath(new URL('../../../src/cmd/stepup.ts', import.meta.url));

/** Without any variable that an option reads. */
const stepup = (...args: readonly string[]) => runCommand(process.execPath, [binary, ...args], { env: {} });

test.each([
  [['--help'], 'Commands:'],
  [['serve', '--help'], '--settle-resources'],
  [['uninstall', '--help'], '--tls-secret'],
  [['uninstall', '--help'], '--keys-secret'],
  [['doctor', '--help'], '--output'],
  [['observed', '-h'], '[policies...]'],
  [['static-manifests', '--release=gate'], 'system:serviceaccount:stepup-system:gate-uninstall'],
  [['--version'], 'dev'],
])(
  '%j is answered with exit code 0',
  async (args, text) => {
    const { code, stdout } = await stepup(...args);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(text) });
  },
  processTimeoutMs,
);

test.each([
  [[], 'Usage: stepup'],
  [['serves'], "unknown command 'serves'"],
  [['serve', '--bogus'], "unknown option '--bogus'"],
  [['serve', '--log-level=trace'], 'Allowed choices are debug, info, warn, error'],
  [['serve', '--webhook-port=65536'], '--webhook-port: must be a port, at most 65535, not "65536"'],
  [
    ['serve', '--certificate-leaf-seconds=719'],
    '--certificate-leaf-seconds: must be at least six times the spread of 120 s',
  ],
  [
    ['serve', '--certificate-leaf-seconds=720', '--certificate-authority-seconds=719'],
    '--certificate-authority-seconds: must be at least the 720 s of --certificate-leaf-seconds',
  ],
  [['doctor', '--output=xml'], 'Allowed choices are text, json'],
  [['observed', '--output=yaml'], 'Allowed choices are table, wide, json'],
  [['static-manifests', '--kubeconfig=x'], "unknown option '--kubeconfig=x'"],
  [['uninstall', '--retention-seconds=1'], "unknown option '--retention-seconds=1'"],
])(
  '%j cannot be read: exit code 2',
  async (args, text) => {
    const { code, stderr } = await stepup(...args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(text) });
  },
  processTimeoutMs,
);

test(
  'what is understood and fails exits with 1, and its log says what to do',
  async () => {
    const { code, stdout } = await stepup('serve', '--webhook-port=65535');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ level: 'error', error: expect.stringContaining('set --kubeconfig') });
  },
  processTimeoutMs,
);
