// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The part of the operator that keeps what others trust us by: the certificates of the webhook, and the keys of our seals.

import type { RestClient } from '../../kube/http/rest.ts';
import type { Secret } from '../../kube/objects/objects.ts';
import { ResourceClient } from '../../kube/objects/resource-client.ts';
import { secrets as secretResource } from '../../kube/objects/resources.ts';
import { changedSecret, type TamperingReporter } from '../admission/tampering-reporter.ts';
import type { CertificateSource } from './certificate-source.ts';
import { type CertificateParts, createCertificates } from './certificates.ts';
import { KeyringKeeper, type KeyringKeeperOptions } from './keyring-keeper.ts';

export interface KeysDependencies extends Omit<CertificateParts, 'client'> {
  readonly rest: RestClient;
  readonly keyring: { readonly secrets: KeyringKeeperOptions['secrets'] };
  readonly keysSecret: string;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
}

export interface Keys extends Pick<CertificateSource, 'run'> {
  readonly certificates: Pick<CertificateSource, 'caBundle'>;
}

export function createKeys(dependencies: KeysDependencies): Keys {
  const { rest, own, keyring, keysSecret, tampering, log, clock } = dependencies;
  const certificates = createCertificates({
    ...dependencies,
    client: new ResourceClient<Secret>(rest, secretResource),
  });
  const keeper = new KeyringKeeper({
    client: new ResourceClient<Secret>(rest, secretResource),
    secrets: keyring.secrets,
    secret: { namespace: own.namespace, name: keysSecret },
    onRestored: () => tampering.notice(changedSecret(own.namespace, keysSecret)),
    log,
    clock,
  });
  return {
    certificates,
    run: async (signal) => {
      await Promise.all([certificates.run(signal), keeper.run(signal)]);
    },
  };
}
