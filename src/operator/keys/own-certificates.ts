// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the webhook's certificates in one Secret, and performs the steps of a rotation in order.
import { createPrivateKey } from 'node:crypto';
import { isAlreadyExists, isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { Secret } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import { decodeBase64, encodeBase64 } from '../../lib/base64.ts';
import { certificatesIn } from '../../lib/certificate-chain.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { BundlePublication } from './bundle-publication.ts';
import type { CertificateSource } from './certificate-source.ts';
import { nextCertificateStep, type StoredCertificates } from './certificate-step.ts';
import { issueLeaf, makeAuthority } from './issue.ts';

export interface OwnCertificatesOptions {
  readonly client: Pick<ResourceClient<Secret>, 'create' | 'replace'>;
  readonly secrets: Watched<Secret>;
  readonly secret: { readonly namespace: string; readonly name: string };
  readonly names: readonly string[];
  readonly lives: CertificateLives;
  /** What this replica serves, and who is trusted to have issued it: all that is left where the Secret is gone. */
  readonly inUse: () => Omit<StoredCertificates, 'authorityKey'> | undefined;
  /** True when every webhook configuration of ours carries the bundle. */
  readonly isPublished: (caBundle: string) => boolean;
  /** The bundle changed: configurations must follow. */
  readonly onBundle: () => void;
  readonly log: Log;
  readonly clock: Clock;
}

/** How long certificates live, and how long a change of them is given to reach everybody. */
export interface CertificateLives {
  readonly authorityMs: number;
  readonly leafMs: number;
  readonly spreadMs: number;
}

const nothing: StoredCertificates = { authorities: '', authorityKey: '', leaf: '', leafKey: '' };
const againMs = 50;
const soonestMs = 1_000;
const longestMs = 3_600_000;

export class OwnCertificates implements CertificateSource {
  readonly #options: OwnCertificatesOptions;
  readonly #task: RepeatedTask;
  readonly #publication: BundlePublication;
  /** What was stored last: where the Secret is deleted, replicas still serve the leaf that was in it. */
  #known: StoredCertificates | undefined;
  #caBundle: string | undefined;

  constructor(options: OwnCertificatesOptions) {
    this.#options = options;
    this.#publication = new BundlePublication(options.isPublished, options.clock);
    this.#task = new RepeatedTask({
      process: () => this.#process(),
      onError: (error) => options.log.warn(errorFields(error), 'keeping the certificates failed'),
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

  async #process(): Promise<void> {
    const { clock, names, lives, inUse, log } = this.#options;
    const secret = this.#options.secrets.objects.get(this.#options.secret);
    // A Secret that was deleted is rotated: the authority is made anew, and the known one vouches until it is published.
    const last = this.#known ?? inUse() ?? nothing;
    const stored = secret === undefined ? { ...last, authorityKey: '' } : readSecret(secret);
    const now = clock.now();
    const publishedForMs = this.#publication.forMs(encodeBase64(stored.authorities));
    const step = nextCertificateStep({ stored, names, publishedForMs, spreadMs: lives.spreadMs }, now);
    switch (step.kind) {
      case 'Keep':
        this.#publish(stored);
        this.#task.checkAfter(Math.min(Math.max(step.until.getTime() - now.getTime(), soonestMs), longestMs));
        return;
      case 'AwaitBundle':
        this.#publish(stored);
        this.#task.checkAfter(step.forMs);
        return;
      case 'MakeAuthority': {
        const authority = await makeAuthority(now, lives.authorityMs);
        const made = {
          ...stored,
          authorities: [authority.cert, ...step.keep].map(pemLine).join(''),
          authorityKey: authority.key,
        };
        const leaf = step.keep.length > 0 ? {} : await this.#leafBy(made, now);
        log.info({ secret: this.#options.secret.name }, 'created a certificate authority');
        return this.#store(secret, { ...made, ...leaf });
      }
      case 'IssueLeaf':
        log.info({ secret: this.#options.secret.name }, 'issued a serving certificate');
        return this.#store(secret, { ...stored, ...(await this.#leafBy(stored, now)) });
      case 'DropOldAuthorities':
        return this.#store(secret, { ...stored, authorities: step.keep.map(pemLine).join('') });
    }
  }

  async #leafBy(stored: StoredCertificates, now: Date): Promise<Pick<StoredCertificates, 'leaf' | 'leafKey'>> {
    const { names, lives } = this.#options;
    const key = createPrivateKey(stored.authorityKey);
    // Others may have put an authority in front of the one that signs.
    const signing = certificatesIn(stored.authorities).find((one) => one.checkPrivateKey(key));
    const authority = { cert: String(signing ?? stored.authorities), key: stored.authorityKey };
    const pair = await issueLeaf(authority, names, now, lives.leafMs);
    return { leaf: pair.cert, leafKey: pair.key };
  }

  /** What is stored is what counts: after a write the Secret's own event comes back here. */
  #publish(stored: StoredCertificates): void {
    this.#known = stored;
    const caBundle = encodeBase64(stored.authorities);
    if (this.#caBundle === caBundle) return;
    this.#caBundle = caBundle;
    this.#options.onBundle();
  }

  async #store(secret: Secret | undefined, certificates: StoredCertificates): Promise<void> {
    const { client, secret: id } = this.#options;
    const data = writeData(certificates);
    try {
      if (secret === undefined) await client.create({ metadata: id, type: 'kubernetes.io/tls', data });
      else await client.replace({ ...secret, data: { ...secret.data, ...data } });
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) throw error;
      this.#task.checkAfter(againMs);
    }
  }
}

function readSecret({ data = {} }: Secret): StoredCertificates {
  return {
    authorities: decodeBase64(data['ca.crt']),
    authorityKey: decodeBase64(data['ca.key']),
    leaf: decodeBase64(data['tls.crt']),
    leafKey: decodeBase64(data['tls.key']),
  };
}

function writeData({ authorities, authorityKey, leaf, leafKey }: StoredCertificates): Record<string, string> {
  return {
    'ca.crt': encodeBase64(authorities),
    'ca.key': encodeBase64(authorityKey),
    'tls.crt': encodeBase64(leaf),
    'tls.key': encodeBase64(leafKey),
  };
}

function pemLine(pem: string): string {
  return `${pem.trim()}\n`;
}
