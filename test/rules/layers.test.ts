// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Imports go one way, and what is dangerous or heavy is imported in one place.
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importsOf, repositoryFiles, textOf } from '../support/repository-files.ts';

/** Each folder of src/ may import from itself and from the folders named here. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  domain: ['lib'],
  kube: ['lib', 'domain', 'api'],
  api: ['lib', 'domain', 'kube'],
  observe: ['lib', 'domain', 'api', 'kube'],
  config: ['lib'],
  replica: ['lib', 'domain', 'api', 'kube', 'observe', 'webhook'],
  webhook: ['lib', 'domain', 'api', 'kube', 'observe', 'replica'],
  operator: ['lib', 'domain', 'api', 'kube', 'observe', 'replica'],
  cmd: ['lib', 'domain', 'api', 'kube', 'observe', 'config', 'replica', 'webhook', 'operator'],
};

const sources = repositoryFiles().filter((path) => path.startsWith('src/') && path.endsWith('.ts'));
const layerOf = (path: string) => path.split('/')[1] ?? '';

describe('layers', () => {
  test.each(Object.keys(allowed))('%s imports only from the layers below it', (layer) => {
    const wrong = sources
      .filter((path) => layerOf(path) === layer)
      .flatMap((path) =>
        importsOf(path)
          .filter((specifier) => specifier.startsWith('.'))
          .map((specifier) => layerOf(posix.join(posix.dirname(path), specifier)))
          .filter((target) => target !== layer && !allowed[layer]?.includes(target))
          .map((target) => `${path} imports from ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  test('every folder of src/ is a known layer', () => {
    expect([...new Set(sources.map(layerOf))].filter((layer) => !(layer in allowed))).toEqual([]);
  });

  test.each([
    ['@kubernetes/client-node', ['src/kube/http/kubeconfig.ts']],
    ['express', ['src/webhook/']],
    ['commander', ['src/cmd/', 'src/config/']],
  ])('%s is imported only where it belongs', (name, places) => {
    const importers = sources.filter((path) => importsOf(path).includes(name));
    expect(importers.filter((path) => !places.some((place) => path.startsWith(place)))).toEqual([]);
  });

  test('the domain neither waits nor asks for the time', () => {
    const impure = /\bawait\b|\basync\b|Date\.now\(|new Date\(\)|Math\.random|process\./;
    expect(sources.filter((path) => layerOf(path) === 'domain' && impure.test(withoutComments(textOf(path))))).toEqual(
      [],
    );
  });

  test('the environment is read in config and cmd only', () => {
    const readers = sources.filter((path) => withoutComments(textOf(path)).includes('process.env'));
    expect(readers.filter((path) => !['config', 'cmd'].includes(layerOf(path)))).toEqual([]);
  });

  test('no source file grows beyond what one reads in one go', () => {
    const long = sources.filter((path) => !path.includes('/generated/') && textOf(path).split('\n').length > 300);
    expect(long).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*/g, '');
}
