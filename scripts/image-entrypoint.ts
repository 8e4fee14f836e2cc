// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The image's entrypoint with this machine's paths: what runs in tests and benchmarks has the flags of what is shipped.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const dockerfile = fileURLToPath(new URL('../Dockerfile', import.meta.url));

/** Program and arguments; dist: the folder that is /app/dist in the image. Throws when the Dockerfile has none. */
export function imageEntrypoint(dist: string, text = readFileSync(dockerfile, 'utf8')): readonly [string, ...string[]] {
  const [, list] = /^ENTRYPOINT (\[.*\])$/m.exec(text) ?? [];
  if (list === undefined) throw new Error('read the Dockerfile: no ENTRYPOINT in its list form');
  const [, ...args]: readonly string[] = JSON.parse(list);
  return [process.execPath, ...args.map((arg) => arg.replace(/^\/app\/dist\//, `${dist}/`))];
}
