// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Where somebody else, such as cert-manager, keeps the Secret: only what the API server is to trust is told from it.

import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import type { Watched } from '../../kube/watch/watched.ts';
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

export class GivenCertificates implements Certificates {
  readonly #options: GivenCertificatesOptions;
  readonly #task: RepeatedTask;
  readonly #publication: Publication;
  /** As PEM. Undefined until the registered ones have been read, which happens once: what others write there later is not ours. */
  #authorities: string | undefined;
  #caBundle: string | undefined;

  constructor(options: GivenCertificatesOptions) {
    this.#options = options;
    this.#publication = new Publication(options.isPublished, options.clock);
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
    const given = Buffer.from(secrets.objects.get(secret)?.data?.['ca.crt'] ?? '', 'base64').toString();
    // The replicas of the leader before may serve what only those vouch for.
    const known = this.#authorities ?? [...registered()].map((one) => Buffer.from(one, 'base64').toString()).join('\n');
    const publishedForMs = this.#caBundle === undefined ? undefined : this.#publication.forMs(this.#caBundle);
    const step = nextGivenBundle({ given, known, publishedForMs, spreadMs }, clock.now());
    if (certificatesIn(given).length === 0) {
      log.warn(
        { secret: secret.name },
        'ca.crt of the certificate is missing: the API server is told of no other authority',
      );
    }
    if (step.againInMs !== undefined) this.#task.checkAfter(step.againInMs);
    if (step.authorities === '') return;
    this.#authorities = step.authorities;
    const caBundle = Buffer.from(step.authorities).toString('base64');
    if (this.#caBundle === caBundle) return;
    this.#caBundle = caBundle;
    log.info({ authorities: certificatesIn(step.authorities).length }, 'bundle of authorities taken over');
    onBundle();
  }
}
