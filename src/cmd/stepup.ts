#!/usr/bin/env node
// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The stepup binary: reads the command line and calls a composition root.
import { Command, InvalidArgumentError, Option } from 'commander';
import { BadOptionError, certificateLives, type ServeOptions, serveOptions } from '../config/options.ts';
import { createLog, errorFields } from '../observe/log.ts';
import { type CheckGateOptions, checkGate, checkGateExit, notDone } from './check-gate.ts';
import { type DoctorOptions, doctor, doctorExit } from './doctor.ts';
import { type ObservedOptions, observed, observedExit } from './observed.ts';
import { serve } from './serve.ts';
import { type StaticManifestsOptions, staticManifests } from './static-manifests.ts';
import { runUninstall } from './uninstall.ts';
import { version } from './version.ts';

const badCommandLine = 2;

const program = new Command('stepup')
  .description(
    'Step-up approval for Kubernetes: a privileged change by a machine needs an approval, which admits it once.',
  )
  .version(version)
  .showHelpAfterError('(run with --help for all options)')
  // Commands inherit it: one exit code for every command line that cannot be read.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : badCommandLine));

const shared = new Set([
  '--namespace',
  '--service-account-dir',
  '--kubeconfig',
  '--tls-secret',
  '--keys-secret',
  '--lease',
  '--service-name',
  '--log-level',
]);
const serveCommand = program.command('serve').description('run the webhook, and the operator while this replica leads');
const uninstallCommand = program
  .command('uninstall')
  .description('delete the webhook configurations before the chart is uninstalled');
for (const option of serveOptions()) {
  serveCommand.addOption(option);
  if (shared.has(option.long ?? '')) uninstallCommand.addOption(option);
}
serveCommand.action((options: ServeOptions) => {
  // Options that do not go together are a command line that cannot be read.
  certificateLives(options);
  return untilSignalled(options, serve);
});
uninstallCommand.action((options: ServeOptions) => untilSignalled(options, runUninstall));

program
  .command('doctor')
  .description('list the accounts and grants that can get around stepup')
  .addOption(new Option('--kubeconfig <file>', 'kubeconfig file; by default the one that kubectl uses'))
  .addOption(new Option('--context <name>', 'context in the kubeconfig'))
  .addOption(new Option('-n, --namespace <name>', 'namespace of stepup').default('stepup-system'))
  .addOption(new Option('--release <name>', "name of stepup's service account").default('stepup'))
  .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
  .action(async (options: DoctorOptions) => {
    try {
      process.exitCode = await doctor(options, (text) => process.stdout.write(text));
    } catch (error) {
      process.stderr.write(`stepup doctor: ${errorFields(error).error}\n`);
      process.exitCode = doctorExit.notDone;
    }
  });

program
  .command('observed')
  .description(
    'list what policies in mode Observe would have blocked; exit code 0: nothing, 1: something, 2: it could not be read',
  )
  .argument('[policies...]', 'policies to list; by default all in mode Observe')
  .addOption(new Option('--kubeconfig <file>', 'kubeconfig file; by default the one that kubectl uses'))
  .addOption(new Option('--context <name>', 'context in the kubeconfig'))
  .addOption(new Option('-o, --output <format>', 'output format').choices(['table', 'wide', 'json']).default('table'))
  .action(async (names: readonly string[], options: ObservedOptions) => {
    try {
      process.exitCode = await observed(names, options, (text) => process.stdout.write(text), new Date());
    } catch (error) {
      process.stderr.write(`stepup observed: ${errorFields(error).error}\n`);
      process.exitCode = observedExit.notDone;
    }
  });

program
  .command('check-gate')
  .description('test that the API server calls the webhook of every policy')
  .addOption(new Option('--kubeconfig <file>', 'kubeconfig file; by default the one that kubectl uses'))
  .addOption(new Option('--context <name>', 'context in the kubeconfig'))
  .addOption(
    new Option('--service-account-dir <dir>', 'in a pod: directory with token and ca.crt, instead of a kubeconfig'),
  )
  .addOption(new Option('-n, --namespace <name>', 'namespace of stepup').default('stepup-system'))
  .addOption(new Option('--expect <list>', 'policies that must exist').default([], 'none').argParser(namesIn))
  .addOption(
    new Option('--wait <seconds>', 'how long to wait until the webhook of every policy is called')
      .default(0)
      .argParser(wholeNumber),
  )
  .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
  .action(async (options: CheckGateOptions) => {
    try {
      process.exitCode = await checkGate(options, (text) => process.stdout.write(text));
    } catch (error) {
      process.stderr.write(notDone(error));
      process.exitCode = checkGateExit.notDone;
    }
  });

program
  .command('static-manifests')
  .description('print the guard as files for API servers that read admission policies from their disk (1.37)')
  .addOption(new Option('-n, --namespace <name>', 'namespace of stepup').default('stepup-system'))
  .addOption(new Option('--release <name>', "name of stepup's service account").default('stepup'))
  .addOption(
    new Option('--guard-exempt <list>', 'usernames that the guard does not restrict')
      .default([], 'none')
      .argParser(namesIn),
  )
  .action((options: StaticManifestsOptions) => {
    process.stdout.write(staticManifests(options));
  });

function namesIn(text: string): readonly string[] {
  return text.split(',').filter((name) => name !== '');
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of at most five digits.');
  return Number(text);
}

/** Runs a command until it ends or the process is told to stop; a failure is logged and exits 1. */
async function untilSignalled(
  options: ServeOptions,
  run: (options: ServeOptions, log: ReturnType<typeof createLog>, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const log = createLog(options.logLevel);
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  try {
    await run(options, log, stop.signal);
    process.exit(0);
  } catch (error) {
    log.error(errorFields(error), 'stepup stopped');
    process.exit(1);
  }
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof BadOptionError)) throw error;
  process.stderr.write(`${error.message}\n(run with --help for all options)\n`);
  process.exit(badCommandLine);
}
