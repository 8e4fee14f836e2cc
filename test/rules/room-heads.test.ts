// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every room of src/ has a README that says what each of its files is for: all that are there, and none that is not.
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

const files = repositoryFiles().filter((path) => path.startsWith('src/'));
/** What is generated belongs to the room above it. */
const rooms = [...new Set(files.map((path) => posix.dirname(path)).flatMap(withParents))]
  .filter((folder) => folder !== 'src' && !folder.endsWith('/generated'))
  .sort();

test('there are some', () => {
  expect(rooms.length).toBeGreaterThan(30);
});

test.each(rooms)('%s has a README that names what lies beside it', (room) => {
  const head = `${room}/README.md`;
  expect(files).toContain(head);
  const inside = files.filter((path) => path.startsWith(`${room}/`) && path !== head);
  const names = inside.map((path) => path.slice(room.length + 1).replace(/\/.*/, '/'));
  const named = [...textOf(head).matchAll(/^- `([^`]+)`: /gm)].map(([, name]) => name);
  expect(named.toSorted()).toEqual([...new Set(names)].sort());
});

test.each(rooms)('%s has a README that begins with a question', (room) => {
  expect(textOf(`${room}/README.md`)).toMatch(/^<!-- SPDX.*\n<!-- SPDX.*\n# .+\?\n/);
});

function withParents(folder: string): readonly string[] {
  return folder === '.' ? [] : [folder, ...withParents(posix.dirname(folder))];
}
