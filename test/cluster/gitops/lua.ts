// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Runs the health checks of examples/gitops the way Argo CD does: its Lua, and no more libraries than it gives them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { root } from '../../support/chart/chart.ts';
import { ensureBinary } from '../../support/control-plane/binaries.ts';
import { runCommand } from '../../support/run-command.ts';

export interface Health {
  readonly status: string;
  readonly message: string;
}

/** What Argo CD would say of an object of stepup's. Rejects when the check fails or gives no table. */
export async function healthOf(object: { readonly kind: string }): Promise<Health> {
  const config = load(readFileSync(join(root, 'examples/gitops/argocd/health.yaml'), 'utf8')) as {
    data: Readonly<Record<string, string>>;
  };
  const script = config.data[`resource.customizations.health.stepup.dev_${object.kind}`];
  if (script === undefined) throw new Error(`no health check for ${object.kind}`);
  // Argo CD opens base, package, table and a part of os (util/lua/lua.go); what the others are called is nil there.
  const program = [
    'local out = io.write',
    'string, math, io, debug, coroutine, channel = nil, nil, nil, nil, nil, nil',
    `obj = ${literal(object)}`,
    `local health = (function()\n${script}\nend)()`,
    'out(health.status .. "\\n" .. health.message)',
  ].join('\n');
  const dir = mkdtempSync(join(tmpdir(), 'stepup-lua-'));
  try {
    const file = join(dir, 'health.lua');
    writeFileSync(file, program);
    const { code, stdout, stderr } = await runCommand(await ensureBinary('glua'), [file], {
      env: {},
      timeoutMs: 10_000,
    });
    const [status = '', ...message] = stdout.split('\n');
    if (code !== 0 || status === '') throw new Error(`check the health of ${object.kind}: ${stderr}${stdout}`);
    return { status, message: message.join('\n') };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A JSON value as Lua writes it; null is absent there. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(literal).join(', ')}}`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, one]) => one !== null && one !== undefined);
    return `{${fields.map(([key, one]) => `[${text(key)}] = ${literal(one)}`).join(', ')}}`;
  }
  return typeof value === 'string' ? text(value) : String(value);
}

/** Every byte but plain letters, digits and a few signs as a decimal escape. */
function text(value: string): string {
  const bytes = [...Buffer.from(value, 'utf8')];
  const escaped = bytes.map((byte) => {
    const sign = String.fromCharCode(byte);
    return /[A-Za-z0-9 .,:/_-]/.test(sign) ? sign : `\\${String(byte).padStart(3, '0')}`;
  });
  return `"${escaped.join('')}"`;
}
