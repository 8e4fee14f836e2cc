// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Says what a container of the chart's image runs on this machine instead of the image.

import { basename } from 'node:path';
import type { Container, PodSpec } from './pod.ts';

export interface ImageRule {
  /** Repository prefix (text) or pattern of the images that are run. */
  readonly image: string | RegExp;
  /** What the image's own entrypoint is here, e.g. `['node', '/abs/dist/stepup.mjs']`. */
  readonly entrypoint: readonly string[];
}

/** Only pods all of whose containers can be run are ours; one foreign image leaves the pod Pending. */
export function isOurs({ initContainers = [], containers }: PodSpec, { image }: ImageRule): boolean {
  const matches = (name: string) => (typeof image === 'string' ? name.startsWith(image) : image.test(name));
  return [...initContainers, ...containers].every((container) => matches(container.image));
}

/** The process's argv, before variables are expanded and paths rewritten. */
export function argvOf(
  { command, args = [] }: Pick<Container, 'command' | 'args'>,
  rule: ImageRule,
): readonly string[] {
  const entrypoint = withRealNode(rule.entrypoint);
  if (!command?.length) return [...entrypoint, ...args];
  const [program = '', ...rest] = command;
  if (basename(program) === 'stepup') return [...entrypoint, ...rest, ...args];
  if (basename(program) !== 'node') return [...command, ...args];
  // `node <script of the image> …` is the entrypoint spelled out; `node --eval …` is just node.
  const startsScript = rest[0] !== undefined && /\.[cm]?js$/.test(rest[0]);
  return startsScript ? [...entrypoint, ...rest.slice(1), ...args] : [process.execPath, ...rest, ...args];
}

/** The Node that runs the harness, whatever PATH says: the project needs a newer one than machines have. */
function withRealNode([program = '', ...rest]: readonly string[]): readonly string[] {
  return [program === 'node' ? process.execPath : program, ...rest];
}
