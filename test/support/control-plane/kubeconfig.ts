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

export type KubeconfigUser = Credentials | Impersonation;

export type Credentials =
  | { readonly kind: 'certificate'; readonly cert: string; readonly key: string }
  | { readonly kind: 'token'; readonly token: string };

/** Acts as somebody else with the credentials of one who may. */
interface Impersonation {
  readonly kind: 'impersonation';
  readonly by: Credentials;
  readonly user: string;
  readonly groups: readonly string[];
}

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

function userEntry(user: KubeconfigUser): Readonly<Record<string, unknown>> {
  switch (user.kind) {
    case 'token':
      return { token: user.token };
    case 'certificate':
      return { 'client-certificate-data': base64(user.cert), 'client-key-data': base64(user.key) };
    case 'impersonation':
      return { ...userEntry(user.by), as: user.user, 'as-groups': user.groups };
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
