// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the server's certificate from a Secret of type kubernetes.io/tls, and says what is wrong with it.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock } from '../kube/clock.ts';
import type { KubeObject } from '../kube/objects.ts';
import { type ListWatch, Reflector } from '../kube/reflector.ts';
import { errorFields, type Log } from '../observe/log.ts';
import type { KeyPair } from './server.ts';

export interface TlsSecret extends KubeObject {
  readonly type?: string;
  /** Values in base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export interface ServingCertificateOptions {
  readonly secrets: ListWatch<TlsSecret>;
  readonly namespace: string;
  readonly name: string;
  /** Usually Webhook.setCertificate. */
  readonly onCertificate: (pair: KeyPair) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class ServingCertificate {
  readonly #options: ServingCertificateOptions;
  readonly #reflector: Reflector<TlsSecret>;
  #problem: string | undefined;
  #endsAt: Date | undefined;

  constructor(options: ServingCertificateOptions) {
    const { secrets, namespace, name, clock, log } = options;
    this.#options = options;
    this.#problem = `secret ${namespace}/${name} has not been read yet`;
    this.#reflector = new Reflector({
      source: secrets,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      clock,
      onError: (error) => log.warn({ namespace, secret: name, ...errorFields(error) }, 'certificate not read'),
    });
    this.#reflector.onChange(({ type, object }) => this.#use(type === 'set' ? object : undefined));
  }

  /** Why there is no certificate to serve with, each a sentence; a broken new one leaves the old one in place. */
  problems(): readonly string[] {
    const now = this.#options.clock.now();
    if (this.#endsAt !== undefined && now >= this.#endsAt) {
      return [`the serving certificate ended at ${this.#endsAt.toISOString()}`];
    }
    return this.#endsAt === undefined && this.#problem !== undefined ? [this.#problem] : [];
  }

  /** Resolves when the signal aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#reflector.run(signal);
  }

  #use(secret: TlsSecret | undefined): void {
    const { namespace, name, onCertificate, log } = this.#options;
    const found = keyPairOf(secret);
    if (typeof found === 'string') {
      this.#problem = `secret ${namespace}/${name}: ${found}`;
      log.warn({ namespace, secret: name, problem: found }, 'certificate not usable');
      return;
    }
    onCertificate(found.pair);
    this.#problem = undefined;
    this.#endsAt = found.endsAt;
    log.info({ namespace, secret: name, endsAt: found.endsAt.toISOString() }, 'certificate loaded');
  }
}

/** Certificate and key of a Secret, or what is wrong with it; never quotes a value. */
export function keyPairOf(secret: TlsSecret | undefined): { readonly pair: KeyPair; readonly endsAt: Date } | string {
  if (secret === undefined) return 'it does not exist';
  const text = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  const [cert, key] = [text('tls.crt'), text('tls.key')];
  if (cert === '') return 'tls.crt is missing';
  if (key === '') return 'tls.key is missing';
  try {
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return 'tls.key does not belong to tls.crt';
    return { pair: { cert, key }, endsAt: new Date(certificate.validTo) };
  } catch {
    return 'tls.crt or tls.key is not PEM';
  }
}
