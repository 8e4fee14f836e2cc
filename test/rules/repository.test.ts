// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Rules about what may stand in the repository at all.
import { describe, expect, test } from 'vitest';
import { optionRows } from '../../src/config/options.ts';
import { allowedReasons, deniedReasons } from '../../src/domain/model/reason.ts';
import { repositoryFiles, root, textOf } from '../support/repository-files.ts';

const texts = repositoryFiles().filter((path) => !/\.(png|ico)$/.test(path));

describe('repository', () => {
  test('no file holds a package registry or a path of the machine it was written on', () => {
    // Spelled in pieces, so that this file does not hold them either.
    const hosts = [
      ['registry', 'npmjs', 'org'],
      ['proxy', 'golang', 'org'],
      ['sum', 'golang', 'org'],
      ['deb', 'debian', 'org'],
    ];
    const paths = [
      ['', 'root', ''],
      ['', 'work', 'main'],
      ['', 'home', ''],
      ['', 'tmp', 'tools'],
    ];
    const banned = [...hosts.map((parts) => parts.join('.')), ...paths.map((parts) => parts.join('/'))];
    const found = texts.flatMap((path) =>
      banned.filter((text) => textOf(path).includes(text)).map((text) => `${path}: ${text}`),
    );
    expect(found).toEqual([]);
  });

  test('the lock file names no address to download from', () => {
    const lock = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, { resolved?: string }> };
    expect(Object.values(lock.packages).filter((entry) => entry.resolved !== undefined)).toEqual([]);
  });

  test('every runtime dependency has its reason in docs/dependencies.md, and no other is listed', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string> };
    const listed = [...textOf('docs/dependencies.md').matchAll(/^\| \x60([^\x60]+)\x60 \|/gm)].map(([, name]) => name);
    expect(listed.sort()).toEqual(Object.keys(dependencies).sort());
  });

  test('every TypeScript file says under which licence it is and what it is for', () => {
    const silent = texts.filter((path) => {
      if (!/^(src|test|scripts|demo)\/.*\.ts$/.test(path)) return false;
      const head = textOf(path).split('\n').slice(0, 5).join('\n');
      return !head.includes('SPDX-License-Identifier: Apache-2.0') || !/^\/\/ (?!SPDX).{12}/m.test(head);
    });
    expect(silent).toEqual([]);
  });

  test('no test is switched off or singled out', () => {
    const marks = /\b(test|it|describe)\.(only|skip|todo)\b/;
    expect(texts.filter((path) => path.endsWith('.test.ts') && marks.test(textOf(path)))).toEqual([]);
  });

  test('the docs name every reason and every option', () => {
    const reasons = textOf('docs/reasons.md');
    const configuration = textOf('docs/configuration.md');
    const missingReasons = [...Object.keys(allowedReasons), ...Object.keys(deniedReasons)].filter(
      (reason) => !reasons.includes(`\x60${reason}\x60`),
    );
    const missingOptions = optionRows()
      .map(({ flag }) => flag.split(' ')[0] ?? '')
      .filter((flag) => !configuration.includes(`\x60${flag}\x60`));
    expect({ missingReasons, missingOptions }).toEqual({ missingReasons: [], missingOptions: [] });
  });

  test('the docs name every metric, and none that is not there', () => {
    const counted = texts
      .filter((path) => path.startsWith('src/'))
      .flatMap((path) => [...textOf(path).matchAll(/'(stepup_[a-z_]+)'/g)].map(([, name]) => name));
    const told = [...textOf('docs/metrics.md').matchAll(/^\| \x60(stepup_[a-z_]+)\x60 \|/gm)].map(([, name]) => name);
    expect(counted.length).toBeGreaterThan(0);
    expect(told.sort()).toEqual([...new Set(counted)].sort());
  });

  test('what comments send the reader to is there', () => {
    const files = repositoryFiles();
    const lost = texts
      .filter((path) => /^(src|test|scripts|demo)\/.*\.ts$/.test(path))
      .flatMap((path) =>
        [
          ...textOf(path).matchAll(
            /\b(?:[\w-]+\/)*[\w-]+\.md\b|\b(?:src|test|scripts|demo)(?:\/[\w-]+)+(?:\.[\w-]+)*\.ts\b/g,
          ),
        ]
          .map(([named]) => named)
          .filter((named) => !files.some((file) => file === named || file.endsWith(`/${named}`)))
          .map((named) => `${path}: ${named}`),
      );
    expect(lost).toEqual([]);
  });

  test('the docs name every reason that a policy is or is not Ready for', () => {
    const union = /readonly reason:([^;]*);/.exec(textOf('src/operator/gates/policy-problems.ts'))?.[1] ?? '';
    const problems = [...union.matchAll(/'(\w+)'/g)].map(([, reason = '']) => reason);
    const others = ['InPlace', 'InvalidByAPIServer'];
    const page = textOf('docs/reference/stepuppolicy.md');
    expect(problems).toContain('NoRequirement');
    expect([...problems, ...others].filter((reason) => !page.includes(`\x60${reason}\x60`))).toEqual([]);
  });

  test('the docs mark every command block as run or not run', () => {
    const documents = [
      ...[
        'README.md',
        'CONTRIBUTING.md',
        'AGENTS.md',
        'docs/README.md',
        'docs/install.md',
        'docs/configuration.md',
        'docs/access.md',
      ],
      ...['docs/guard.md', 'docs/upgrades.md', 'docs/certificates.md', 'docs/operations.md', 'docs/emergency.md'],
      ...['docs/architecture.md', 'docs/approvals.md', 'docs/glossary.md'],
      ...repositoryFiles().filter((path) => path.startsWith('docs/reference/')),
    ];
    const unmarked = documents.flatMap((path) =>
      [...textOf(path).matchAll(/(.*)\n\x60\x60\x60sh\n/g)]
        .filter(([, before = '']) => !/<!-- (run|not run here): .+ -->/.test(before))
        .map(() => path),
    );
    expect(unmarked).toEqual([]);
  });

  test('links between the documents lead somewhere', () => {
    const files = new Set(repositoryFiles());
    const broken = texts
      .filter((path) => path.endsWith('.md'))
      .flatMap((path) => {
        const folder = new URL(`file://${root}${path}`);
        return [...textOf(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)]
          .map(([, link = '']) => decodeURI(new URL(link, folder).pathname).slice(root.length).replace(/\/$/, ''))
          .filter((target) => !files.has(target) && ![...files].some((file) => file.startsWith(`${target}/`)))
          .map((target) => `${path}: ${target}`);
      });
    expect(broken).toEqual([]);
  });

  test('links to a section of a document name one that is there', () => {
    const broken = texts
      .filter((path) => /^([A-Z]+|(docs|examples)\/.*)\.md$/.test(path))
      .flatMap((path) => {
        const here = new URL(`file://${root}${path}`);
        return [...textOf(path).matchAll(/\]\((?!https?:)([^)\s]*)#([^)]+)\)/g)]
          .map(([, link = '', section = '']) => {
            const target = link === '' ? path : decodeURI(new URL(link, here).pathname).slice(root.length);
            return { target, section };
          })
          .filter(({ target, section }) => target.endsWith('.md') && !sectionsOf(textOf(target)).has(section))
          .map(({ target, section }) => `${path}: ${target}#${section}`);
      });
    expect(broken).toEqual([]);
  });

  test('the indexes of the docs name every page', () => {
    const pages = repositoryFiles().filter((path) => /^docs\/[^/]+\.md$|^docs\/(adr|reference)\/.*\.md$/.test(path));
    const linkedFrom = (index: string) => {
      const folder = new URL(`file://${root}${index}`);
      const links = [...textOf(index).matchAll(/\]\((?!https?:|#)([^)#]+)/g)];
      return links.map(([, link = '']) => decodeURI(new URL(link, folder).pathname).slice(root.length));
    };
    const linked = new Set(['docs/README.md', 'docs/adr/README.md'].flatMap(linkedFrom));
    expect(pages.filter((page) => page !== 'docs/README.md' && !linked.has(page))).toEqual([]);
  });
});

/** The names by which GitHub links to the headings of a document. */
function sectionsOf(text: string): ReadonlySet<string> {
  const headings = [...text.replaceAll(/^\x60{3}[\s\S]*?^\x60{3}$/gm, '').matchAll(/^#+ (.+)$/gm)];
  const nameOf = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
  return new Set(headings.map(([, heading = '']) => nameOf(heading)));
}
