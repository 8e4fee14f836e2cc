// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Subjects of commits: short, and in one form. The commits before e2c74da are as they are.
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { root } from '../support/repository-files.ts';

const last = 'e2c74da6316f8591f3131108ed496dd7145ad0da';
const mostCharacters = 50;

const git = (...args: readonly string[]) =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

function isKnown(commit: string): boolean {
  try {
    git('merge-base', '--is-ancestor', commit, 'HEAD');
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with a subject, in words. */
function problemsOf(subject: string): readonly string[] {
  const characters = [...subject].length;
  return [
    ...(characters > mostCharacters ? [`has ${characters} characters, ${mostCharacters} are allowed`] : []),
    ...(subject.endsWith('.') ? ['ends with a full stop'] : []),
    ...(/^\p{Lu}/u.test(subject) ? [] : ['does not begin with a capital letter']),
  ];
}

describe('the subject of a commit', () => {
  test.each([
    ['of 50 characters is allowed', `Name ${'x'.repeat(45)}`, []],
    ['of 51 characters is too long', `Name ${'x'.repeat(46)}`, ['has 51 characters, 50 are allowed']],
    ['with a full stop is not allowed', 'Name the thing.', ['ends with a full stop']],
    ['with a small first letter is not allowed', 'name the thing', ['does not begin with a capital letter']],
    ['with a type before a colon is not allowed', 'fix: Name it', ['does not begin with a capital letter']],
  ])('%s', (_, subject, problems) => {
    expect(problemsOf(subject)).toEqual(problems);
  });

  if (isKnown(last)) {
    test('is in that form in every commit since the rule began, merges aside', () => {
      const lines = git('log', '--no-merges', '--format=%h%x09%s', `${last}..HEAD`).split('\n');
      const wrong = lines
        .filter((line) => line !== '')
        .map((line) => line.split('\t') as [string, string])
        .flatMap(([id, subject]) => problemsOf(subject).map((problem) => `${id} "${subject}" ${problem}`));
      expect(wrong).toEqual([]);
    });
  } else {
    test('cannot be read here, because the clone is shallow', () => {
      expect(git('rev-parse', '--is-shallow-repository')).toBe('true');
    });
  }
});
