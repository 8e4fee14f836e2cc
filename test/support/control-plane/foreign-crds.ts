// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The kinds of others that the chart and the examples use, as their projects publish them in their Go modules.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { type BinariesOptions, toolsDir } from './binaries.ts';
import { withFileLock } from './file-lock.ts';

interface Source {
  /** Module and version. */
  readonly module: string;
  /** What the module's content must hash to, as in a go.sum. */
  readonly sum: string;
  readonly files: readonly string[];
}

const sources: readonly Source[] = [
  {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    sum: 'h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=',
    files: ['deploy/crds/cert-manager.io_certificates.yaml', 'deploy/crds/cert-manager.io_issuers.yaml'],
  },
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
    files: ['podmonitors', 'prometheusrules', 'servicemonitors'].map(
      (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
  {
    module: 'github.com/fluxcd/kustomize-controller@v1.9.0',
    sum: 'h1:WfM+bQUGUGW2qyrrTgh2bIVSZSPmc3JC7234K8NiTWQ=',
    files: ['config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml'],
  },
  {
    module: 'github.com/fluxcd/helm-controller@v1.4.0',
    sum: 'h1:rkm8rmB6Na7eNc4pJOnvtXEaJ19iKluRtayHKjBxcUM=',
    files: ['config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml'],
  },
  {
    module: 'github.com/fluxcd/source-controller@v1.7.0',
    sum: 'h1:/fBgS4CSmT5Jj/fjQDF92y+pC3gst1GJjgNSzY8Ff9I=',
    files: ['gitrepositories', 'helmrepositories', 'ocirepositories'].map(
      (name) => `config/crd/bases/source.toolkit.fluxcd.io_${name}.yaml`,
    ),
  },
  {
    module: 'github.com/argoproj/argo-cd/v3@v3.4.0',
    sum: 'h1:yZwfaOIzE/aQTA52mOfeZQbribmyxKYvMgirQja4eX0=',
    files: ['manifests/crds/application-crd.yaml', 'manifests/crds/appproject-crd.yaml'],
  },
];

/** The modules that the kinds come from, with their versions. */
export const foreignModules: readonly string[] = sources.map(({ module }) => module);

/**
 * Paths of the CRD files of cert-manager, prometheus-operator, Flux and Argo CD, for `kubectl create -f`: apply would
 * put the larger ones into an annotation that is too small for them. Fetched once, with progress on stderr; rejects when
 * a module cannot be had or is not what is pinned here.
 */
export async function foreignCrds({ env = process.env, say = progress }: BinariesOptions = {}): Promise<string[]> {
  const key = createHash('sha256').update(JSON.stringify(sources)).digest('hex').slice(0, 12);
  const folder = join(toolsDir(env), `crds-${key}`);
  if (!existsSync(folder)) {
    await withFileLock(join(toolsDir(env), 'build.lock'), { onWait: (pid) => say(`waiting for process ${pid}`) }, () =>
      fetchInto(folder, say),
    );
  }
  return readdirSync(folder).map((name) => join(folder, name));
}

async function fetchInto(folder: string, say: (line: string) => void): Promise<void> {
  if (existsSync(folder)) return;
  const draft = `${folder}.${process.pid}.tmp`;
  mkdirSync(draft, { recursive: true });
  try {
    for (const { module, sum, files } of sources) {
      say(`fetching the CRDs of ${module}`);
      const found = await download(module);
      if (found.Sum !== sum) throw new Error(`fetch ${module}: its sum is ${found.Sum}, not ${sum}`);
      for (const file of files) copyFileSync(join(found.Dir, file), join(draft, basename(file)));
    }
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

async function download(module: string): Promise<{ readonly Dir: string; readonly Sum: string }> {
  try {
    const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', module], { timeout: 300_000 });
    return JSON.parse(stdout) as { Dir: string; Sum: string };
  } catch (cause) {
    throw new Error(`fetch ${module}: go mod download failed`, { cause });
  }
}

function progress(line: string): void {
  process.stderr.write(`controlplane: ${line}\n`);
}
