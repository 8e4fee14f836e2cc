// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Runs helm on the chart without a cluster: lint and template.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { load, loadAll } from 'js-yaml';
import { ensureBinary } from '../control-plane/binaries.ts';
import { commandEnv } from '../control-plane/command-env.ts';
import { type CommandResult, runCommand } from '../run-command.ts';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const chart = join(root, 'charts/stepup');
export const systemNamespace = 'stepup-system';

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** As much of any rendered object as the tests look at. */
export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly Rule[];
}

export interface Policy extends Rendered {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** helm lint with these values. Never throws on a non-zero exit. */
export function lint(values: object = {}): Promise<CommandResult> {
  return helm(['lint', chart, '--strict', '--quiet', '--values=-'], values);
}

/** helm template as release `stepup`. Never throws on a non-zero exit. */
export function template(
  values: object = {},
  release = 'stepup',
  flags: readonly string[] = [],
): Promise<CommandResult> {
  return helm(['template', release, chart, `--namespace=${systemNamespace}`, '--values=-', ...flags], values);
}

/** The values of a file in fixtures/: `all-on`, `all-off`. */
export function fixtureValues(name: 'all-on' | 'all-off'): object {
  return load(readFileSync(join(root, `test/support/chart/fixtures/${name}.yaml`), 'utf8')) as object;
}

/** Everything the chart renders, hooks included. */
export async function render(values: object = {}, release = 'stepup'): Promise<readonly Rendered[]> {
  const { code, stdout, stderr } = await template(values, release);
  if (code !== 0) throw new Error(`render the chart: ${stderr}`);
  return loadAll(stdout).filter(isRendered);
}

/** The one rendered object of that kind and name. */
export function the(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
  const [object] = found;
  if (object === undefined || found.length > 1) throw new Error(`find ${kind} ${name}: ${found.length} rendered`);
  return object;
}

/** The ready-made policies as the packs ConfigMap holds them. */
export function packsOf(objects: readonly Rendered[], name = 'stepup-packs'): Readonly<Record<string, Policy>> {
  const { data } = the(objects, 'ConfigMap', name);
  const policies = Object.entries(data ?? {}).map(([file, text]) => [file, policyOf(load(text))] as const);
  return Object.fromEntries(policies);
}

async function helm(args: readonly string[], values: object): Promise<CommandResult> {
  const home = mkdtempSync(join(tmpdir(), 'stepup-helm-'));
  try {
    const env = commandEnv(home, join(home, 'none'));
    return await runCommand(await ensureBinary('helm'), args, { env, stdin: JSON.stringify(values), cwd: root });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function isRendered(value: unknown): value is Rendered {
  return typeof value === 'object' && value !== null && 'kind' in value && 'metadata' in value;
}

function policyOf(value: unknown): Policy {
  if (!isRendered(value) || value.spec === undefined) throw new Error('read a pack: it is no policy');
  return { ...value, spec: value.spec };
}
