// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the authorities to trust from a Secret that somebody else writes, such as cert-manager.

import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { certificatesIn } from '../../lib/certificate-chain.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { Publication } from './bundle-publication.ts';
import { nextGivenBundle } from './external-bundle.ts';
import type { Certificates, Secret } from './own-certificates.ts';

export interface GivenCertificatesOptions {
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

const key = 'certificates';

export class GivenCertificates implements Certificates {
  readonly #options: GivenCertificatesOptions;
  readonly #queue: WorkQueue;
  readonly #publication: Publication;
  /** As PEM. Undefined until the registered ones have been read, which happens once: what others write there later is not ours. */
  #authorities: string | undefined;
  #caBundle: string | undefined;

  constructor(options: GivenCertificatesOptions) {
    this.#options = options;
    this.#publication = new Publication(options.isPublished, options.clock);
    this.#queue = new WorkQueue({
      process: async () => this.#process(),
      clock: options.clock,
      onError: (_, error) => options.log.warn(errorFields(error), 'reading the certificates failed'),
    });
  }

  get caBundle(): string | undefined {
    return this.#caBundle;
  }

  check(): void {
    this.#queue.add(key);
  }

  async run(signal: AbortSignal): Promise<void> {
    enqueueChanges(this.#options.secrets, signal, () => this.#queue.add(key));
    this.#queue.add(key);
    await this.#queue.run(signal);
  }

  #process(): void {
    const { secrets, secret, registered, spreadMs, clock, log, onBundle } = this.#options;
    const given = Buffer.from(secrets.objects.get(secret)?.data?.['ca.crt'] ?? '', 'base64').toString();
    // The replicas of the leader before may serve what only those vouch for.
    const known = this.#authorities ?? [...registered()].map((one) => Buffer.from(one, 'base64').toString()).join('\n');
    const publishedForMs = this.#caBundle === undefined ? undefined : this.#publication.forMs(this.#caBundle);
    const step = nextGivenBundle({ given, known, publishedForMs, spreadMs }, clock.now());
    if (certificatesIn(given).length === 0) {
      log.warn(
        { secret: secret.name },
        'ca.crt is missing in the Secret of the certificate, so the webhook configurations keep their authorities',
      );
    }
    if (step.againInMs !== undefined) this.#queue.addAfter(key, step.againInMs);
    if (step.authorities === '') return;
    this.#authorities = step.authorities;
    const caBundle = Buffer.from(step.authorities).toString('base64');
    if (this.#caBundle === caBundle) return;
    this.#caBundle = caBundle;
    log.info({ authorities: certificatesIn(step.authorities).length }, 'new bundle of authorities');
    onBundle();
  }
}
