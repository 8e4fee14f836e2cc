// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Loads the serving certificate from a Secret of type kubernetes.io/tls, uses a new one once the API server trusts it,
// and reports problems of the current one.

import type { Secret } from '../kube/objects/objects.ts';
import type { Clock } from '../kube/time/clock.ts';
import { type ListWatch, Reflector } from '../kube/watch/reflector.ts';
import { authorityOf, isValidAt, serves } from '../lib/certificate-chain.ts';
import { errorFields, type Log } from '../observe/log.ts';
import { type KeyPair, type LoadedPair, loadPair } from './key-pair.ts';
import type { RegisteredBundle, RegisteredBundles } from './registered-bundles.ts';

export interface ServingCertificateOptions {
  readonly secrets: ListWatch<Secret>;
  readonly namespace: string;
  readonly name: string;
  /** By which name the API server calls us. */
  readonly serverName: string;
  /** What our webhook configurations tell the API server to trust. */
  readonly registered: Pick<RegisteredBundles, 'hasSynced' | 'bundles' | 'unchangedSinceMs' | 'onChange'>;
  /** How long a registered bundle is given to reach every API server. */
  readonly settleMs: number;
  /** Usually Webhook.setCertificate. */
  readonly onCertificate: (pair: KeyPair) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is held back is looked at again so often. */
const lookAgainMs = 1_000;

export class ServingCertificate {
  readonly #options: ServingCertificateOptions;
  readonly #reflector: Reflector<Secret>;
  #problem: string | undefined;
  #served: LoadedPair | undefined;
  /** A newer one that callers do not trust yet. */
  #heldBack: LoadedPair | undefined;
  #cancel: () => void = () => undefined;

  constructor(options: ServingCertificateOptions) {
    const { secrets, namespace, name, registered, clock, log } = options;
    this.#options = options;
    this.#problem = `secret ${namespace}/${name} has not been read yet`;
    this.#reflector = new Reflector({
      source: secrets,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      clock,
      onError: (error) =>
        log.warn({ namespace, secret: name, ...errorFields(error) }, 'reading the certificate failed'),
    });
    this.#reflector.onChange(({ type, object }) => this.#offer(type === 'set' ? object : undefined));
    registered.onChange(() => this.#consider());
  }

  /** Why the API server would not believe us, each a sentence; a broken new certificate leaves the old one in place. */
  problems(): readonly string[] {
    const { clock, registered, serverName } = this.#options;
    if (this.#served === undefined) return [this.#problem ?? 'there is no serving certificate'];
    const { leaf } = this.#served;
    const now = clock.now();
    if (now >= leaf.validToDate) return [`the serving certificate expired at ${leaf.validToDate.toISOString()}`];
    if (!isValidAt(leaf, now))
      return [`the serving certificate is not valid before ${leaf.validFromDate.toISOString()}`];
    if (!serves(leaf, serverName)) return [`the serving certificate is not for ${serverName}`];
    if (!registered.hasSynced) return ['the webhook configurations have not been read yet'];
    // One of them alone is one policy's matter, and no reason to stop serving the others.
    if (registered.bundles().length > 0 && this.#trusting(this.#served) === 0) {
      return ["the serving certificate is not from an authority that stepup's webhook configurations name"];
    }
    return [];
  }

  /** What is served, and the authorities it may be believed for, as PEM; undefined until there is a certificate. */
  inUse(): { readonly leaf: string; readonly leafKey: string; readonly authorities: string } | undefined {
    if (this.#served === undefined) return undefined;
    const { pair } = this.#served;
    const trusted = this.#options.registered.bundles().flatMap(({ authorities }) => authorities.map(String));
    return { leaf: pair.cert, leafKey: pair.key, authorities: [...new Set(trusted)].join('') };
  }

  /** When the authority of what is served ends; undefined where none is known. */
  authorityEndsAt(): Date | undefined {
    if (this.#served === undefined) return undefined;
    const now = this.#options.clock.now();
    const bundles = [...this.#options.registered.bundles(), { authorities: this.#served.authorities }];
    const { chain } = this.#served;
    return bundles.map(({ authorities }) => authorityOf(chain, authorities, now)).find((one) => one !== undefined)
      ?.validToDate;
  }

  /** How many webhook configurations name no authority that what is served leads to: the API server cannot call for them. */
  distrusting(): number {
    if (this.#served === undefined) return 0;
    const all = this.#options.registered.bundles().reduce((sum, { count }) => sum + count, 0);
    return all - this.#trusting(this.#served);
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#reflector.run(signal);
    this.#cancel();
  }

  #offer(secret: Secret | undefined): void {
    const { namespace, name, log } = this.#options;
    const found = loadPair(secret);
    if (typeof found === 'string') {
      this.#problem = `secret ${namespace}/${name}: ${found}`;
      this.#heldBack = undefined;
      log.warn({ namespace, secret: name, problem: found }, 'certificate not usable');
      return;
    }
    this.#heldBack = found;
    this.#consider();
  }

  /** Takes what is held back unless that would be worse than what is served. */
  #consider(): void {
    const { namespace, name, onCertificate, clock, log } = this.#options;
    this.#cancel();
    const offered = this.#heldBack;
    if (offered === undefined) return;
    if (this.#served !== undefined && this.#isWorse(offered, this.#served)) {
      this.#cancel = clock.after(lookAgainMs, () => this.#consider());
      return;
    }
    onCertificate(offered.pair);
    this.#heldBack = undefined;
    this.#problem = undefined;
    this.#served = offered;
    log.info({ namespace, secret: name, endsAt: offered.leaf.validToDate.toISOString() }, 'certificate loaded');
  }

  #isWorse(offered: LoadedPair, served: LoadedPair): boolean {
    const { clock, registered, serverName, settleMs } = this.#options;
    const now = clock.now();
    const isGood = ({ leaf }: LoadedPair) => isValidAt(leaf, now) && serves(leaf, serverName);
    if (!isGood(served)) return false;
    if (!isGood(offered) || !registered.hasSynced) return true;
    const wouldTrust = this.#trusting(offered);
    const trusting = this.#trusting(served);
    if (wouldTrust !== trusting) return wouldTrust < trusting;
    // They are told, but API servers copy configurations with a delay.
    return trusting > 0 && clock.monotonicMs() < registered.unchangedSinceMs + settleMs;
  }

  /** How many webhook configurations name an authority that it leads to. */
  #trusting({ chain }: LoadedPair): number {
    const now = this.#options.clock.now();
    const isTrusting = ({ authorities }: RegisteredBundle) => authorityOf(chain, authorities, now) !== undefined;
    return this.#options.registered
      .bundles()
      .filter(isTrusting)
      .reduce((sum, { count }) => sum + count, 0);
  }
}
