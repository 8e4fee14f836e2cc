// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Gets tokens of service accounts by TokenRequest, as pods get theirs.

import { type AdminClient, ApiRefusal } from './admin-client.ts';

export interface TokenOptions {
  /** The API server allows no less than 600. Default 3600. */
  readonly expirationSeconds?: number;
  /** Creates the account when it does not exist. Default false. */
  readonly create?: boolean;
  /** Default: the API server's own audience. */
  readonly audiences?: readonly string[];
  /** The token dies with this pod and names it. */
  readonly boundPod?: { readonly name: string; readonly uid: string };
}

interface TokenRequest {
  readonly status: { readonly token: string };
}

/** A fresh token of the account "namespace/name". */
export async function requestToken(admin: AdminClient, account: string, options: TokenOptions = {}): Promise<string> {
  const [namespace, name] = account.split('/');
  if (!namespace || !name) throw new Error(`request token: "${account}" is not of the form namespace/name`);
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  if (options.create) await createAccount(admin, accounts, name);
  const { boundPod, audiences, expirationSeconds = 3600 } = options;
  const { status } = await admin.post<TokenRequest>(`${accounts}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      expirationSeconds,
      ...(audiences ? { audiences } : {}),
      ...(boundPod ? { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...boundPod } } : {}),
    },
  });
  return status.token;
}

async function createAccount(admin: AdminClient, accounts: string, name: string): Promise<void> {
  try {
    await admin.post(accounts, { metadata: { name } });
  } catch (cause) {
    const exists = cause instanceof ApiRefusal && cause.code === 409;
    if (!exists) throw cause;
  }
}
