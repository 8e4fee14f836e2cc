// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The part of the operator that has the API server trust the serving certificate, whoever issues it.
import type { Secret } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import type { Log } from '../../observe/log.ts';
import { isManaged, stampName, type WebhookConfiguration } from '../admission/webhook-configuration.ts';
import type { CertificateSource } from './certificate-source.ts';
import type { StoredCertificates } from './certificate-step.ts';
import { ExternalCertificates } from './external-certificates.ts';
import { serviceNames } from './issue.ts';
import { type CertificateLives, OwnCertificates } from './own-certificates.ts';

export interface CertificateSettings {
  /** Who keeps the Secret: this operator, or somebody else such as cert-manager. */
  readonly issuer: 'self' | 'external';
  readonly lives: CertificateLives;
  /** What this replica serves, and who is trusted to have issued it. */
  readonly inUse: () => Omit<StoredCertificates, 'authorityKey'> | undefined;
}

export interface CertificateParts {
  readonly certificates: CertificateSettings;
  readonly own: { readonly namespace: string };
  readonly service: { readonly name: string };
  readonly tlsSecret: string;
  readonly client: Pick<ResourceClient<Secret>, 'create' | 'replace'>;
  readonly secrets: Watched<Secret>;
  readonly validating: Watched<WebhookConfiguration>;
  readonly mutating: Watched<WebhookConfiguration>;
  /** The bundle changed: configurations must follow. */
  readonly onBundle: () => void;
  readonly log: Log;
  readonly clock: Clock;
}

export function createCertificates(parts: CertificateParts): CertificateSource {
  const { certificates, own, service, tlsSecret, client, secrets, validating, mutating, onBundle, log, clock } = parts;
  const { issuer, lives, inUse } = certificates;
  const ours = () => [validating, mutating].flatMap(({ objects }) => [...objects.values()].filter(isOwnConfiguration));
  const common = {
    secrets,
    secret: { namespace: own.namespace, name: tlsSecret },
    isPublished: (caBundle: string) => ours().every((one) => bundlesOf(one).every((bundle) => bundle === caBundle)),
    onBundle,
    log,
    clock,
  };
  const made: CertificateSource =
    issuer === 'external'
      ? new ExternalCertificates({
          ...common,
          spreadMs: lives.spreadMs,
          registered: () => new Set(ours().flatMap(bundlesOf)),
        })
      : new OwnCertificates({
          ...common,
          client,
          names: serviceNames(service.name, own.namespace),
          lives,
          inUse,
        });
  // A rotation goes on as soon as the last configuration carries the new authority.
  validating.onChange(() => made.check());
  mutating.onChange(() => made.check());
  return made;
}

function isOwnConfiguration(configuration: WebhookConfiguration): boolean {
  return configuration.metadata.name === stampName || isManaged(configuration);
}

function bundlesOf({ webhooks = [] }: WebhookConfiguration): readonly string[] {
  return webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? '');
}
