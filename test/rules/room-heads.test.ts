// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A room's README says what each of its files is for: all that are there, and none that is not.
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

const files = repositoryFiles().filter((path) => path.startsWith('src/'));
const heads = files.filter((path) => /^src\/(operator|kube|replica)\/(.*\/)?README\.md$/.test(path));

test('there are some', () => {
  expect(heads.length).toBeGreaterThan(10);
});

test.each(heads)('%s names what lies beside it', (head) => {
  const room = posix.dirname(head);
  const inside = files.filter((path) => path.startsWith(`${room}/`) && path !== head);
  const names = inside.map((path) => path.slice(room.length + 1).replace(/\/.*/, '/'));
  const named = [...textOf(head).matchAll(/^- `([^`]+)`: /gm)].map(([, name]) => name);
  expect(named.toSorted()).toEqual([...new Set(names)].sort());
});
