// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The folder in which make up leaves what one needs to play: kubeconfigs, an environment, and how to stop it.
import { fileURLToPath } from 'node:url';

export const runFolder = fileURLToPath(new URL('../.run/', import.meta.url));

export const runFiles = {
  pid: `${runFolder}pid`,
  ready: `${runFolder}ready`,
  log: `${runFolder}up.log`,
  env: `${runFolder}env`,
} as const;

/** True while the process lives. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The pid of a running make up; undefined when there is none. */
export function pidIn(text: string | undefined): number | undefined {
  const pid = Number(text);
  return text !== undefined && Number.isInteger(pid) && pid > 1 && isAlive(pid) ? pid : undefined;
}
