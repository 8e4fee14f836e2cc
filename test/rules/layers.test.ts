// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Imports go one way: between rooms as the table says, between files without a circle. What is dangerous or heavy is
// imported in one place.
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importsOf, repositoryFiles, root, textOf } from '../support/repository-files.ts';

const of = (parent: string, names: string) => names.split(' ').map((name) => `${parent}/${name}`);
const model = ['domain/model'];
const kube = of('kube', 'time http objects watch');
/** What everything that talks to the API server may use. */
const base = [...kube, 'api', 'observe'];

/** Each room of src/ may import from itself, from lib, and from the rooms named here. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  'domain/model': [],
  'domain/coverage': model,
  'domain/seals': model,
  'domain/votes': model,
  'domain/integrity': model,
  'domain/change': of('domain', 'model coverage'),
  'domain/lifecycle': of('domain', 'model change seals votes'),
  'domain/decision': of('domain', 'model coverage change votes lifecycle'),
  'domain/stamping': of('domain', 'model change votes lifecycle'),
  'domain/engines': of('domain', 'model change votes lifecycle'),
  'domain/filing': of('domain', 'model change lifecycle decision'),
  'kube/time': [],
  'kube/http': ['kube/time'],
  'kube/objects': of('kube', 'time http'),
  'kube/watch': of('kube', 'time http objects'),
  api: [...of('domain', 'model seals'), 'kube/objects'],
  observe: [...of('domain', 'model lifecycle'), 'api'],
  config: [],
  replica: [...of('domain', 'model seals'), ...base],
  'webhook/reads': [...of('domain', 'model coverage change'), ...base],
  'webhook/after-answer': ['webhook/reads', ...of('domain', 'model change lifecycle decision filing seals'), ...base],
  'webhook/gate': [
    ...of('webhook', 'reads after-answer'),
    ...of('domain', 'model coverage change seals votes lifecycle decision filing'),
    ...base,
  ],
  'webhook/stamp': ['webhook/reads', ...of('domain', 'model seals stamping integrity'), ...base],
  'webhook/http': [...of('domain', 'model decision integrity'), 'replica', ...base],
  webhook: [
    ...of('webhook', 'reads after-answer gate stamp http'),
    'domain/change',
    'domain/model',
    'replica',
    ...base,
  ],
  'operator/admission': [...of('domain', 'model integrity'), ...base],
  'operator/gates': ['operator/admission', ...of('domain', 'model coverage change integrity'), ...base],
  'operator/guard': ['operator/admission', ...model, ...base],
  'operator/integrity': [...of('operator', 'admission gates guard'), ...of('domain', 'model integrity'), ...base],
  'operator/approvals': [...of('domain', 'model lifecycle seals votes'), ...base],
  'operator/engines': ['operator/approvals', ...of('domain', 'model change engines seals'), ...base],
  'operator/keys': ['operator/admission', 'replica', ...of('domain', 'model seals'), ...base],
  'operator/packs': ['operator/admission', ...base],
  operator: [...of('operator', 'admission gates guard integrity approvals engines keys packs'), 'replica', ...base],
  cmd: [
    'webhook',
    'operator',
    ...of('operator', 'guard integrity'),
    'replica',
    'config',
    ...of('domain', 'model integrity'),
    ...base,
  ],
};

const sources = repositoryFiles().filter((path) => path.startsWith('src/') && path.endsWith('.ts'));
/** The longest room that a file lies in; a folder below one, such as api/generated, belongs to it. */
const roomOf = (path: string) => {
  const folder = posix.dirname(path).slice('src/'.length);
  const [parent = ''] = folder.split('/');
  return folder in allowed || !(parent in allowed) ? folder : parent;
};
const importedBy = (path: string) =>
  importsOf(path)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(path), specifier));

describe('rooms', () => {
  test.each(Object.keys(allowed))('%s imports only from the rooms that the table names', (room) => {
    const wrong = sources
      .filter((path) => roomOf(path) === room)
      .flatMap((path) =>
        importedBy(path)
          .filter((target) => ![room, 'lib', ...(allowed[room] ?? [])].includes(roomOf(target)))
          .map((target) => `${path} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  test('every folder of src/ is a room, and every room is there', () => {
    const rooms = new Set(sources.map(roomOf));
    expect([...rooms].filter((room) => !(room in allowed))).toEqual([]);
    expect(Object.keys(allowed).filter((room) => !rooms.has(room))).toEqual([]);
  });

  test('every permission of the table is used', () => {
    const used = new Set(sources.flatMap((path) => importedBy(path).map((to) => `${roomOf(path)} ${roomOf(to)}`)));
    const shared = new Set(base);
    const needless = Object.entries(allowed).flatMap(([room, targets]) =>
      targets.filter((target) => !shared.has(target) && !used.has(`${room} ${target}`)).map((to) => `${room} ${to}`),
    );
    expect(needless).toEqual([]);
  });

  test('none holds more than 16 files', () => {
    const counts = new Map<string, number>();
    for (const path of sources) counts.set(posix.dirname(path), (counts.get(posix.dirname(path)) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > 16)).toEqual([]);
  });

  test('no two files share a name', () => {
    const names = sources.map((path) => posix.basename(path));
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test('no files import each other in a circle', () => {
    expect(circlesIn(new Map(sources.map((path) => [path, importedBy(path)])))).toEqual([]);
  });
});

describe('files', () => {
  test.each([
    ['@kubernetes/client-node', ['src/kube/http/kubeconfig.ts']],
    ['express', ['src/webhook/http/']],
    ['commander', ['src/cmd/', 'src/config/']],
  ])('%s is imported only where it belongs', (name, places) => {
    const importers = sources.filter((path) => importsOf(path).includes(name));
    expect(importers.length).toBeGreaterThan(0);
    expect(importers.filter((path) => !places.some((place) => path.startsWith(place)))).toEqual([]);
  });

  test('the domain neither waits nor asks for the time', () => {
    const impure = /\bawait\b|\basync\b|Date\.now\(|new Date\(\)|Math\.random|process\./;
    const pure = sources.filter((path) => /^src\/(domain|lib)\//.test(path));
    expect(pure.filter((path) => impure.test(withoutComments(textOf(path))))).toEqual([]);
  });

  test('the environment is read in config and cmd only', () => {
    const readers = sources.filter((path) => withoutComments(textOf(path)).includes('process.env'));
    expect(readers.filter((path) => !/^src\/(config|cmd)\//.test(path))).toEqual([]);
  });

  test('none grows beyond what one reads in one go', () => {
    const long = sources.filter((path) => !path.includes('/generated/') && textOf(path).split('\n').length > 300);
    expect(long).toEqual([]);
  });
});

describe('tests', () => {
  test('what a file names by its place beside it is there', () => {
    const beside = /import\.meta\.dirname, '([^']+)'|new URL\('([^']+)', import\.meta\.url\)/g;
    const made = ['.run/', 'test-results/', 'dist/'];
    const lost = repositoryFiles()
      .filter((path) => /^(test|scripts|demo)\/.*\.ts$/.test(path))
      .flatMap((path) =>
        [...textOf(path).matchAll(beside)]
          .map(([, joined, url]) => posix.join(posix.dirname(path), joined ?? url ?? ''))
          .filter((target) => !made.some((folder) => target.startsWith(folder)) && !existsSync(`${root}${target}`))
          .map((target) => `${path} names ${target}`),
      );
    expect(lost).toEqual([]);
  });

  const houses = ['unit', 'cluster', 'proof', 'rules'];
  const houseOf = (path: string) => /^test\/(\w+)\//.exec(path)?.[1] ?? '';
  const tests = repositoryFiles().filter((path) => path.startsWith('test/') && path.endsWith('.ts'));

  test('those of one kind import what all share, and never each other', () => {
    const wrong = tests.flatMap((path) =>
      importedBy(path)
        .filter((target) => houses.includes(houseOf(target)) && houseOf(target) !== houseOf(path))
        .map((target) => `${path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('no two helpers share a name, so that a search finds the right one', () => {
    const names = tests.filter((path) => !path.endsWith('.test.ts')).map((path) => posix.basename(path));
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test('each is of a kind', () => {
    expect(tests.filter((path) => ![...houses, 'support'].includes(houseOf(path)))).toEqual([]);
  });
});

/** Groups of files of which each reaches each other by imports (Tarjan's strongly connected components). */
function circlesIn(edges: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const indexes = new Map<string, number>();
  const lowest = new Map<string, number>();
  const path: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): number => {
    const index = indexes.size;
    indexes.set(file, index);
    lowest.set(file, index);
    path.push(file);
    for (const target of edges.get(file) ?? []) {
      if (!indexes.has(target)) lowest.set(file, Math.min(lowest.get(file) ?? 0, visit(target)));
      else if (path.includes(target)) lowest.set(file, Math.min(lowest.get(file) ?? 0, indexes.get(target) ?? 0));
    }
    if (lowest.get(file) === index) {
      const circle = path.splice(path.indexOf(file));
      if (circle.length > 1) circles.push(circle);
    }
    return lowest.get(file) ?? index;
  };
  for (const file of edges.keys()) if (!indexes.has(file)) visit(file);
  return circles;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*/g, '');
}
