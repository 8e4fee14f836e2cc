// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Says what a container of the chart's image runs on this machine instead of the image.

import { basename } from 'node:path';
import type { Container, PodSpec } from './pod.ts';

export interface ImageRule {
  /** Repository prefix (text) or pattern of the images that are run. */
  readonly image: string | RegExp;
  /**
   * What the image's own entrypoint is here, e.g. `['node', '/abs/dist/stepup.mjs']`; a function of the image's whole name
   * where several releases run side by side.
   */
  readonly entrypoint: readonly string[] | ((image: string) => readonly string[]);
}

/** Only pods all of whose containers can be run are ours; one foreign image leaves the pod Pending. */
export function isOurs({ initContainers = [], containers }: PodSpec, { image }: ImageRule): boolean {
  const matches = (name: string) => (typeof image === 'string' ? name.startsWith(image) : image.test(name));
  return [...initContainers, ...containers].every((container) => matches(container.image));
}

export interface CommandLine {
  /** Of this machine: taken as it is. */
  readonly program: readonly string[];
  /** Of the pod: its variables are yet to be expanded and its paths rewritten. */
  readonly args: readonly string[];
}

export function commandLineOf(
  { command = [], args = [], image }: Pick<Container, 'command' | 'args' | 'image'>,
  rule: ImageRule,
): CommandLine {
  const entrypoint = withRealNode(typeof rule.entrypoint === 'function' ? rule.entrypoint(image) : rule.entrypoint);
  const [program, ...rest] = command;
  if (program === undefined) return { program: entrypoint, args };
  if (basename(program) === 'stepup') return { program: entrypoint, args: [...rest, ...args] };
  if (basename(program) !== 'node') return { program: [], args: [...command, ...args] };
  // `node <script of the image> …` is the entrypoint spelled out; `node --eval …` is just node.
  const startsScript = rest[0] !== undefined && /\.[cm]?js$/.test(rest[0]);
  if (startsScript) return { program: entrypoint, args: [...rest.slice(1), ...args] };
  return { program: [process.execPath], args: [...rest, ...args] };
}

/** The Node that runs the harness, whatever PATH says: the project needs a newer one than machines have. */
function withRealNode([program = '', ...rest]: readonly string[]): readonly string[] {
  return [program === 'node' ? process.execPath : program, ...rest];
}
