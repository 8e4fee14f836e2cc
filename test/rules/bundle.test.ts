// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The bundle and its bill of materials: the same bytes from the same sources, everything in it listed, nothing of this
// machine inside; and what the image's build takes is what starts.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleInto, filesIn, sbomName } from '../../scripts/bundle.ts';
import { imageEntrypoint } from '../../scripts/image-entrypoint.ts';
import { packagesOf, sbomOf } from '../../scripts/sbom.ts';
import { textOf } from '../support/repository-files.ts';

let dir: string;
let files: readonly string[];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stepup-bundle-'));
  files = filesIn(await bundleInto(join(dir, 'one/dist')));
  await bundleInto(join(dir, 'two/dist'));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const bundled = (which: string) => readdirSync(join(dir, which, 'dist')).toSorted();
const contentOf = (which: string, name: string) => readFileSync(join(dir, which, 'dist', name), 'utf8');

interface Bom {
  readonly components: readonly {
    readonly 'bom-ref': string;
    readonly hashes?: readonly { readonly content: string }[];
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}
const bom = () => JSON.parse(contentOf('one', sbomName)) as Bom;

describe('the bundle', () => {
  test('is the same, byte for byte, when it is made again elsewhere', () => {
    expect(bundled('two')).toEqual(bundled('one'));
    for (const name of bundled('one')) expect(contentOf('two', name) === contentOf('one', name), name).toBe(true);
  });

  test('holds no path of this machine', () => {
    const shipped = bundled('one').filter((name) => !name.endsWith('.map'));
    expect(shipped.filter((name) => contentOf('one', name).includes(process.cwd()))).toEqual([]);
    expect(shipped.filter((name) => contentOf('one', name).includes(tmpdir()))).toEqual([]);
  });
});

describe('the bill of materials', () => {
  const errorsOf = (text: string) => new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text);

  test('is CycloneDX 1.6, as its schema has it', async () => {
    expect(await errorsOf(contentOf('one', sbomName))).toBeNull();
  });

  test.each([
    ['with a field that nobody knows', { surprise: true }],
    ['with a component of no type', { components: [{ name: 'x' }] }],
  ])('%s it is not', async (_, change) => {
    expect(await errorsOf(JSON.stringify({ ...bom(), ...change }))).not.toBeNull();
  });

  test('names every package that something of is in the bundle, as the lock file pins it, and no other', () => {
    const lock = JSON.parse(textOf('package-lock.json')) as {
      packages: Record<string, { version: string; integrity: string }>;
    };
    const expected = packagesOf(files).map((folder) => {
      const { version = '', integrity = '' } = lock.packages[folder] ?? {};
      const hash = Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex');
      return `${folder.replace(/^.*node_modules\//, '')}@${version} ${hash}`;
    });
    const listed = bom().components.map((one) => `${one['bom-ref']} ${one.hashes?.[0]?.content}`);
    expect(listed.toSorted()).toEqual(expected.toSorted());
    expect(listed.length).toBeGreaterThan(20);
  });

  test('has all runtime dependencies', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string> };
    const refs = bom().components.map((one) => one['bom-ref']);
    const names = Object.entries(dependencies).map(([name, version]) => `${name}@${version}`);
    expect(names.filter((name) => !refs.includes(name))).toEqual([]);
  });

  test('refuses a package that the lock file does not pin', () => {
    expect(() => sbomOf(['node_modules/unheard-of/index.js'])).toThrow('package-lock.json does not pin it');
  });

  test('tells packages inside packages apart', () => {
    expect(packagesOf(['node_modules/a/node_modules/@b/c/d.js', '../x/node_modules/a/lib/e.js', 'f.ts'])).toEqual([
      'node_modules/a',
      'node_modules/a/node_modules/@b/c',
    ]);
  });
});

describe('the image', () => {
  /** True when the engine is sent that file: the last line of .dockerignore that matches decides. */
  const isSent = (path: string) =>
    textOf('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .reduce((sent, line) => {
        const pattern = line.replace(/^!/, '').replaceAll('.', '\\.').replaceAll('*', '[^/]*');
        return new RegExp(`^${pattern}(/|$)`).test(path) ? line.startsWith('!') : sent;
      }, true);

  test('is sent the bundle, its licences and its bill, and nothing else', () => {
    const sent = bundled('one').filter((name) => isSent(`dist/${name}`));
    expect(sent).toEqual(bundled('one').filter((name) => !name.endsWith('.map')));
    expect(['src/cmd/stepup.ts', 'package.json', 'node_modules/pino/pino.js', '.git/config'].filter(isSent)).toEqual(
      [],
    );
  });

  test('starts with what it is sent, also what is loaded on demand', () => {
    const dist = join(dir, 'image/dist');
    cpSync(join(dir, 'one/dist'), dist, { recursive: true, filter: (from) => !from.endsWith('.map') });
    for (const name of readdirSync(dist)) if (!isSent(`dist/${name}`)) rmSync(join(dist, name));
    const [node, ...args] = imageEntrypoint(dist);
    const run = (...words: readonly string[]) =>
      spawnSync(node, [...args, ...words], { encoding: 'utf8', cwd: dir, env: {}, timeout: 20_000 });
    expect(run('--version')).toMatchObject({ status: 0, stderr: '' });
    // A kubeconfig is what the other chunk is for.
    expect(run('doctor', '--kubeconfig=absent').stderr).toMatch(/absent/);
    for (const name of readdirSync(dist)) if (name.startsWith('kubeconfig-')) rmSync(join(dist, name));
    expect(run('doctor', '--kubeconfig=absent').stderr).toMatch(/ERR_MODULE_NOT_FOUND|Cannot find module/);
  });

  test('runs as nobody, by number, with no shell to start it', () => {
    const lines = textOf('Dockerfile')
      .split('\n')
      .filter((line) => /^[A-Z]+ /.test(line));
    expect(lines.filter((line) => /^(RUN|ADD|SHELL) /.test(line))).toEqual([]);
    expect(lines).toContain('USER 65532:65532');
    expect(lines.filter((line) => /^(ENTRYPOINT|CMD) /.test(line)).every((line) => /^[A-Z]+ \[/.test(line))).toBe(true);
    expect(lines.filter((line) => line.startsWith('FROM ') && !/^FROM \$\{BASE\}$/.test(line))).toEqual([]);
  });
});
