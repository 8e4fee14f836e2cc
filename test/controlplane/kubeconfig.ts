// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Writes kubeconfig files. They are JSON, which is YAML as well.

import { writeFileSync } from 'node:fs';

export interface KubeconfigParts {
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  readonly user: KubeconfigUser;
}

export type KubeconfigUser =
  | { readonly kind: 'certificate'; readonly cert: string; readonly key: string }
  | { readonly kind: 'token'; readonly token: string };

/** Writes the file, readable by its owner only, and returns its path. */
export function writeKubeconfig(path: string, { server, ca, user }: KubeconfigParts): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'stepup', cluster: { server, 'certificate-authority-data': base64(ca) } }],
    users: [{ name: 'stepup', user: userEntry(user) }],
    contexts: [{ name: 'stepup', context: { cluster: 'stepup', user: 'stepup' } }],
    'current-context': 'stepup',
  };
  writeFileSync(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  return path;
}

function userEntry(user: KubeconfigUser) {
  if (user.kind === 'token') return { token: user.token };
  return { 'client-certificate-data': base64(user.cert), 'client-key-data': base64(user.key) };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
