// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Expands `$(VAR)` as the kubelet does, and moves mount paths into the pod's folder.

/** Unknown variables stay as they are; `$$(VAR)` is a literal `$(VAR)`. */
export function expandVariables(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()]*)\)/g, (match, name?: string) => {
    if (match === '$$') return '$';
    return name !== undefined && name in env ? String(env[name]) : match;
  });
}

export interface PathMapping {
  readonly mountPath: string;
  readonly hostPath: string;
}

/**
 * Rewrites every mount path that starts the text or follows one of `= , : ; ' "` and blanks (as in `--dir=/tls`), and ends
 * there or goes on with `/`. Longer mount paths win.
 */
export function rewritePaths(text: string, mappings: readonly PathMapping[]): string {
  if (mappings.length === 0) return text;
  const byPath = new Map(mappings.map(({ mountPath, hostPath }) => [trimSlash(mountPath), hostPath]));
  const longestFirst = [...byPath.keys()].sort((a, b) => b.length - a.length).map(escapePattern);
  const pattern = new RegExp(`(?<=^|[=,:;'"\\s])(?:${longestFirst.join('|')})(?=$|[/,:;'"\\s])`, 'g');
  return text.replace(pattern, (path) => byPath.get(path) ?? path);
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function trimSlash(path: string): string {
  return path.replace(/\/+$/, '');
}
