// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the authorities to trust from a Secret that somebody else writes, such as cert-manager.

import type { Secret } from '../../kube/objects/objects.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import { decodeBase64, encodeBase64 } from '../../lib/base64.ts';
import { certificatesIn } from '../../lib/certificate-chain.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { BundlePublication } from './bundle-publication.ts';
import type { CertificateSource } from './certificate-source.ts';
import { nextExternalBundle } from './external-bundle.ts';

export interface ExternalCertificatesOptions {
  readonly secrets: Watched<Secret>;
  readonly secret: { readonly namespace: string; readonly name: string };
  readonly spreadMs: number;
  /** The bundles in our webhook configurations, in base64. */
  readonly registered: () => Iterable<string>;
  /** True when every webhook configuration of ours carries the bundle. */
  readonly isPublished: (caBundle: string) => boolean;
  /** The bundle changed: configurations must follow. */
  readonly onBundle: () => void;
  readonly log: Log;
  readonly clock: Clock;
}

export class ExternalCertificates implements CertificateSource {
  readonly #options: ExternalCertificatesOptions;
  readonly #task: RepeatedTask;
  readonly #publication: BundlePublication;
  /** As PEM. Undefined until the registered ones have been read, which happens once: what others write there later is not ours. */
  #authorities: string | undefined;
  #caBundle: string | undefined;

  constructor(options: ExternalCertificatesOptions) {
    this.#options = options;
    this.#publication = new BundlePublication(options.isPublished, options.clock);
    this.#task = new RepeatedTask({
      process: async () => this.#process(),
      onError: (error) => options.log.warn(errorFields(error), 'reading the certificates failed'),
      clock: options.clock,
    });
  }

  get caBundle(): string | undefined {
    return this.#caBundle;
  }

  check(): void {
    this.#task.check();
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#task.run(signal, [this.#options.secrets]);
  }

  #process(): void {
    const { secrets, secret, registered, spreadMs, clock, log, onBundle } = this.#options;
    const given = decodeBase64(secrets.objects.get(secret)?.data?.['ca.crt']);
    // The replicas of the leader before may serve what only those vouch for.
    const known = this.#authorities ?? [...registered()].map(decodeBase64).join('\n');
    const publishedForMs = this.#caBundle === undefined ? undefined : this.#publication.forMs(this.#caBundle);
    const step = nextExternalBundle({ given, known, publishedForMs, spreadMs }, clock.now());
    if (certificatesIn(given).length === 0) {
      log.warn(
        { secret: secret.name },
        'ca.crt is missing in the Secret of the certificate, so the webhook configurations keep their authorities',
      );
    }
    if (step.againInMs !== undefined) this.#task.checkAfter(step.againInMs);
    if (step.authorities === '') return;
    this.#authorities = step.authorities;
    const caBundle = encodeBase64(step.authorities);
    if (this.#caBundle === caBundle) return;
    this.#caBundle = caBundle;
    log.info({ authorities: certificatesIn(step.authorities).length }, 'new bundle of authorities');
    onBundle();
  }
}
