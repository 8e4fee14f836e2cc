// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The workflows cannot run here. What can be said of them without: they parse, use nothing unpinned, hold no right they
// do not need, and call only what is there.
import { spawnSync } from 'node:child_process';
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

interface Step {
  readonly uses?: string;
  readonly run?: string;
}
interface Workflow {
  readonly on: object;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly permissions?: Record<string, string>;
        readonly 'timeout-minutes': number;
        readonly steps: readonly Step[];
      }
    >
  >;
}

const paths = repositoryFiles().filter((path) => path.startsWith('.github/workflows/'));
const makefile = textOf('Makefile');
const scripts = (JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }).scripts;

test('there are three', () => {
  expect(paths).toEqual(['ci', 'kind', 'release'].map((name) => `.github/workflows/${name}.yaml`));
});

describe.each(paths)('%s', (path) => {
  const workflow = load(textOf(path)) as Workflow;
  const jobs = Object.values(workflow.jobs);
  const steps = jobs.flatMap((job) => job.steps);

  test('says that it is not run here', () => {
    expect(textOf(path).split('\n').slice(0, 3).join(' ')).toMatch(/Not run here/);
  });

  test('uses only actions pinned to a commit', () => {
    const used = steps.flatMap(({ uses }) => uses ?? []);
    expect(used.filter((name) => !/^[a-z-]+\/[a-z-]+@[0-9a-f]{40}$/.test(name))).toEqual([]);
  });

  test('may only read, but for the job that publishes, and ends by itself', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
    const wider = Object.entries(workflow.jobs).filter(([, job]) => job.permissions !== undefined);
    expect(wider.map(([name]) => name)).toEqual(path.includes('release') ? ['publish'] : []);
    expect(jobs.every((job) => job['timeout-minutes'] <= 90)).toBe(true);
  });

  test('has scripts that a shell can read, without expressions that an attacker could fill in', () => {
    for (const { run } of steps) {
      if (run === undefined) continue;
      expect(spawnSync('bash', ['-n'], { input: run, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
      expect(run).not.toMatch(/\$\{\{/);
    }
  });

  test('calls targets and scripts that exist', () => {
    const text = steps.map(({ run = '' }) => run).join('\n');
    const targets = [...text.matchAll(/\bmake ([a-z0-9-]+)/g)].map(([, name]) => name ?? '');
    expect(targets.filter((name) => !makefile.includes(`\n${name}:`))).toEqual([]);
    const called = [...text.matchAll(/npm run --silent ([a-z-]+)/g)].map(([, name]) => name ?? '');
    expect(called.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

test('the release reads and changes lines of the chart that are there', () => {
  expect(textOf('charts/stepup/values.yaml')).toMatch(/^ {2}digest: ""$/m);
  expect(textOf('charts/stepup/values.yaml')).toMatch(/^ {2}repository: .+$/m);
  const { version } = JSON.parse(textOf('package.json')) as { version: string };
  expect(textOf('charts/stepup/Chart.yaml').split('\n')).toEqual(
    expect.arrayContaining([`version: ${version}`, `appVersion: ${version}`]),
  );
});
