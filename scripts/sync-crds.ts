// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Copies crds/ into the chart with YAML anchors written out. With --check it only says whether the copies are up to date.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dump, load } from 'js-yaml';

const source = new URL('../crds/', import.meta.url);
const target = new URL('../charts/stepup/files/crds/', import.meta.url);

/** What the chart's copies must be, by file name. */
export function chartCrds(): ReadonlyMap<string, string> {
  const files = readdirSync(source).filter((file) => file.endsWith('.yaml'));
  return new Map(files.sort().map((file) => [file, copyOf(file)]));
}

/** Names of the chart's copies that are missing, differ from crds/ or have no source there. */
export function staleCrds(): readonly string[] {
  const wanted = chartCrds();
  const names = new Set([...wanted.keys(), ...copies()]);
  return [...names].filter((file) => wanted.get(file) !== readCopy(file)).sort();
}

/** What templates/packs.yaml says that the chart brings: the digest of the chart's copies, one after the other. */
export function kindsDigest(): string {
  return createHash('sha256')
    .update([...chartCrds().values()].join(''))
    .digest('hex');
}

function copyOf(file: string): string {
  // Helm's fromYaml, linters and dashboards do not all follow anchors.
  const text = dump(load(readFileSync(new URL(file, source), 'utf8')), { noRefs: true, lineWidth: -1 });
  return `# Copied from crds/${file} by scripts/sync-crds.ts. DO NOT EDIT.\n${text}`;
}

function copies(): readonly string[] {
  try {
    return readdirSync(target);
  } catch {
    return [];
  }
}

function readCopy(file: string): string | undefined {
  return copies().includes(file) ? readFileSync(new URL(file, target), 'utf8') : undefined;
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const stale = staleCrds();
    if (stale.length > 0) {
      process.stderr.write(
        `charts/stepup/files/crds: ${stale.join(', ')} differ from crds/: run node scripts/sync-crds.ts\n`,
      );
      process.exitCode = 1;
    }
  } else {
    mkdirSync(target, { recursive: true });
    for (const [file, text] of chartCrds()) writeFileSync(new URL(file, target), text);
  }
}
