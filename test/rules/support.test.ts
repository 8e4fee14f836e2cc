// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The versions that docs/support.md names are those that the tests run with.
import { expect, test } from 'vitest';
import { foreignModules } from '../support/control-plane/foreign-crds.ts';
import { describeTool } from '../support/control-plane/tools.ts';
import { textOf } from '../support/repository-files.ts';

const support = textOf('docs/support.md');
const versionOf = (tool: Parameters<typeof describeTool>[0]) => /^v([0-9.]+)-/.exec(describeTool(tool).cacheKey)?.[1];

const pins: readonly (readonly [string, string | undefined])[] = [
  ['Kubernetes', versionOf('kube-apiserver')],
  ['Helm', versionOf('helm')],
  ['Helm', versionOf('helm4')],
  ['kubectl', versionOf('kubectl')],
  ['Prometheus operator', versionOf('promtool')],
  ['Open Policy Agent', versionOf('opa')],
  ['Node', (JSON.parse(textOf('package.json')) as { devDependencies: { node: string } }).devDependencies.node],
  ...foreignModules.map((module) => {
    const [, name = '', version] = /^github\.com\/[^/]+\/([a-z-]+)(?:\/v[0-9]+)?@v([0-9.]+)$/.exec(module) ?? [];
    const row = { 'argo-cd': 'Argo CD', 'prometheus-operator': 'Prometheus operator', 'cert-manager': 'cert-manager' };
    return [row[name as keyof typeof row] ?? 'Argo CD, Flux', version] as const;
  }),
];

test.each(pins)('%s %s', (name, version) => {
  const line = support.split('\n').find((one) => one.startsWith(`| ${name}`));
  expect(line).toContain(version);
});

test('the oldest Kubernetes is the one that the chart accepts', () => {
  const [, oldest] = /\| Kubernetes \| ([0-9.]+) or newer/.exec(support) ?? [];
  expect(textOf('charts/stepup/Chart.yaml')).toContain(`kubeVersion: ">=${oldest}.0-0"`);
});
