// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the guides for contributors name is there: files, folders, parts of the code, targets of make, projects of tests.
import { describe, expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

const files = repositoryFiles();
const code = files.filter((path) => /^(src|test)\/.*\.ts$/.test(path)).map(textOf);

describe.each(['AGENTS.md', 'CONTRIBUTING.md', 'docs/architecture.md', 'test/README.md'])('%s', (guide) => {
  const text = textOf(guide);
  const prose = text.replaceAll(/^\x60{3}[\s\S]*?^\x60{3}$/gm, '');
  const inCode = [...prose.matchAll(/\x60([^\x60]+)\x60/g)].map(([, piece = '']) => piece);

  test('names files and folders that are there', () => {
    const named = [
      ...text.matchAll(/(?<![\w/.-])(?:src|test|docs|charts|crds|scripts|examples|demo)\/[\w./<>-]*\w>?/g),
    ];
    const tests = inCode.filter((piece) => /^[\w-]+\.test\.ts$/.test(piece));
    const lost = [...named.map(([path]) => path), ...tests].filter((path) => !isThere(path));
    expect(lost).toEqual([]);
  });

  test('names parts of the code that are there', () => {
    const names = inCode.filter((piece) => /^[a-z]+[A-Z]\w*$/.test(piece));
    const isInCode = (name: string) => code.some((one) => new RegExp(`\\b${name}\\b`).test(one));
    expect(names.filter((name) => !isInCode(name))).toEqual([]);
  });

  test('names targets of make and projects of vitest that are there', () => {
    const commands = [
      ...inCode,
      ...[...text.matchAll(/^\x60{3}sh\n([\s\S]*?)^\x60{3}$/gm)].map(([, block = '']) => block),
    ];
    const targets = commands
      .flatMap((command) => [...command.matchAll(/\bmake ((?:[a-z][a-z-]*[ \t]?)+)/g)])
      .flatMap(([, list = '']) => list.trim().split(/\s+/));
    const made = [...textOf('Makefile').matchAll(/^([a-z-]+):/gm)].map(([, target]) => target);
    expect(targets.filter((target) => !made.includes(target))).toEqual([]);
    const projects = commands.flatMap((command) => [...command.matchAll(/--project (\w+)/g)]).map(([, name]) => name);
    const known = [...textOf('vitest.config.ts').matchAll(/inFolder\('(\w+)'\)/g)].map(([, name]) => name);
    expect(projects.filter((name) => !known.includes(name))).toEqual([]);
  });
});

/** <name> stands for any text; a path may also be the beginning of one, as vitest takes it. */
function isThere(path: string): boolean {
  const pattern = path.replaceAll('.', '\\.').replaceAll(/<\w+>/g, '[^/]+');
  const whole = new RegExp(path.includes('/') ? `^${pattern}` : `(^|/)${pattern}$`);
  return files.some((file) => whole.test(file));
}
