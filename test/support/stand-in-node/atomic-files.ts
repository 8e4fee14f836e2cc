// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes a volume's files as the kubelet does: all of them change at one instant, by renaming one symlink.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

export type VolumeFiles = ReadonlyMap<string, Buffer>;

/** Makes the folder show exactly `files` (paths relative to it), through `..data`. */
export function writeAtomically(folder: string, files: VolumeFiles): void {
  mkdirSync(folder, { recursive: true });
  const data = join(folder, '..data');
  const previous = existsSync(data) ? readlinkSync(data) : undefined;
  const fresh = mkdtempSync(join(folder, '..version-'));
  for (const [path, content] of files) {
    mkdirSync(dirname(join(fresh, path)), { recursive: true });
    writeFileSync(join(fresh, path), content);
  }
  symlinkSync(basename(fresh), `${data}_tmp`);
  renameSync(`${data}_tmp`, data);
  linkVisibleNames(folder, new Set([...files.keys()].map((path) => path.split('/')[0] ?? path)));
  if (previous) rmSync(join(folder, previous), { recursive: true, force: true });
}

function linkVisibleNames(folder: string, names: ReadonlySet<string>): void {
  for (const name of names) {
    const link = join(folder, name);
    if (!lstatSync(link, { throwIfNoEntry: false })) symlinkSync(join('..data', name), link);
  }
  for (const name of readdirSync(folder)) {
    if (!name.startsWith('..') && !names.has(name)) rmSync(join(folder, name));
  }
}
